"""Events of whole runs: what the history of runs is made of. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.limits import EVENT_RETENTION_SECONDS
from iac_ci_common.models.event import MAX_PROJECT_CHARS, Event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_common.models.rows import RunRow


def run_event(run: RunRow, at: datetime, *, kind: str | None = None, reason: str | None = None) -> Event:
    """Return the event that a run entered its state at ``at``, or an event of another ``kind``."""
    return Event(
        trace_id=run.trace_id,
        run_id=run.run_id,
        order_num=RUN_ORDER_NUM,
        kind=kind or run.status.value,
        at=at,
        reason=reason or run.reason,
        job_name=run.job_name,
        repository=run.repository,
        branch=run.branch,
        pull_request=run.report.pull_request if run.report is not None else None,
        actor=run.actor,
        expires_at=at + timedelta(seconds=EVENT_RETENTION_SECONDS),
    )


def accepted_event(run: RunRow, projects: Sequence[str], *, rerun_of: str | None = None) -> Event:
    """Return the first event of a run, with the names of its projects, as many as an event may have."""
    kept: list[str] = []
    for name in projects:
        if sum(map(len, kept)) + len(name) > MAX_PROJECT_CHARS:
            break
        kept.append(name)
    facts = {"projects": tuple(kept), "projects_left_out": len(projects) - len(kept)}
    reason = None if rerun_of is None else f"runs orders of {rerun_of} again"
    return run_event(run, run.accepted_at, kind="accepted", reason=reason).model_copy(update=facts)


__all__ = ["accepted_event", "run_event"]
