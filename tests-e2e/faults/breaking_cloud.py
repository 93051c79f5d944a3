"""A local cloud one of whose AWS calls goes wrong."""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cloud import NamedStack

from faults.breaking_server import PATH
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import LocalAws

_ROOT = Path(__file__).resolve().parents[2]
_SERVER = (
    f"import sys; sys.path[:1] = [{str(_ROOT)!r}, {str(_ROOT / 'tests-e2e')!r}]; "
    "from faults.breaking_server import main; main()"
)


class BreakingAws(LocalAws):
    """MiniStack behind the saboteur."""

    __slots__ = ()

    def _children(self, port: int, builds: int) -> dict[str, Any]:
        children = super()._children(port, builds)
        children["children"][0]["command"] = [sys.executable, "-c", _SERVER]
        return children


@dataclass(slots=True)
class BreakingCloud(LocalCloud):
    """A local cloud whose functions say their names and whose calls can be made to fail."""

    def start(self) -> None:
        """Start it; like the plain cloud's, with another server and stack."""
        self.aws = BreakingAws(speed=self.speed)
        self.aws.start()
        try:
            self.stack = NamedStack(
                self.aws,
                stack=self.stack_name,
                log_level=self.log_level,
                max_parallel=self.max_parallel,
                worker_environment={"IAC_CI_COMMAND_PATH": self._command_path()},
            ).create()
        except BaseException:
            self.stop()
            raise

    def arm(self, caller: str = "", what: str = "", call: int = -1, kind: str = "") -> None:
        """Let the ``call``-th call from now go wrong that ``caller`` makes of the operation ``what``."""
        body = json.dumps({"caller": caller, "what": what, "call": call, "kind": kind}).encode()
        request = urllib.request.Request(f"{self.aws.endpoint}{PATH}", data=body, method="PUT")
        urllib.request.urlopen(request, timeout=30).close()

    def seen(self) -> dict[str, Any]:
        """Give the calls since, and which one was hit."""
        with urllib.request.urlopen(f"{self.aws.endpoint}{PATH}", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
