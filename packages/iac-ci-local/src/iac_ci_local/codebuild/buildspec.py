"""Reads a buildspec, as far as the local cloud runs it: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.codebuild.requests import BuildRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PHASES: Final = ("install", "pre_build", "build", "post_build")
_SHELLS: Final = {"sh": "/bin/sh", "bash": "/bin/bash"}
_KNOWN: Final = {"version", "run-as", "env", "phases"}


@dataclass(frozen=True, slots=True)
class Buildspec:
    """The commands of each phase, in the order of the phases, and how they run."""

    phases: Sequence[tuple[str, Sequence[str]]]
    shell: str
    run_as: str | None
    variables: Mapping[str, str]


def read_buildspec(stored: Mapping[str, Any]) -> Buildspec:
    """Return a buildspec of version 0.2; raise ``BuildRefused`` for a field that the local cloud does not run.

    A field that is ignored here and works on AWS would make the local cloud kinder or stranger than AWS.
    """
    unknown = set(stored) - _KNOWN | set(stored.get("env", {})) - {"shell", "variables"}
    phases = stored.get("phases", {})
    unknown |= set(phases) - set(_PHASES)
    unknown |= {name for phase in phases.values() for name in set(phase) - {"commands"}}
    if unknown:
        raise BuildRefused(
            "InvalidInputException",
            f"the local cloud does not run these fields of a buildspec: {', '.join(sorted(unknown))}",
        )
    if str(stored.get("version")) != "0.2":
        raise BuildRefused("InvalidInputException", "the version of the buildspec must be 0.2")
    environment = stored.get("env", {})
    shell = environment.get("shell", "sh")
    if shell not in _SHELLS:
        raise BuildRefused("InvalidInputException", f"the local cloud has no shell {shell!r}")
    return Buildspec(
        phases=[(name, list(phases[name]["commands"])) for name in _PHASES if name in phases],
        shell=_SHELLS[shell],
        run_as=stored.get("run-as"),
        variables=dict(environment.get("variables", {})),
    )


__all__ = ["Buildspec", "read_buildspec"]
