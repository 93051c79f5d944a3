"""Checks requests to start a build: pure."""

from __future__ import annotations

import re
from typing import Any, Final

RESERVED_PREFIX: Final = "CODEBUILD_"
"""Beginning of names that only CodeBuild sets (AWS CodeBuild User Guide, "Environment variables in builds")."""

MAX_VALUE_CHARACTERS: Final = 4096
"""Longest value of a variable. No document of AWS has the number; a public report has the message."""

TIMEOUT_MINUTES: Final = range(5, 2161)
"""Time-outs of a build that StartBuild accepts (AWS CodeBuild API Reference, "StartBuild")."""

COMPUTE_TYPES: Final = (
    "BUILD_GENERAL1_SMALL",
    "BUILD_GENERAL1_MEDIUM",
    "BUILD_GENERAL1_LARGE",
    "BUILD_GENERAL1_XLARGE",
    "BUILD_GENERAL1_2XLARGE",
)
"""Machines of builds in Linux containers (AWS CodeBuild User Guide, "Build environment compute modes and types")."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BuildRefused(Exception):
    """A request that CodeBuild refuses; ``kind`` is the name of the error in the answer."""

    def __init__(self, kind: str, message: str) -> None:
        """Store the error's name and its message."""
        super().__init__(message)
        self.kind = kind


def variables_of(request: dict[str, Any]) -> dict[str, str]:
    """Return the variables that a request adds to those of its project; raise ``BuildRefused`` for a wrong one."""
    variables: dict[str, str] = {}
    for entry in request.get("environmentVariablesOverride", []):
        name, value = entry["name"], entry["value"]
        if name.startswith(RESERVED_PREFIX) or not _NAME.fullmatch(name):
            raise BuildRefused("InvalidInputException", f"Environment variable name {name} is not valid")
        if entry.get("type", "PLAINTEXT") != "PLAINTEXT":
            raise BuildRefused("InvalidInputException", "the local cloud supports variables of type PLAINTEXT only")
        if len(value) > MAX_VALUE_CHARACTERS:
            raise BuildRefused(
                "InvalidInputException", f"EnvironmentVariable should be at most {MAX_VALUE_CHARACTERS} characters"
            )
        variables[name] = value
    return variables


def minutes_of(request: dict[str, Any], project: dict[str, Any]) -> int:
    """Return the time-out of a build, the request's or the project's; raise ``BuildRefused`` outside the limits."""
    minutes: int = request.get("timeoutInMinutesOverride", project["timeout_minutes"])
    if minutes not in TIMEOUT_MINUTES:
        raise BuildRefused(
            "InvalidInputException",
            f"Invalid timeout: must be between {TIMEOUT_MINUTES.start} and {TIMEOUT_MINUTES.stop - 1} minutes",
        )
    return minutes


def compute_type_of(request: dict[str, Any], project: dict[str, Any]) -> str:
    """Return a build's machine, the request's or the project's; raise ``BuildRefused`` for an unknown one."""
    machine: str = request.get("computeTypeOverride", project["compute_type"])
    if machine not in COMPUTE_TYPES:
        raise BuildRefused("InvalidInputException", f"Invalid computeType: {machine}")
    return machine


__all__ = [
    "COMPUTE_TYPES",
    "MAX_VALUE_CHARACTERS",
    "RESERVED_PREFIX",
    "TIMEOUT_MINUTES",
    "BuildRefused",
    "compute_type_of",
    "minutes_of",
    "variables_of",
]
