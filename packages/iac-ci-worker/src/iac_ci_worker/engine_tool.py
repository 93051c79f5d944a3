"""The engine's own copy of Terraform or OpenTofu, which it runs apart from the commands."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import PackageUnsafe, PortFailed
from iac_ci_common.models.tools import Tool
from iac_ci_plans.lines import without_escapes
from iac_ci_worker.processes import end_descendants, kill_sessions
from iac_ci_worker.sealed_objects import sha256_of
from iac_ci_worker.separation import process_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iac_ci_worker.workspace import Workspace

_LOOK_SECONDS: Final = 1.0
_CHUNK: Final = 256 * 1024
_MOST_ERROR_BYTES: Final = 64 * 1024
_VERSION_SECONDS: Final = 60.0
_MOST_VERSION_BYTES: Final = 1024 * 1024

READS_PLANS: Final = (Tool.TERRAFORM, Tool.OPENTOFU)
"""The tools whose saved plans the engine reads. A plan of Terragrunt is one of these tools, in a folder of its own."""


@dataclass(frozen=True, slots=True)
class ToolEnd:
    """How a tool ended: its exit code, and what it printed to standard error, on one line and without colours."""

    code: int
    error: str


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """How long a tool may run (``until`` is a time of ``time.monotonic``), and how many bytes it may print."""

    until: float
    most_bytes: int


@dataclass(frozen=True, slots=True)
class EngineTool:
    """A program of which the digest was taken before the first command; it runs only while it has that digest."""

    name: str
    program: Path
    sha256: str
    path: str
    """``PATH`` of the program."""

    def version(self, workspace: Workspace) -> str:
        """Return the tool's version; raise ``PortFailed`` if it does not tell it.

        It runs as the worker, because it reads nothing of the order.
        """
        printed = bytearray()
        limits = ToolLimits(time.monotonic() + _VERSION_SECONDS, _MOST_VERSION_BYTES)
        with tool_folder(workspace, None) as folder:
            end = self.run(("version", "-json"), folder, printed.extend, limits)
        try:
            version = json.loads(printed)["terraform_version"]
        except (ValueError, TypeError, KeyError) as error:
            raise PortFailed(f"{self.name} did not tell its version: {end.error:.200}") from error
        return str(version)

    def run(
        self,
        arguments: tuple[str, ...],
        folder: Path,
        sink: Callable[[bytes], object],
        limits: ToolLimits,
        *,
        user: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> ToolEnd:
        """Run the tool in a folder of ``tool_folder`` and pass on what it prints; then none of its processes is left.

        Its environment holds nothing of the order but ``variables``. Raises ``PortFailed`` if it is not the program
        of before, cannot be started, or takes too long or prints too much.
        """
        if sha256_of(self.program) != self.sha256:
            raise PortFailed(f"the commands changed the engine's copy of {self.name}")
        try:
            process = subprocess.Popen(  # noqa: S603 - the engine's own copy
                [self.program, *arguments],
                cwd=folder,
                env=_environment(folder, self.path) | dict(variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                **process_arguments(user),
            )
        except OSError as error:
            raise PortFailed(f"{self.name} could not be started: {os.strerror(error.errno or 0)}") from error
        errors = bytearray()
        try:
            _pass_on(process, sink, errors, limits, self.name)
            code = process.wait(max(0.0, limits.until - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise PortFailed(_late(self.name)) from error
        finally:
            kill_sessions([process.pid])
            process.wait()
            end_descendants()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        return ToolEnd(code, _one_line(bytes(errors)))


def engine_tool(name: str, workspace: Workspace, command_path: str) -> EngineTool | None:
    """Return the copy of a tool that commands find first: the fetched one, or else the one on their ``PATH``.

    Return None for a tool that reads no plans, or that is not there. Call this before the first command.
    """
    if name not in READS_PLANS:
        return None
    program = workspace.tools / Tool(name).program
    if not program.is_file():
        found = shutil.which(program.name, path=command_path)
        if found is None:
            return None
        program = Path(found).resolve()
    return EngineTool(name, program, sha256_of(program), command_path)


def needed_tool(name: str, workspace: Workspace, command_path: str) -> EngineTool:
    """Return the same copy; raise ``PackageUnsafe`` if there is none."""
    tool = engine_tool(name, workspace, command_path)
    if tool is None:
        raise PackageUnsafe(f"the worker has no {name}, whose plan is to be applied; name its version in `tools`")
    return tool


@contextlib.contextmanager
def tool_folder(workspace: Workspace, user: int | None) -> Iterator[Path]:
    """Make a folder in which the engine's tool runs, and remove it at the end.

    ``user``, if it is another than the worker's, may read the folder, and write only its ``home`` and ``tmp``.
    """
    with tempfile.TemporaryDirectory(prefix="tool-", dir=workspace.root, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "terraform.rc").touch(0o644)
        for inner in (folder / "home", folder / "tmp"):
            inner.mkdir(0o700)
            if user is not None:
                os.chown(inner, user, user)
        if user is not None:
            os.chown(folder, -1, user)
            folder.chmod(0o750)
        yield folder


def _environment(folder: Path, path: str) -> dict[str, str]:
    """Return the tool's whole environment: the user's configuration is an empty file, and nothing asks the network."""
    return {
        "PATH": path,
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "TF_CLI_CONFIG_FILE": str(folder / "terraform.rc"),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }


def _pass_on(
    process: subprocess.Popen[bytes],
    sink: Callable[[bytes], object],
    errors: bytearray,
    limits: ToolLimits,
    name: str,
) -> None:
    """Read both outputs until they end, or until the process has ended and nothing more comes."""
    left = limits.most_bytes
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            selector.register(pipe, selectors.EVENT_READ)  # type: ignore[arg-type]
        while selector.get_map():
            seconds = limits.until - time.monotonic()
            if seconds <= 0:
                raise PortFailed(_late(name))
            ready = selector.select(min(seconds, _LOOK_SECONDS))
            if not ready and process.poll() is not None:
                return
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    errors += chunk[: _MOST_ERROR_BYTES - len(errors)]
                else:
                    left -= len(chunk)
                    if left < 0:
                        raise PortFailed(f"{name} printed more than {limits.most_bytes} bytes")
                    sink(chunk)


def _late(name: str) -> str:
    return f"{name} did not end in the time that was left"


def _one_line(printed: bytes) -> str:
    lines = (without_escapes(line).decode("utf-8", "replace") for line in printed.split(b"\n"))
    return " ".join(" ".join(lines).replace("│", " ").replace("╷", " ").replace("╵", " ").split())


__all__ = ["READS_PLANS", "EngineTool", "ToolEnd", "ToolLimits", "engine_tool", "needed_tool", "tool_folder"]
