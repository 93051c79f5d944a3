"""Runs git with lists of arguments and without the configuration of the machine or the user."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iac_ci_common.errors import PortFailed, PreparationFailed
from iac_ci_common.redaction import Redactor
from iac_ci_common.repository_url import repository_problem
from iac_ci_vcs.network_addresses import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_vcs.provider import HostSettings

_SECONDS: Final = 240
"""Longest run of one git command, in seconds: the init function's time-out less the rest of the preparation."""

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_TEMPORARY_FAILURE = re.compile(
    r"returned error: (429|5[0-9][0-9])|connection (reset|timed out)|early EOF|hung up unexpectedly|RPC failed"
    r"|connection was (closed|reset)|operation timed out",
    re.IGNORECASE,
)
"""Git's messages when the host or the network failed, not the request."""


_REDIRECT = re.compile(r"returned error: 30[1278]")
"""Git's message when a host redirects, because git does not follow it."""

_MOST_REDIRECTS: Final = 3
_REDIRECT_SECONDS: Final = 10
_HOST_OF_SCP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):")


class _Moved(PreparationFailed):
    """The host redirects the repository."""


class GitRepositories:
    """Fetches single commits with git."""

    def __init__(
        self,
        *,
        allow_file: bool = False,
        hosts: Mapping[str, HostSettings] | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        """Limit each git command to ``seconds``; set ``allow_file`` in the local cloud only.

        ``hosts`` has the provider of each code host whose name does not show it.
        """
        self._allow_file = allow_file
        self._hosts = hosts
        self._seconds = seconds

    def checkout(self, repository: str, commit: str, folder: str, *, token: str | None, ssh_key: str | None) -> None:
        """Write one commit's tree into the empty ``folder``: no history, no submodules, no LFS, no hooks.

        ``token`` is the code host's secret as it is stored: a token, ``user:token``, or a GitHub app's key. Raises
        ``PreparationFailed`` with the last line of git's error output, redacted, and ``PortFailed``, safe to retry,
        if the host or the network failed.
        """
        if problem := repository_problem(repository, allow_file=self._allow_file):
            raise PreparationFailed(f"repository {repository!r:.200} {problem}")
        if _COMMIT.fullmatch(commit) is None:
            raise PreparationFailed(f"{commit!r:.80} is not a full commit hash (40 or 64 hexadecimal digits)")
        if token:
            token = git_token(repository, token, self._hosts)
        redactor = Redactor(
            [secret for secret in (token, token and token.rpartition(":")[2], ssh_key, _credentials(token)) if secret]
        )
        with tempfile.TemporaryDirectory(prefix="iac-ci-git-") as private:
            environment = self._environment(Path(private), repository, token, ssh_key)
            self._git(["init", "--quiet", "--template=", folder], environment, redactor, repository)
            try:
                self._fetch(repository, commit, folder, environment, redactor)
            except _Moved:
                moved = self._moved(repository, token)
                environment = self._environment(Path(private), moved, token, None)
                self._fetch(moved, commit, folder, environment, redactor)
            step = ["-C", folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", "FETCH_HEAD"]
            self._git(step, environment, redactor, repository)
        shutil.rmtree(Path(folder, ".git"))

    def _fetch(
        self, repository: str, commit: str, folder: str, environment: Mapping[str, str], redactor: Redactor
    ) -> None:
        step = ["-C", folder, "fetch", "--quiet", "--depth=1", "--no-tags", "--", repository, commit]
        self._git(step, environment, redactor, repository)

    def _moved(self, repository: str, token: str | None) -> str:
        """Return the URL to which a host redirects a repository that was renamed or moved.

        Each redirect is checked like the first URL. Raises ``PreparationFailed`` if it leads to no https URL.
        """
        import requests
        from requests.auth import HTTPBasicAuth

        from iac_ci_vcs.http_session import HostSession

        suffix = "/info/refs"
        user, _, password = _named(token).partition(":")
        auth = HTTPBasicAuth(user, password)
        with HostSession(urlsplit(repository).netloc, auth, root="", seconds=self._seconds) as session:
            session.max_redirects = _MOST_REDIRECTS
            try:
                url = f"{repository.rstrip('/')}{suffix}?service=git-upload-pack"
                found = urlsplit(session.get(url, stream=True, timeout=_REDIRECT_SECONDS).url)
            except requests.RequestException as error:
                raise PreparationFailed(
                    f"fetching {repository} failed: it was moved, and its redirect failed: {type(error).__name__}"
                ) from None
        if found.scheme != "https" or not found.path.endswith(suffix):
            raise PreparationFailed(f"fetching {repository} failed: it was moved to something other than a repository")
        return f"https://{found.netloc}{found.path.removesuffix(suffix)}"

    def _pinned(self, repository: str) -> tuple[str, int, list[str]] | None:
        """Return host, port and checked addresses of a repository, so that git does not resolve the name again.

        None for ``file://`` and, on the local cloud, for 127.0.0.1. Raises ``AddressRefused`` for addresses of this
        machine, and ``PreparationFailed`` or ``PortFailed`` if the name has no address.
        """
        found = _HOST_OF_SCP.match(repository)
        parts = urlsplit(repository if found is None else f"ssh://{found['host']}/")
        host = parts.hostname
        if host is None or parts.scheme == "file" or (self._allow_file and host == "127.0.0.1"):
            return None
        port = parts.port or (443 if parts.scheme == "https" else 22)
        try:
            return host, port, resolve(host, port)
        except socket.gaierror as error:
            reason = f"fetching {repository} failed: {host} has no address: {error.strerror}"
            if error.errno == socket.EAI_AGAIN:
                raise PortFailed(reason, retry_is_safe=True) from None
            raise PreparationFailed(reason) from None

    def _environment(self, private: Path, repository: str, token: str | None, ssh_key: str | None) -> dict[str, str]:
        settings = {
            "core.hooksPath": os.devnull,
            "core.symlinks": "true",
            "core.fsmonitor": "false",
            "protocol.allow": "never",
            "protocol.https.allow": "always",
            "protocol.ssh.allow": "always",
            "fetch.fsckObjects": "true",
            "filter.lfs.smudge": "cat",
            "filter.lfs.required": "false",
            "submodule.recurse": "false",
            "credential.helper": "",
            # Git would resolve a redirect's host by itself; `_moved` follows redirects with a check.
            "http.followRedirects": "false",
        }
        if self._allow_file:
            settings["protocol.file.allow"] = "always"
            settings["safe.directory"] = "*"
        if self._uses_http(repository):
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
            scheme = "http" if self._uses_http(repository) else "https"
            settings[f"http.{scheme}://{urlsplit(repository).netloc}/.extraHeader"] = (
                f"Authorization: Basic {_credentials(token)}"
            )
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(private),
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
        ssh = f"ssh -F {os.devnull} -o BatchMode=yes"
        if pinned is not None:
            ssh += f" -o HostName={pinned[2][0]} -o HostKeyAlias={pinned[0]}"
        environment["GIT_SSH_COMMAND"] = ssh
        if ssh_key:
            key = private / "key"
            descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(ssh_key.rstrip("\n") + "\n")
            environment["GIT_SSH_COMMAND"] = (
                f"{ssh} -i {key} -o IdentitiesOnly=yes "
                f"-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={private / 'known_hosts'}"
            )
        return environment

    def _uses_http(self, repository: str) -> bool:
        """Return whether git uses ``http`` for a host whose address starts with ``https``.

        This holds only for the code host of the local cloud: on 127.0.0.1, with an API configured at the same address
        by ``http``. It has no certificate, and its address is written like any other.
        """
        host = urlsplit(repository).netloc
        known = (self._hosts or {}).get(host)
        return (
            self._allow_file
            and repository.startswith("https://127.0.0.1:")
            and known is not None
            and (known.api_url or "").startswith(f"http://{host}/")
        )

    def _git(self, arguments: list[str], environment: Mapping[str, str], redactor: Redactor, repository: str) -> None:
        try:
            process = subprocess.Popen(  # noqa: S603 - a list, of our own making
                ["git", *arguments],  # noqa: S607 - found on the function's own PATH
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise PreparationFailed(f"git did not start ({error.strerror}): is it installed?") from error
        with process:
            try:
                _, stderr = process.communicate(timeout=self._seconds)
            except BaseException as error:
                # Children of git (ssh, git-remote-https) hold the pipe too: end the whole group, or the read blocks.
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise PreparationFailed(f"fetching {repository} took more than {self._seconds} seconds") from None
                raise
        if process.returncode != 0:
            text = redactor.text(stderr.decode("utf-8", "replace")).strip()
            reason = f"fetching {repository} failed: {text.splitlines()[-1][:300] if text else 'git printed no reason'}"
            if _REDIRECT.search(text):
                raise _Moved(reason)
            if _TEMPORARY_FAILURE.search(text):
                raise PortFailed(reason, retry_is_safe=True)
            raise PreparationFailed(reason)


def git_token(repository: str, secret: str, hosts: Mapping[str, HostSettings] | None = None) -> str:
    """Return git's ``user:token`` for a secret; the code host's provider knows the user, and creates an app's token.

    A secret ``user:token`` is returned unchanged, except for Bitbucket, whose API tokens are stored with the account's
    e-mail address. Raises ``PortFailed`` if the secret is unusable or the host refuses it.
    """
    # Imported late: an order without code or without a token needs no code host.
    from iac_ci_vcs.address import parse_address, settings_for
    from iac_ci_vcs.hosts import open_code_host, parse_credentials

    address = parse_address(repository)
    if address is None or not repository.startswith("https://"):
        return secret
    app = secret.lstrip().startswith("{")
    if ":" in secret and not app and settings_for(address.host, hosts).kind != "bitbucket":
        return secret
    host = open_code_host(repository, parse_credentials(secret), hosts=hosts)
    try:
        return host.clone().git_token
    finally:
        host.close()


def _credentials(token: str | None) -> str | None:
    """Return a token as HTTP basic credentials: base64 of ``user:token`` (``Clone.git_token``).

    Most code hosts accept any user name with a token; for the others the token already has its user.
    """
    return base64.b64encode(_named(token).encode()).decode() if token else None


def _named(token: str | None) -> str:
    return token if token is not None and ":" in token else f"x-access-token:{token or ''}"
