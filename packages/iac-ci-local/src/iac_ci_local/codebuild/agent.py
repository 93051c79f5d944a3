"""The shell above the worker: runs the commands of one build as CodeBuild's agent does.

Runs as a script, with the standard library only. It reads one line of JSON from its standard input and exits with 0 if
every phase succeeded, 1 otherwise.

Each command runs in a new shell: the agent writes ``script.sh``, which changes to the folder in which the last command
ended, reads all variables from ``env.sh`` and writes them back after the command. Both files, the credentials' address
in them, are readable and writable for everybody, as public reports describe them. A failed phase ends the build, but
``post_build`` runs after a failed ``build`` (AWS CodeBuild User Guide, "Build phase transitions"). At the end every
process of the build ends, as with its container.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the phases of the plan on standard input."""
    if sys.platform == "linux":
        # Orphans of the commands become children of this process and end with it.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    plan = json.loads(sys.stdin.readline())
    os.umask(0o022)
    files = Path(plan["files"])
    write(
        files / "env.sh", "".join(f"export {name}={shlex.quote(value)}\n" for name, value in plan["variables"].items())
    )
    folder = Path(plan["source"])
    failed = False
    for name, commands in plan["phases"]:
        if failed and name != "post_build":
            continue
        for command in commands:
            code = run(command, plan, files, folder)
            if code == -signal.SIGTERM:
                wait_for_children(plan["stop_seconds"])
            if code != 0:
                sys.stdout.write(f"Phase {name}: COMMAND_EXECUTION_ERROR: {command}: exit status {code}\n")
                failed = True
                break
            folder = remembered(files, folder)
        if failed and name in {"install", "pre_build"}:
            break
    end_children()
    return int(failed)


def run(command: str, plan: dict[str, Any], files: Path, folder: Path) -> int:
    """Run one command in a new shell and return its exit code."""
    script = files / "script.sh"
    lines = (
        f"cd {shlex.quote(str(folder))}",
        "set -a",
        f". {shlex.quote(str(files / 'env.sh'))}",
        command,
        f"code=$?; pwd > {shlex.quote(str(files / 'folder'))}; export -p > {shlex.quote(str(files / 'env.sh'))}",
        "exit $code",
    )
    write(script, "\n".join(lines) + "\n")
    return subprocess.run(  # noqa: S603 - the buildspec's own command
        [plan["shell"], str(script)], env=plan["variables"], cwd=plan["source"], stdin=subprocess.DEVNULL, check=False
    ).returncode


def write(path: Path, text: str) -> None:
    """Write a file that everybody may read and write."""
    path.write_text(text, "utf-8")
    path.chmod(0o666)


def remembered(files: Path, folder: Path) -> Path:
    """Return the folder in which the last command ended; a command that called ``exit`` leaves it as it was."""
    with contextlib.suppress(OSError):
        return Path((files / "folder").read_text("utf-8").rstrip("\n"))
    return folder


def wait_for_children(seconds: float) -> None:
    """Wait for the processes of a build that was asked to end, of which the shell has ended, but not longer."""
    until = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)


def end_children() -> None:
    """Kill what the commands left behind."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):
        while children := listed.read_text("ascii").split():
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)


if __name__ == "__main__":
    sys.exit(main())
