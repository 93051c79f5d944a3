"""Git over HTTP: ``git http-backend``, which comes with git, run as CGI (git's manual, git-http-backend)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iac_ci_common.errors import PortFailed
from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.repository import git_environment
from iac_ci_local.fake_hosts.routes import basic_password

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.messages import Request

_SECONDS: Final = 60


def backend() -> Path:
    """Return the path of ``git http-backend``; raise ``PortFailed`` with the next step if it is not installed."""
    try:
        output = subprocess.run(
            ["git", "--exec-path"],  # noqa: S607 - found on the user's own PATH
            env=git_environment(),
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise PortFailed("git could not be run, but the code host needs it: install git") from error
    program = Path(output.decode().strip(), "git-http-backend")
    if not program.is_file():
        raise PortFailed(f"git has no {program.name}, which the code host needs: install the full git package")
    return program


def serve(program: Path, folder: Path, rest: str, request: Request, known: Callable[[str], bool]) -> Answer:
    """Return the answer to one request for the bare repository at ``folder``; ``rest`` is the decoded path below it.

    The caller's token is the password of the HTTP basic credentials; ``known`` returns whether it is valid. Pushing is
    not possible.
    """
    if not known(basic_password(request)):
        return Answer(401, b"", {"WWW-Authenticate": 'Basic realm="GitHub"', "Content-Type": "text/plain"})
    environment = {
        **git_environment(),
        "GIT_PROJECT_ROOT": str(folder.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_HTTP_MAX_REQUEST_BUFFER": "10M",
        "PATH_INFO": f"/{folder.name}{rest}",
        "QUERY_STRING": urlsplit(request.target).query,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        "REMOTE_ADDR": "127.0.0.1",
    }
    try:
        done = subprocess.run(  # noqa: S603 - a program of git's own, without arguments
            [str(program)], env=environment, input=request.body, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return Answer(500, b"", {"Content-Type": "text/plain"})
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip()] = value.strip()
    if done.returncode != 0 and not head:
        return Answer(500, b"", {"Content-Type": "text/plain"})
    status = headers.pop("Status", "200 OK")
    return Answer(int(status.split()[0]), body, headers)


__all__ = ["backend", "serve"]
