"""Reports what the plans of a schedule's run found: an issue and an event per project. It may be repeated."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.errors import ConditionFailed, IacCiError
from iac_ci_common.ids import DRIFT_EVENT_NAME
from iac_ci_common.limits import EVENT_RETENTION_SECONDS
from iac_ci_common.models.event import DRIFT, NO_DRIFT, Event, FoundProject
from iac_ci_common.models.result import Result
from iac_ci_common.project_states import KEPT, drifted, new_state
from iac_ci_common.run_events import run_event
from iac_ci_common.states import OrderState
from iac_ci_orchestrator.results import read_result
from iac_ci_vcs.drift import Drift, ReportedDrift
from iac_ci_vcs.reporting.drift import drift_summary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.saved_plan import ProjectState
    from iac_ci_orchestrator.ports import OrchestratorPorts


_SHOWN: Final = 5
_TRIES: Final = 8
"""Attempts to write a row that other runs are changing; what is missing then, the next run finds."""


class DriftReporter:
    """Reports drift at the end of a run. A failure of the code host is logged and recorded, but fails no run."""

    def __init__(self, ports: OrchestratorPorts) -> None:
        """Use these ports."""
        self._ports = ports

    def finish(self, run: RunRow, orders: Sequence[OrderRow]) -> None:
        """Report the projects that a schedule's run has planned and not applied; do nothing for another run."""
        self._record_unread(run, orders)
        planned = found_plans(run, orders)
        if run.report is None or not planned:
            return
        states = self._states(planned)
        drifts = self._drifts(run, planned, states)
        try:
            reported = self._ports.reports.report_drift(run.report, drifts)
        except IacCiError as error:
            reported = [ReportedDrift(note=error.message[:512], error=error) for _ in drifts]
        refused = next((one.error for one in reported if one.error is not None), None)
        if refused is not None:
            self._ports.logger.warning("issue about drift failed", run_id=run.run_id, error=refused.message)
            at = self._ports.clock.now()
            self._ports.runs.record([run_event(run, at, kind="issue_failed", reason=refused.message[:1024])])
        pairs = list(zip(drifts, reported, strict=True))
        self._enter(run, pairs, states)
        self._ports.runs.record([_event(run, drift, one) for drift, one in pairs])

    def _record_unread(self, run: RunRow, orders: Sequence[OrderRow]) -> None:
        """Record that plans of a schedule's run do not say what differs, so that their issues stay as they are."""
        unread = [order for order in orders if _is_plan(order) and order.changes is None]
        if run.planned_for is None or not unread:
            return
        shown = [f"{order.project.name}: {_problem(order)}" for order in unread if order.project is not None]
        more = f"; and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        reason = f"no drift is known of {'; '.join(shown[:_SHOWN])}{more}"[:1024]
        self._ports.logger.warning("plans of a schedule cannot be read", run_id=run.run_id, reason=reason)
        at = run.finished_at or self._ports.clock.now()
        self._ports.runs.record([run_event(run, at, kind="drift_unknown", reason=reason)])

    def _drifts(self, run: RunRow, planned: Sequence[OrderRow], states: dict[str, ProjectState]) -> list[Drift]:
        """Return what was found of each project, with the plan's text where there is drift."""
        calls = [partial(read_result, self._ports.objects, order) for order in planned if _has_changes(order)]
        results = {result.order_num: result for result in self._ports.parallel.run(calls) if isinstance(result, Result)}
        found = []
        for order in planned:
            if order.project is None:
                continue
            result = results.get(order.order_num)
            state = states.get(keys.project_state(order.project.key))
            found.append(
                Drift(
                    run=run,
                    order=order,
                    key=order.project.key,
                    name=order.project.name,
                    at=order.ended_at or run.accepted_at,
                    plan=result.plan if result is not None else None,
                    known_issue=state.issue if state is not None else None,
                )
            )
        return found

    def changed(self, run: RunRow, orders: Sequence[OrderRow]) -> list[tuple[OrderRow, bool]]:
        """Return the orders whose projects have drift since this run, or none any more, as ``finish`` entered it."""
        planned = found_plans(run, orders)
        if not planned:
            return []
        states = self._states(planned)
        found = [(order, state.drift) for order in planned if (state := states.get(_state_key(order))) is not None]
        return [(order, drift.is_found) for order, drift in found if drift is not None and drift.run_id == run.run_id]

    def _states(self, planned: Sequence[OrderRow]) -> dict[str, ProjectState]:
        return self._ports.plans.states([_state_key(order) for order in planned])

    def _enter(
        self, run: RunRow, pairs: Sequence[tuple[Drift, ReportedDrift]], states: dict[str, ProjectState]
    ) -> None:
        """Enter into the projects' rows whether there is drift, and the numbers of issues."""
        for drift, one in pairs:
            known = states.get(keys.project_state(drift.key))
            for _ in range(_TRIES):
                now = self._ports.clock.now()
                state = known or new_state(keys.project_state(drift.key), now)
                entered = _with_issue(drifted(state, run.run_id, is_found=drift.is_found, now=now), one.issue, now)
                if entered == state:
                    break
                try:
                    self._ports.plans.write_state(entered)
                    break
                except ConditionFailed:
                    known = self._ports.plans.states([state.key]).get(state.key)


def found_plans(run: RunRow, orders: Sequence[OrderRow]) -> list[OrderRow]:
    """Return the orders of a schedule's run whose plans say what differs: planned, read, and not applied by it.

    Of several that plan one state, as with other variables, it is one with changes if there is one.
    """
    if run.planned_for is None:
        return []
    applied = {order.project.key for order in orders if order.project is not None and order.project.applies}
    found: dict[str, OrderRow] = {}
    for order in orders:
        if order.project is None or order.project.key in applied or order.changes is None or not _is_plan(order):
            continue
        known = found.get(order.project.key)
        if known is None or not _has_changes(known):
            found[order.project.key] = order
    return list(found.values())


def _is_plan(order: OrderRow) -> bool:
    is_planned = order.status is OrderState.SUCCEEDED and order.planned is not None
    return is_planned and order.project is not None and not order.project.applies


def _problem(order: OrderRow) -> str:
    problem = order.planned.problem if order.planned is not None else None
    return problem or "its plan cannot be read"


def _with_issue(state: ProjectState, issue: int | None, now: datetime) -> ProjectState:
    """Return a project's row with the number of its issue; without it the issue is found by its text."""
    if issue is None or (state.issue == issue and state.expires_at - now > KEPT / 2):
        return state
    return state.model_copy(update={"issue": issue, "expires_at": max(state.expires_at, now + KEPT)})


def _state_key(order: OrderRow) -> str:
    return keys.project_state(order.project.key) if order.project is not None else ""


def _has_changes(order: OrderRow) -> bool:
    return order.changes is not None and not order.changes.is_nothing


def _event(run: RunRow, drift: Drift, reported: ReportedDrift) -> Event:
    """Return the event about a project: the same at each attempt, apart from the issue."""
    return Event(
        trace_id=run.trace_id,
        run_id=run.run_id,
        order_num=drift.order.order_num,
        order_name=DRIFT_EVENT_NAME,
        kind=DRIFT if drift.is_found else NO_DRIFT,
        at=drift.at,
        reason=f"{drift.name}: {drift_summary(drift)}"[:1024],
        project=FoundProject(
            repository=run.report.repository if run.report is not None else "",
            name=drift.name,
            key=drift.key,
            commit=run.commit_hash,
            changes=drift.order.changes,
            issue=reported.issue,
            note=reported.note,
        ),
        expires_at=drift.at + timedelta(seconds=EVENT_RETENTION_SECONDS),
    )


__all__ = ["DriftReporter", "found_plans"]
