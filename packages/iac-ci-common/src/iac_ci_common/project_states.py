"""What applies make of a project's row: pure.

A generation counts the beginnings and the ends of applies. A plan remembers the generation at its beginning, and may be
applied only while the project still has it: then no apply has begun or ended since, whatever the clocks say.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.saved_plan import KnownDrift, ProjectState

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.saved_plan import ProjectApply

KEPT: Final = timedelta(days=400)
"""How long a project's row is kept after its last change: longer than any plan, whose limit is 365 days."""

MAX_PULLS: Final = 100
"""Most pull requests that a project's row names: those with the newest plans."""


def begun(state: ProjectState, apply: ProjectApply, generation: int | None, now: datetime) -> ProjectState | None:
    """Return the row in which an apply has begun; None if the plan of ``generation`` may not be applied any more.

    ``generation`` is None for an apply that plans for itself. An apply that has begun already begins once.
    """
    if _found(state, apply) is not None:
        return state
    if generation is not None and not may_apply(state, generation):
        return None
    applying = (*state.applying, apply)
    changed = {"generation": state.generation + 1, "applying": applying, "expires_at": now + KEPT}
    return state.model_copy(update=changed)


def ended(state: ProjectState, apply: ProjectApply, now: datetime) -> ProjectState:
    """Return the row in which an apply has ended; the same row if it is not one of those under way."""
    known = _found(state, apply)
    if known is None:
        return state
    last = apply.model_copy(update={"began_at": known.began_at})
    applying = tuple(one for one in state.applying if one is not known)
    changed = {"generation": state.generation + 1, "applying": applying, "last": last, "expires_at": now + KEPT}
    return state.model_copy(update=changed)


def planned(state: ProjectState, pull_request: int, now: datetime) -> ProjectState:
    """Return the row that names a pull request as one with a plan."""
    if pull_request in state.pulls:
        return state
    pulls = (*state.pulls, pull_request)[-MAX_PULLS:]
    return state.model_copy(update={"pulls": pulls, "expires_at": now + KEPT})


def drifted(state: ProjectState, run_id: str, *, is_found: bool, now: datetime) -> ProjectState:
    """Return the row after a run has found drift or none; the same row if that is as before, or of an earlier run.

    Ids of runs sort by time.
    """
    known = state.drift
    if is_found == (known is not None and known.is_found) or (known is not None and known.run_id >= run_id):
        return state
    drift = KnownDrift(is_found=is_found, run_id=run_id)
    return state.model_copy(update={"drift": drift, "expires_at": max(state.expires_at, now + KEPT)})


def new_state(key: str, now: datetime) -> ProjectState:
    """Return the row of a project that nothing was done to."""
    return ProjectState(key=key, expires_at=now + KEPT)


def may_apply(state: ProjectState | None, generation: int) -> bool:
    """Return whether a plan of this generation may be applied, as far as applies of the project are known."""
    if state is None:
        return generation == 0
    return state.generation == generation and not state.applying


def plan_again(planner: str | None) -> str:
    """Return the way on from a stale plan; ``planner`` is what makes the plan again, None if that is not known."""
    return f"plan it again with {planner or '/iac-ci plan'}"


def what_came(name: str, state: ProjectState | None, plan_sha256: str, again: str) -> str:
    """Return why the plan of a project may not be applied any more: which apply came in between, if not its own."""
    other = (state.applying[-1] if state.applying else state.last) if state is not None else None
    if state is None or other is None:
        return f"the plan of {name} is stale: what is known of the project is newer than the plan; {again}"
    if any(one.plan_sha256 == plan_sha256 for one in state.applying):
        return f"the plan of {name} is being applied by run {other.run_id}; wait for its end, or {again}"
    whose = f"pull request {other.pull_request}" if other.pull_request is not None else f"run {other.run_id}"
    when = "is being applied" if state.applying else "was applied"
    end = f", {other.status.replace('_', ' ')}" if other.status is not None else ""
    return f"the plan of {name} is stale: the project {when} by {whose} (run {other.run_id}{end}) since; {again}"


def _found(state: ProjectState, apply: ProjectApply) -> ProjectApply | None:
    """Return the entry of an apply that is under way, None if there is none."""
    return next((one for one in state.applying if (one.run_id, one.order_num) == (apply.run_id, apply.order_num)), None)
