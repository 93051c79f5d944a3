"""One build, as CodeBuild describes it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping


@dataclass(slots=True)
class Build:
    """One build and the process of its agent."""

    identifier: str
    arn: str
    project: str
    started: float
    token: str | None
    variables: Mapping[str, str]
    """The variables of the project and of the request; everybody who may look at the build sees them."""

    minutes: int
    compute_type: str
    process: subprocess.Popen[bytes] | None = None
    status: str = "IN_PROGRESS"
    phase: str = "PROVISIONING"
    ended: float | None = None
    changing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def uuid(self) -> str:
        """Return the part of the id that differs between builds."""
        return self.identifier.partition(":")[2]

    def begin(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes] | None:
        """Start the agent and return its process; None, without starting it, for a build that was stopped before."""
        with self.changing:
            if self.status != "IN_PROGRESS":
                return None
            self.process = start()
            self.phase = "BUILD"
            return self.process

    def settle(self, status: str) -> None:
        """Set the status, unless the build was stopped or timed out before."""
        with self.changing:
            if self.status == "IN_PROGRESS":
                self.status = status

    def description(self) -> dict[str, Any]:
        """Return the build in CodeBuild's format; times are seconds since 1970."""
        description: dict[str, Any] = {
            "id": self.identifier,
            "arn": self.arn,
            "projectName": self.project,
            "startTime": self.started,
            "buildStatus": self.status,
            "buildComplete": self.ended is not None,
            "currentPhase": self.phase if self.ended is None else "COMPLETED",
            "timeoutInMinutes": self.minutes,
            "environment": {
                "computeType": self.compute_type,
                "environmentVariables": [
                    {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in self.variables.items()
                ],
            },
        }
        if self.ended is not None:
            description["endTime"] = self.ended
        return description


__all__ = ["Build"]
