"""Enters plans and applies into the ledger of plans. Each step may be repeated."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_common import keys
from iac_ci_common.errors import ConditionFailed, PlanStale, PortFailed
from iac_ci_common.models.saved_plan import PlanRecord, ProjectApply, SavedPlan
from iac_ci_common.project_states import begun, ended, may_apply, new_state, plan_again, planned, what_came
from iac_ci_common.states import RUN_TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.saved_plan import OrderProject, ProjectState
    from iac_ci_common.ports import Clock, Objects, Plans, Runs
    from iac_ci_orchestrator.decide import Dispatch

_TRIES: Final = 10
"""Most writes of one row: each time another process has changed it meanwhile."""

MAX_NOTICES: Final = 20
"""Most pull requests that get a comment about one apply, those with the newest plans; each costs several requests
of the code host."""

_MARGIN: Final = timedelta(hours=1)
"""How long before the bucket may delete a plan's bytes the plan expires: an apply that began must find them."""

T = TypeVar("T")


class ProjectLedger:
    """The ledger of plans, as the orchestrator uses it."""

    def __init__(self, plans: Plans, runs: Runs, objects: Objects, clock: Clock, plan_days: int) -> None:
        """Use the ledger and the internal bucket ``objects``; saved plans are kept for ``plan_days`` days."""
        self._plans = plans
        self._runs = runs
        self._objects = objects
        self._clock = clock
        self._kept = timedelta(days=plan_days)

    def with_generations(self, dispatches: Sequence[Dispatch]) -> list[Dispatch]:
        """Return the dispatches; a plan that is dispatched for the first time gets its project's generation."""
        wanted = {
            keys.project_state(project.key)
            for dispatch in dispatches
            if (project := _planned_project(dispatch.after)) is not None and dispatch.after.generation is None
        }
        states = self._plans.states(wanted) if wanted else {}
        states = {key: self._without_ended_runs(state) if state.applying else state for key, state in states.items()}
        return [self._with_generation(dispatch, states) for dispatch in dispatches]

    def _with_generation(self, dispatch: Dispatch, states: dict[str, ProjectState]) -> Dispatch:
        order = dispatch.after
        project = _planned_project(order)
        if project is None or order.generation is not None:
            return dispatch
        state = states.get(keys.project_state(project.key))
        generation = state.generation if state is not None else 0
        return replace(dispatch, after=order.model_copy(update={"generation": generation}))

    def _without_ended_runs(self, state: ProjectState) -> ProjectState:
        """End the applies whose runs have ended: another version may have ended such a run and not entered it.

        A plan that is made now is not refused for them.
        """
        now = self._clock.now()
        for apply in state.applying:
            # By a query, as all of the orchestrator's reads of rows: its role has no GetItem.
            run = self._runs.read(apply.run_id).run
            if run is not None and run.status not in RUN_TERMINAL:
                continue
            over = apply.model_copy(update={"ended_at": now, "status": run.status.value if run is not None else None})
            state = ended(state, over, now)
        with contextlib.suppress(ConditionFailed):
            return self._plans.write_state(state) if not state.applying else state
        return self._plans.states([state.key]).get(state.key, state)

    def begin(self, run: RunRow, order: OrderRow) -> None:
        """Enter that an apply begins, before its worker is started; do nothing for another order.

        Raises ``PlanStale`` if its saved plan may not be applied any more: then nothing has begun. Raises
        ``ConditionFailed`` if the attempt has a result: this process was so slow that another one dispatched it.
        """
        project = order.project
        if project is None or not project.applies:
            return
        saved = project.saved
        if saved is not None:
            _check_age(saved, self._clock.now(), plan_again(project.planner))
            _check(order, saved, plan_again(project.planner))
        apply, now = _apply(run, order), self._clock.now()
        generation = saved.generation if saved is not None else None

        def change(state: ProjectState) -> ProjectState:
            changed = begun(state, apply, generation, now)
            # Its end may be entered already. The result, which is written before that, is looked for after the row was
            # read: an end that is entered later refuses the write.
            if changed is not state and self._has_result(order):
                message = "another process dispatched the order, and it has a result; nothing was started again"
                raise ConditionFailed(message, run_id=run.run_id, order_num=order.order_num, retry_is_safe=True)
            if changed is None:
                reason = what_came(project.name, state, apply.plan_sha256 or "", plan_again(project.planner))
                raise PlanStale(reason, run_id=run.run_id, order_num=order.order_num)
            return changed

        self._change(project, change)

    def _has_result(self, order: OrderRow) -> bool:
        """Return whether the present attempt of an order has ended."""
        return self._objects.exists(keys.result(*order.attempt_key))

    def end(self, run: RunRow, order: OrderRow) -> PlanRecord | None:
        """Enter the plan or the end of an apply of an order that has ended, before its row says so.

        Return the new plan if it replaces one whose pull request has a comment that it is stale, and is not stale
        itself, else None.
        """
        project = order.project
        if project is None:
            return None
        now = order.ended_at or self._clock.now()
        if project.applies:
            if order.dispatched_at is None and order.attempt == 1 and not order.handed_over:
                return None
            apply = _apply(run, order).model_copy(update={"ended_at": now, "status": order.status.value})
            # Written even if no apply had begun: a process that stands still may be about to write that it begins.
            self._change(project, lambda state: ended(state, apply, now), is_written=True)
        elif order.status is OrderState.SUCCEEDED and order.planned is not None and order.files is not None:
            return self._record(run, order, project, now)
        return None

    def _record(self, run: RunRow, order: OrderRow, project: OrderProject, now: datetime) -> PlanRecord | None:
        """Write the pull request's row, unless a newer run's plan is there, and name the pull request."""
        report = run.report
        if report is None or report.scope is None or report.pull_request is None or project.record is None:
            return None
        if order.planned is None or order.files is None or run.commit_hash is None:
            return None
        record = PlanRecord(
            key=project.record,
            project=project.key,
            name=project.name,
            pull_request=report.pull_request,
            repository=report.repository,
            job=run.job_name or "plan",
            planner=project.planner,
            replans=project.replans and not order.planned.destroys,
            commit=run.commit_hash,
            base=report.scope.base,
            merge_into=report.scope.merge_into,
            merge_commit=report.scope.merge_commit,
            configuration=report.scope.configuration,
            saved=SavedPlan(
                run_id=run.run_id,
                order_num=order.order_num,
                order_name=order.order_name,
                attempt=order.attempt,
                file=project.file,
                planned=order.planned,
                files=order.files,
                code_sha256=order.code_sha256,
                generation=order.generation or 0,
            ),
            changes=order.changes,
            planned_at=now,
            usable_until=now + self._kept - _MARGIN,
            expires_at=now + self._kept,
        )
        written, replaced = self._newest(record)
        if not written:
            return None
        pull = report.pull_request
        state = self._change(project, lambda state: planned(state, pull, now))
        was_stale = replaced is not None and replaced.has_stale_notice
        return record if was_stale and may_apply(state, record.saved.generation) else None

    def stale(self, run: RunRow, order: OrderRow) -> list[PlanRecord]:
        """Return the plans that an apply has made stale and that have no comment about it.

        They are those of other pull requests, and one that its own pull request has made meanwhile.
        """
        project = order.project
        if project is None or not project.applies or project.record is None:
            return []
        state = self._plans.states([keys.project_state(project.key)]).get(keys.project_state(project.key))
        # An apply without a saved plan has made one for itself.
        own = run.report.pull_request if run.report is not None and project.saved is None else None
        others = [number for number in state.pulls if number != own] if state is not None else []
        if state is None or not others or not _has_begun(run, order, state):
            return []
        found = self._plans.records([keys.plan_record_of(project.record, number) for number in others])
        untold = [
            one
            for one in found.values()
            if not one.has_stale_notice
            and one.saved.generation != state.generation
            and not _is_same(one.saved, project.saved)
        ]
        return sorted(untold, key=lambda one: (one.planned_at, one.pull_request))[-MAX_NOTICES:]

    def overtaken(self, run: RunRow, orders: Sequence[OrderRow]) -> list[tuple[PlanRecord, ProjectApply]]:
        """Return the plans of a run that has ended which applies have made stale, and these applies.

        An apply that is still under way returns them from ``stale`` at its end.
        """
        projects = [
            project
            for order in orders
            if order.planned is not None and (project := _planned_project(order)) is not None
        ]
        wanted = [project.record for project in projects if project.record is not None]
        if not wanted:
            return []
        records = self._plans.records(wanted)
        states = self._plans.states([keys.project_state(project.key) for project in projects])
        found: list[tuple[PlanRecord, ProjectApply]] = []
        for record in records.values():
            state = states.get(keys.project_state(record.project))
            if record.saved.run_id != run.run_id or state is None or state.applying or state.last is None:
                continue
            is_own = state.last.plan_sha256 == record.saved.planned.sha256
            if record.saved.generation != state.generation and not is_own:
                found.append((record, state.last))
        return found

    def enter_notice(self, record: PlanRecord) -> None:
        """Enter that a pull request has the comment; another process may have written a newer plan meanwhile."""
        if record.has_stale_notice:
            return
        with contextlib.suppress(ConditionFailed):
            self._plans.write_record(record.model_copy(update={"has_stale_notice": True}))

    def _newest(self, record: PlanRecord) -> tuple[bool, PlanRecord | None]:
        """Write a row; return whether it is the newest, and the one before. Ids of runs sort by time."""
        for _ in range(_TRIES):
            known = self._plans.records([record.key]).get(record.key)
            if known is not None and known.saved.run_id > record.saved.run_id:
                return False, known
            version = known.version if known is not None else 0
            wanted = record.model_copy(update={"version": version})
            try:
                if wanted != known:
                    self._plans.write_record(wanted)
            except ConditionFailed:
                continue
            return True, known
        raise PortFailed("other runs changed the ledger of plans at every attempt", retry_is_safe=True)

    def _change(
        self, project: OrderProject, change: Callable[[ProjectState], ProjectState], *, is_written: bool = False
    ) -> ProjectState:
        """Change the project's row and return it; ``is_written`` writes a row that stays as it is too.

        Then every process that has read it before has to read it again.
        """
        key = keys.project_state(project.key)
        for _ in range(_TRIES):
            known = self._plans.states([key]).get(key)
            before = known or new_state(key, self._clock.now())
            changed = change(before)
            if not is_written and known is not None and changed == before:
                return before
            try:
                return self._plans.write_state(changed)
            except ConditionFailed:
                continue
        raise PortFailed("other runs changed the project's row at every attempt", retry_is_safe=True)


def _check(order: OrderRow, saved: SavedPlan, again: str) -> None:
    """Raise ``PlanStale`` if the plan was made from other code, or may not be applied at all."""
    if saved.planned.problem is not None:
        raise PlanStale(f"the plan cannot be applied: {saved.planned.problem}; {again}")
    if saved.code_sha256 != order.code_sha256:
        raise PlanStale(f"the plan is stale: it was made from other files than those of this commit; {again}")


def _check_age(saved: SavedPlan, now: datetime, again: str) -> None:
    """Raise ``PlanStale`` if the plan has expired: its order may have waited for long since the command was checked."""
    if saved.usable_until is not None and saved.usable_until <= now:
        raise PlanStale(f"the plan expired on {saved.usable_until:%Y-%m-%d at %H:%M} UTC; {again}")


def _planned_project(order: OrderRow) -> OrderProject | None:
    """Return the project that an order plans, None if it plans none."""
    return order.project if order.project is not None and not order.project.applies else None


def _has_begun(run: RunRow, order: OrderRow, state: ProjectState) -> bool:
    """Return whether an apply has begun: it makes plans stale, whether or not its worker could be started."""
    last = state.last
    is_last = last is not None and (last.run_id, last.order_num) == (run.run_id, order.order_num)
    return is_last or order.started_at is not None


def _is_same(plan: SavedPlan, other: SavedPlan | None) -> bool:
    return other is not None and (plan.run_id, plan.order_num) == (other.run_id, other.order_num)


def _apply(run: RunRow, order: OrderRow) -> ProjectApply:
    project = order.project
    saved = project.saved if project is not None else None
    return ProjectApply(
        run_id=run.run_id,
        order_num=order.order_num,
        pull_request=run.report.pull_request if run.report is not None else None,
        plan_sha256=saved.planned.sha256 if saved is not None else None,
        began_at=order.dispatched_at or run.accepted_at,
    )
