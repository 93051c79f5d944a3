"""How unkind the build service is; the defaults are the worst that AWS may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Settings of the build service."""

    provisioning_seconds: float = 0.0
    """Seconds before the first command. They count against the build's time-out, as on AWS (AWS CodeBuild User Guide,
    "Build phase transitions")."""

    stop_signal: Literal["KILL", "TERM"] = "KILL"
    """What StopBuild does. AWS promises no signal and no time to react, so the default ends every process at once; with
    ``TERM`` each process of the build gets SIGTERM and ``stop_seconds``."""

    stop_seconds: float = 15.0
    """Seconds between SIGTERM and SIGKILL where StopBuild begins with SIGTERM."""

    minute_seconds: float = 60.0
    """Length of a minute of a build's time-out."""


__all__ = ["BuildSettings"]
