"""A local cloud one of whose AWS calls goes wrong."""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cloud import NamedStack

from faults import ending_sessions
from faults.breaking_server import PATH
from faults.ending_sessions import Ending
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import LocalAws
from iac_ci_local.stack import StackBuilder

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

    def make_aws(self) -> LocalAws:
        """Make the AWS of this cloud; not started yet."""
        return BreakingAws(speed=self.speed, builds=self.builds, functions=self.functions)

    def builder(self) -> type[StackBuilder]:
        """Let each function say its name."""
        return NamedStack

    def arm(self, caller: str = "", what: str = "", call: int = -1, kind: str = "") -> None:
        """Let the ``call``-th call from now go wrong that ``caller`` makes of the operation ``what``."""
        body = json.dumps({"caller": caller, "what": what, "call": call, "kind": kind}).encode()
        self._ask(PATH, body).close()

    def end_sessions(self, ending: Ending | None) -> None:
        """Refuse presigned URLs from a step on; None refuses none. The module ``ending_sessions`` says more."""
        self._ask(ending_sessions.PATH, ending_sessions.encoded(ending)).close()

    def presigned(self) -> dict[str, Any]:
        """Return the presigned requests since ``end_sessions`` was called with an ending, and how many were refused."""
        with self._ask(ending_sessions.PATH) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        method = "GET" if body is None else "PUT"
        request = urllib.request.Request(f"{self.aws.endpoint}{path}", data=body, method=method)
        return urllib.request.urlopen(request, timeout=300)

    def seen(self) -> dict[str, Any]:
        """Return the calls since, and which one was hit."""
        with self._ask(PATH) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
