"""The environment of git's processes: nothing of the machine's or the user's configuration, and secrets only here."""

from __future__ import annotations

import base64
import os
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iac_ci_common.errors import PortFailed, PreparationFailed
from iac_ci_vcs.network_addresses import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iac_ci_vcs.provider import HostSettings

_HOST_OF_SCP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):")

_OF_OLD_TOOLS: Final = (
    *("badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail", "missingNameBeforeEmail"),
    *("missingSpaceBeforeDate", "missingSpaceBeforeEmail", "multipleAuthors", "nulInCommit", "zeroPaddedDate"),
    *("missingTaggerEntry", "zeroPaddedFilemode"),
)
"""Faults of objects (git-fsck) that say nothing about which files a commit has: people, times, leading zeros. Old
histories have them, code hosts and git itself take them, and nobody can mend them without a new history."""

_SETTINGS: Final = {
    "core.hooksPath": os.devnull,
    "core.symlinks": "true",
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "gc.auto": "0",
    "protocol.allow": "never",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "fetch.fsckObjects": "true",
    **{f"fetch.fsck.{fault}": "ignore" for fault in _OF_OLD_TOOLS},
    "filter.lfs.smudge": "cat",
    "filter.lfs.required": "false",
    "submodule.recurse": "false",
    "credential.helper": "",
    # Git would resolve a redirect's host by itself; `GitRepositories` follows redirects with a check.
    "http.followRedirects": "false",
}


@dataclass(frozen=True, slots=True)
class GitEnvironment:
    """Makes the environment for one repository; ``private`` is a folder that only this process reads."""

    private: Path
    allow_file: bool = False
    hosts: Mapping[str, HostSettings] = field(default_factory=dict)

    def of(self, repository: str, token: str | None, ssh_key: str | None) -> dict[str, str]:
        """Return the environment. Raises ``PreparationFailed`` or ``PortFailed`` if the host has no usable address."""
        settings = dict(_SETTINGS)
        if self.allow_file:
            settings["protocol.file.allow"] = "always"
            settings["safe.directory"] = "*"
        plain = self.allow_file and uses_http(repository, self.hosts)
        if plain:
            host = urlsplit(repository).netloc
            settings[f"url.http://{host}/.insteadOf"] = f"https://{host}/"
            settings["protocol.http.allow"] = "always"
        pinned = self._pinned(repository)
        if pinned is not None and repository.startswith("https://"):
            host, port, addresses = pinned
            listed = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
            settings["http.curloptResolve"] = f"{host}:{port}:{listed}"
        if token and repository.startswith("https://"):
            # In a header, from the environment: a token in the URL would appear in arguments, .git/config and errors.
            scheme = "http" if plain else "https"
            settings[f"http.{scheme}://{urlsplit(repository).netloc}/.extraHeader"] = (
                f"Authorization: Basic {basic_credentials(token)}"
            )
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.private),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (name, value) in enumerate(settings.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = name
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        for name in ("SSL_CERT_FILE", "GIT_SSL_CAINFO"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment["GIT_SSH_COMMAND"] = self._ssh(pinned, ssh_key)
        return environment

    def _ssh(self, pinned: tuple[str, int, list[str]] | None, ssh_key: str | None) -> str:
        command = f"ssh -F {os.devnull} -o BatchMode=yes"
        if pinned is not None:
            command += f" -o HostName={pinned[2][0]} -o HostKeyAlias={pinned[0]}"
        if not ssh_key:
            return command
        key = self.private / "key"
        descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(ssh_key.rstrip("\n") + "\n")
        return (
            f"{command} -i {key} -o IdentitiesOnly=yes "
            f"-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={self.private / 'known_hosts'}"
        )

    def _pinned(self, repository: str) -> tuple[str, int, list[str]] | None:
        """Return host, port and checked addresses of a repository, so that git does not resolve the name again.

        None for ``file://`` and, on the local cloud, for 127.0.0.1. Raises ``AddressRefused`` for addresses of this
        machine, and ``PreparationFailed`` or ``PortFailed`` if the name has no address.
        """
        host = host_of(repository)
        parts = urlsplit(repository if _HOST_OF_SCP.match(repository) is None else f"ssh://{host}/")
        if host is None or parts.scheme == "file" or (self.allow_file and host == "127.0.0.1"):
            return None
        port = parts.port or (443 if parts.scheme == "https" else 22)
        try:
            return host, port, resolve(host, port)
        except socket.gaierror as error:
            reason = f"fetching {repository} failed: {host} has no address: {error.strerror}"
            if error.errno == socket.EAI_AGAIN:
                raise PortFailed(reason, retry_is_safe=True) from None
            raise PreparationFailed(reason) from None


def uses_http(repository: str, hosts: Mapping[str, HostSettings]) -> bool:
    """Return whether git uses ``http`` for a host whose address starts with ``https``, on the local cloud.

    This holds only for its code host: on 127.0.0.1, with an API configured at the same address by ``http``. It has no
    certificate, and its address is written like any other.
    """
    host = urlsplit(repository).netloc
    known = hosts.get(host)
    return (
        repository.startswith("https://127.0.0.1:")
        and known is not None
        and (known.api_url or "").startswith(f"http://{host}/")
    )


def host_of(repository: str) -> str | None:
    """Return the host of an ``https://``, ``ssh://`` or ``user@host:path`` URL without its port; None for others."""
    found = _HOST_OF_SCP.match(repository)
    return found["host"] if found is not None else urlsplit(repository).hostname


def basic_credentials(token: str) -> str:
    """Return a token as HTTP basic credentials: base64 of ``user:token`` (``Clone.git_token``)."""
    return base64.b64encode(named(token).encode()).decode()


def named(token: str | None) -> str:
    """Return ``user:token``. Most code hosts accept any user name with a token; for the others it already has one."""
    return token if token is not None and ":" in token else f"x-access-token:{token or ''}"
