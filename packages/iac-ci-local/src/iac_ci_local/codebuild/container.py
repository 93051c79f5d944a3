"""Runs one build below an agent, in folders laid out as CodeBuild's container has them, and ends all its processes."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.processes import descendants
from iac_ci_local.terraform_tool import terraform_is_python

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_local.codebuild.build import Build
    from iac_ci_local.codebuild.buildspec import Buildspec

IMAGE_USER: Final = 10001
"""Id of the image's user and group, which the worker gives to an order's commands."""

_USER_VARIABLE: Final = "IAC_CI_COMMAND_USER"
"""Variable of the project that makes the worker give the commands another user."""

_PATH_VARIABLE: Final = "IAC_CI_COMMAND_PATH"
"""Variable of the project with the PATH of the commands, which may have a Terraform that this process's has not."""


@dataclass(frozen=True, slots=True)
class Container:
    """The folders of one build: the image's file system is this machine's, so they lie below one root."""

    root: Path

    @property
    def files(self) -> Path:
        """Return the folder of ``env.sh`` and ``script.sh``: ``/codebuild/output/tmp`` on AWS."""
        return self.root / "codebuild/output/tmp"

    @property
    def source(self) -> Path:
        """Return the working folder of the commands, ``/codebuild/output/src…/src`` on AWS."""
        return self.root / "codebuild/output/src1/src"

    @property
    def home(self) -> Path:
        """Return ``HOME``: ``/root`` on AWS, for every user."""
        return self.root / "root"

    @property
    def temporary(self) -> Path:
        """Return ``TMPDIR``; AWS sets none, but this machine's ``/tmp`` does not end with the build."""
        return self.root / "tmp"

    @property
    def log(self) -> Path:
        """Return the file with the output of the build."""
        return self.root / "build.log"

    def create(self) -> None:
        """Create the folders.

        On AWS every user reaches them. Here that would be every user of the machine, so as root only the image's user
        gets the way to them, and to nothing beside them.
        """
        for folder in (self.files, self.source, self.home, self.temporary):
            folder.mkdir(parents=True)
        if os.geteuid() == 0:
            for folder in (self.root, self.root.parent, self.root.parent.parent):
                os.chown(folder, -1, IMAGE_USER)
                folder.chmod(0o710)
        self.home.chmod(0o700)
        self.files.chmod(0o777)
        self.temporary.chmod(0o1777)

    def environment(self, build: Build, buildspec: Buildspec, credentials: str) -> dict[str, str]:
        """Return all variables of the build's shells: CodeBuild's own, the agent's, the project's and the request's."""
        endpoint = credentials.partition("/v2/")[0]
        variables = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "AWS_REGION": os.environ["AWS_DEFAULT_REGION"],
            "AWS_DEFAULT_REGION": os.environ["AWS_DEFAULT_REGION"],
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials,
            "ECS_CONTAINER_METADATA_URI": f"{endpoint}/v3/{uuid.uuid4()}",
            "CODEBUILD_AGENT_ENDPOINT": endpoint,
            "CODEBUILD_AUTH_TOKEN": str(uuid.uuid4()),
            "CODEBUILD_BUILD_ID": build.identifier,
            "CODEBUILD_BUILD_ARN": build.arn,
            "CODEBUILD_BUILD_SUCCEEDING": "1",
            "CODEBUILD_SRC_DIR": str(self.source),
            "CODEBUILD_START_TIME": str(int(build.started * 1000)),
            **buildspec.variables,
            **build.variables,
        }
        if not open_to_commands(self.temporary, variables.get(_PATH_VARIABLE)):
            variables.pop(_USER_VARIABLE, None)
        return variables

    def start(self, buildspec: Buildspec, variables: Mapping[str, str], stop_seconds: float) -> subprocess.Popen[bytes]:
        """Start the agent; after SIGTERM to the build it waits ``stop_seconds`` for what its shell leaves behind."""
        plan = {
            "files": str(self.files),
            "source": str(self.source),
            "shell": buildspec.shell,
            "stop_seconds": stop_seconds,
            "phases": buildspec.phases,
            "variables": dict(variables),
        }
        with self.log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("agent.py"))],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
                cwd=self.root,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._user(buildspec.run_as),
            )
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(json.dumps(plan).encode() + b"\n")
        return process

    def _user(self, run_as: str | None) -> dict[str, Any]:
        """Return the arguments of ``Popen`` for the user of the buildspec.

        CodeBuild runs commands as root unless the buildspec names a user of the image. Here that user may be missing,
        and this process may not be root: then the commands run as this process's user.
        """
        if run_as is None or os.geteuid() != 0:
            return {}
        try:
            user = pwd.getpwnam(run_as)
        except KeyError:
            return {}
        for folder in (self.root, self.source, self.home, self.temporary):
            os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def open_to_commands(folder: Path, path: str | None = None) -> bool:
    """Return whether the commands' user reaches ``folder`` and Terraform, and this process may give them that user.

    Terraform is the one on ``path``, by default this process's PATH. A folder above keeps the user out if it is closed,
    like the home of root. Then commands run as this process's user.
    """
    if os.geteuid() != 0:
        return False
    python = [sys.executable, "-c", ""] if terraform_is_python(path) else ["true"]
    # The folder is entered by the shell: `cwd` would be entered as root.
    look = ["/bin/sh", "-c", 'cd -- "$0" && "$@"', str(folder), *python]
    return not subprocess.run(  # noqa: S603
        look,
        cwd="/",
        env={"PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        user=IMAGE_USER,
        group=IMAGE_USER,
        extra_groups=[],
    ).returncode


def end(process: subprocess.Popen[bytes], kind: str, seconds: float = 0.0) -> None:
    """End every process of a build: at once, or with ``kind`` ``TERM`` after SIGTERM and ``seconds``."""
    if kind == "TERM":
        _send(descendants(process.pid), signal.SIGTERM)
        until = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
    # A stopped agent starts nothing new, and still becomes the parent of orphans.
    _send([process.pid] if process.poll() is None else [], signal.SIGSTOP)
    while below := descendants(process.pid):
        _send(below, signal.SIGKILL)
        time.sleep(0.005)
    process.kill()
    process.wait()


def end_orphans(agents: Sequence[int]) -> None:
    """End the processes below this one that belong to no live agent, because their own agent was killed."""
    own = os.getpid()
    while orphans := set(descendants(own)) - {pid for agent in agents for pid in (agent, *descendants(agent))}:
        _send(list(orphans), signal.SIGKILL)
        for pid in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.005)


def _send(pids: Sequence[int], kind: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, kind)


__all__ = ["IMAGE_USER", "Container", "end", "end_orphans", "open_to_commands"]
