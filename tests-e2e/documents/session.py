"""Does what a reader of a page does: commands one after another, in an environment that holds nothing else."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Final, Self

from documents.blocks import ROOT

SECONDS: Final = 1200
"""Longest command; it only ends what hangs."""

_NETWORK: Final = re.compile(
    r"(?i)(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|CONFIG_FILE|FIND_LINKS)"
    r"|UV_(DEFAULT_INDEX|INDEX|INDEX_URL|CONFIG_FILE|SYSTEM_CERTS|NATIVE_TLS|FIND_LINKS)"
)
"""How this machine reaches the package index: no page can tell."""

_TOOLS: Final = ("bash", "git", "uv", "pipx", "pip", "python3", "terraform", "tofu")


def uv() -> str:
    """Return the path of uv: the machine's, or the one that ``.ci/setup`` installs."""
    return shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")


def empty_environment(home: Path, *, with_iac_ci: bool) -> dict[str, str]:
    """Return an environment like ``env -i`` of a new user: a home, a folder for temporary files, and programs."""
    programs = home / "programs"
    programs.mkdir(parents=True)
    (programs / "uv").symlink_to(uv())
    for tool in ("pipx", "iac-ci"):
        path = Path(sys.executable).with_name(tool)
        if path.exists() and (tool != "iac-ci" or with_iac_ci):
            (programs / tool).symlink_to(path)
    temporary = home / "tmp"
    temporary.mkdir()
    cache = subprocess.run([uv(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PATH": f"{home}/.local/bin:{programs}:/usr/local/bin:/usr/bin:/bin",
        "UV_CACHE_DIR": cache,
        **{name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)},
    }


def with_terraform(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment in which the tests' Terraform is found last: a page may name it where it cannot run it."""
    found = shutil.which("terraform")
    return environment | {"PATH": f"{environment['PATH']}:{Path(found).parent}"} if found else environment


class Session:
    """A shell that keeps its folder and exported variables between commands."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        """Begin in ``folder``."""
        self.environment = environment
        self.folder = folder
        self.run_id = "RUN"
        self._background: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Press Ctrl-C in what runs in the background."""
        for process in self._background:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=SECONDS)

    def write(self, name: str, text: str) -> None:
        """Write a file that the page shows."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def run(self, command: str) -> str:
        """Run a command and return its output; raise ``AssertionError`` if it fails."""
        state = Path(self.environment["HOME"]) / "state"
        keep = f'code=$?; {{ pwd; env -0; }} > {shlex.quote(str(state))}; exit "$code"'
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-c", f"{self._filled(command)}\n{keep}"],
            cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        folder, _, variables = state.read_text("utf-8").partition("\n")
        self.folder = Path(folder)
        self.environment = dict(one.split("=", 1) for one in variables.split("\0") if "=" in one)
        return done.stdout

    def start(self, command: str, shown: str = "") -> None:
        """Start a command that runs until the end, and wait until it says that Ctrl-C ends it.

        Where a page shows its output with the word RUN, that word is the run's id in all further commands.
        """
        process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", f"exec {self._filled(command)}"],
            cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._background.append(process)
        pattern = re.compile(re.escape(shown.strip()).replace("RUN", r"([0-9T]+-[0-9a-f]+)"))
        output: IO[Any] | None = process.stdout
        assert output is not None
        lines, line = [], ""
        for line in output:
            lines.append(line)
            found = pattern.search(line)
            if found is not None and found.groups():
                self.run_id = found[1]
            if "Ctrl-C" in line:
                break
        assert "Ctrl-C" in line, f"$ {command}\n{''.join(lines)}"
        assert self.run_id != "RUN" or not shown, f"$ {command}\n{''.join(lines)}"

    def _filled(self, command: str) -> str:
        return re.sub(r"\bRUN\b", self.run_id, command)
