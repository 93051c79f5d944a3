"""Debian's Docker engine, started where none answers: one for the whole machine, whatever number of runs ask for it.

It knows no bridge and changes no rule of the machine's network: containers get the machine's network or none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from offline.place import ROOT, lock

PLACE: Final = Path("/var/cache/iac-ci/engine")
_START_SECONDS: Final = 120
_ANSWER_SECONDS: Final = 20


class Unavailable(Exception):
    """There is no engine, or a base image cannot be made; the message says why."""


def answers(environment: Mapping[str, str]) -> bool:
    """Return whether an engine answers the client within seconds."""
    if shutil.which("docker") is None:
        return False
    try:
        done = subprocess.run(["docker", "version"], env=environment, capture_output=True, timeout=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def start() -> dict[str, str]:
    """Start the engine if it does not run yet; return what its client needs in the environment.

    Raises:
        Unavailable: without root, without apt, or where the engine does not start.
    """
    if os.geteuid() != 0:
        raise Unavailable("no Docker engine answers, and starting one needs root")
    found = {"DOCKER_HOST": f"unix://{PLACE}/docker.sock"}
    with lock(PLACE / "lock"):
        if answers(os.environ | found):
            return found
        install()
        if not _runs():
            _run()
        deadline = time.monotonic() + _START_SECONDS
        while not answers(os.environ | found):
            if time.monotonic() > deadline or not _runs():
                raise Unavailable(f"the Docker engine did not start: {_last_lines(PLACE / 'log')}")
            time.sleep(0.2)
    return found


def install() -> None:
    """Install what is missing of the engine and its client."""
    # In some releases the client is a package of its own, which the engine only recommends.
    for program, package in (("dockerd", "docker.io"), ("docker", "docker-cli")):
        if shutil.which(program) is None:
            install_package(package)


def install_package(*names: str) -> None:
    """Install Debian packages; raise ``Unavailable`` with what went wrong."""
    done = subprocess.run([ROOT / ".ci/apt", *names], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Unavailable(f"no Docker engine answers, and {done.stderr.strip()}")


def _run() -> None:
    (PLACE / "pid").unlink(missing_ok=True)
    arguments = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
    arguments += [f"--data-root={PLACE}/data", f"--exec-root={PLACE}/exec", f"--pidfile={PLACE}/pid"]
    with (PLACE / "log").open("w", encoding="utf-8") as log:
        started = subprocess.Popen(
            ["dockerd", *arguments, f"--host=unix://{PLACE}/docker.sock"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    (PLACE / "started").write_text(str(started.pid), "utf-8")


def _runs() -> bool:
    """Return whether the engine that was started last is still there, even if it does not answer yet."""
    try:
        pid = int((PLACE / "started").read_text("utf-8"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False
    return f"--data-root={PLACE}/data".encode() in command.split(b"\0")


def _last_lines(path: Path) -> str:
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-5:])
