"""A Docker engine: the one that runs, or one that ``.ci/docker`` starts."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LAMBDA_FLAGS: Final = ("--read-only", "--tmpfs", "/tmp:exec", "--user", "993:990")
"""Makes a container like Lambda's: a file system that can only be read but for /tmp, and a user of Lambda's own."""

_ENGINE_SECONDS: Final = 2100
_BUILD_SECONDS: Final = 1200
_RUN_SECONDS: Final = 900


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let the second of two test processes find the layers of an image that the first one has made."""
    with (ROOT / "Dockerfile").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class EngineMissing(Exception):
    """There is no engine, and none can be started."""


@dataclass(frozen=True)
class Engine:
    """Runs ``docker`` with what it needs to find the engine and, for builds, the base images."""

    environment: dict[str, str]
    build_flags: tuple[str, ...]
    description: str

    def run(
        self, *arguments: str, seconds: float = _RUN_SECONDS, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker``; fail with what it said."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )
        if check:
            assert done.returncode == 0, f"docker {shlex.join(arguments)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done

    def build(self, tag: str, *flags: str, source: Path = ROOT) -> str:
        """Build the image of this checkout, or of another folder; return its id, which no later build changes."""
        with one_at_a_time(), tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "id"
            flags = (*self.build_flags, *flags, "--iidfile", str(written), "-t", tag)
            self.run("build", *flags, str(source), seconds=_BUILD_SECONDS)
            return written.read_text("utf-8").strip()

    def inside_as_lambda(self, image: str, script: str) -> str:
        """Run a script as Lambda's user, where only /tmp can be written to; give everything that it said."""
        flags = ("--rm", "--network", "none", *LAMBDA_FLAGS)
        done = self.run("run", *flags, image, "bash", "-c", f"{{ {script}; }} 2>&1", check=False)
        return done.stdout

    def inside(self, image: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of the image, as its user and without a network."""
        given = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        return self.run("run", "--rm", "--network", "none", *given, image, *command, check=False)

    def shell(self, image: str, script: str) -> str:
        """Run a script in a container; give what it printed."""
        done = self.inside(image, "bash", "-c", script)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def size(self, image: str) -> int:
        """Return the bytes of an image with all its layers."""
        return int(self.run("image", "inspect", "--format", "{{.Size}}", image).stdout)


def find_engine() -> Engine:
    """Find or start an engine; raises ``EngineMissing`` with the reason."""
    done = subprocess.run([ROOT / ".ci/docker"], capture_output=True, text=True, timeout=_ENGINE_SECONDS)
    if done.returncode == 3:
        raise EngineMissing(done.stderr.strip()[-500:])
    assert done.returncode == 0, done.stderr
    told = dict(word.split("=", 1) for line in done.stdout.splitlines() for word in shlex.split(line) if "=" in word)
    environment = dict(os.environ) | told
    return Engine(environment, tuple(shlex.split(environment.get("DOCKER_BUILD_FLAGS", ""))), done.stderr.strip())
