"""A local cloud that counts AWS calls by caller."""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.counting_server import PATH, TRACE_PATH
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import LocalAws
from iac_ci_local.stack import FunctionDefinition, StackBuilder

if TYPE_CHECKING:
    from iac_ci_local.templates import StackFiles


_ROOT: Final = Path(__file__).resolve().parent.parent
_SERVER: Final = f"import sys; sys.path[0] = {str(_ROOT)!r}; from bench.counting_server import main; main"


@dataclass
class CountedAws(LocalAws):
    """A MiniStack that counts its requests."""

    event_delay: tuple[float, float] = (0.0, 0.0)
    """Shortest and longest seconds until an event of S3 is delivered."""

    def _children(self, port: int, builds: int) -> dict[str, Any]:
        children = super()._children(port, builds)
        server = children["children"][0]
        server["command"] = [sys.executable, "-c", f"{_SERVER}{self.event_delay}"]
        return children


class NamedStack(StackBuilder):
    """A stack whose functions send their names with every request."""

    def function_definitions(self, files: StackFiles) -> list[FunctionDefinition]:
        """Return every function with its short name as the SDK's application id."""
        return [
            replace(definition, environment={**definition.environment, "AWS_SDK_UA_APP_ID": definition.name})
            for definition in super().function_definitions(files)
        ]


@dataclass(slots=True)
class CountedCloud(LocalCloud):
    """A local cloud whose AWS calls are counted."""

    event_delay: tuple[float, float] = (0.0, 0.0)

    def make_aws(self) -> LocalAws:
        """Return the AWS of this cloud, not started yet."""
        return CountedAws(speed=self.speed, event_delay=self.event_delay)

    def builder(self) -> type[StackBuilder]:
        """Return the class that builds the stack with named functions."""
        return NamedStack

    def calls(self) -> list[dict[str, Any]]:
        """Return the counts since the previous call, by caller, service and operation."""
        return self._taken(PATH)

    def trace(self) -> list[dict[str, Any]]:
        """Return when each call since the previous one began and ended, with its caller."""
        return self._taken(TRACE_PATH)

    def _taken(self, path: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.aws.endpoint}{path}", timeout=300) as answer:
            taken: list[dict[str, Any]] = json.load(answer)
        return taken
