"""Runs git with lists of arguments and without the configuration of the machine or the user."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iac_ci_common.errors import PortFailed, PreparationFailed
from iac_ci_common.redaction import Redactor
from iac_ci_common.repository_url import repository_problem

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
            steps = (
                ["init", "--quiet", "--template=", folder],
                ["-C", folder, "fetch", "--quiet", "--depth=1", "--no-tags", "--", repository, commit],
                ["-C", folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", "FETCH_HEAD"],
            )
            for step in steps:
                self._git(step, environment, redactor, repository)
        shutil.rmtree(Path(folder, ".git"))

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
            "http.followRedirects": "initial",
        }
        if self._allow_file:
            settings["protocol.file.allow"] = "always"
            settings["safe.directory"] = "*"
        if self._uses_http(repository):
            host = urlsplit(repository).netloc
            settings[f"url.http://{host}/.insteadOf"] = f"https://{host}/"
            settings["protocol.http.allow"] = "always"
            # No redirect may lead to another host by http.
            settings["http.followRedirects"] = "false"
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
        if ssh_key:
            key = private / "key"
            descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(ssh_key.rstrip("\n") + "\n")
            environment["GIT_SSH_COMMAND"] = (
                f"ssh -F {os.devnull} -i {key} -o IdentitiesOnly=yes -o BatchMode=yes "
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
    if not token:
        return None
    named = token if ":" in token else f"x-access-token:{token}"
    return base64.b64encode(named.encode()).decode()
