"""Starts workers, and the run's watchdog before them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iac_ci_common.execution_life import build_seconds
from iac_ci_common.limits import MAX_TICKETS
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.work import BuildOrder, Work
from iac_ci_common.tickets import digest, new_ticket
from iac_ci_common.work_urls import invocation_urls, url_seconds

if TYPE_CHECKING:
    from iac_ci_common.models.rows import RunRow
    from iac_ci_common.ports import Clock, Objects, Runs, Watchdogs, Workers
    from iac_ci_orchestrator.decide import Dispatch


@dataclass(frozen=True, slots=True)
class Started:
    """A started worker; ``build_id`` is set if it is a build."""

    build_id: str | None = None


class Dispatcher:
    """Starts workers. A repeated start is harmless, because of the watchdog's name and the worker's claim."""

    def __init__(self, clock: Clock, runs: Runs, objects: Objects, watchdogs: Watchdogs, workers: Workers) -> None:
        """Use these ports."""
        self._clock = clock
        self._runs = runs
        self._objects = objects
        self._watchdogs = watchdogs
        self._workers = workers

    def ensure_watchdog(self, run: RunRow) -> int:
        """Start the run's watchdog unless it runs and return its number.

        Call it before ``start``, so that no worker runs without a watchdog.

        A watchdog that has ended before its run gets a successor, whose number is written into the run's row first:
        concurrent passes then start the same one.
        """
        number = run.watchdog
        while not self._watchdogs.start(run.run_id, number) and not self._watchdogs.is_running(run.run_id, number):
            number = self._runs.next_watchdog(run.run_id, number)
        return number

    def start(self, run: RunRow, dispatch: Dispatch) -> Started:
        """Start one order's worker.

        A Lambda worker gets its first URLs with its invocation, so that a short order trades nothing.
        """
        order = dispatch.after
        if order.target is ExecutionTarget.CODEBUILD:
            build = BuildOrder(
                run_id=order.run_id,
                order_num=order.order_num,
                dispatch=order.dispatch or "",
                ticket=dispatch.ticket,
            )
            seconds = build_seconds(dispatch.timeout, order.grace)
            return Started(self._workers.start_build(build, timeout_seconds=seconds, compute_type=order.compute_type))
        self._workers.start_lambda(dispatch.work or self.work(run, dispatch))
        return Started()

    def work(self, run: RunRow, dispatch: Dispatch) -> Work:
        """Return the worker's message with URLs that are signed now, without a call of a service."""
        order, now = dispatch.after, self._clock.now()
        return Work(
            run_id=order.run_id,
            order_num=order.order_num,
            trace_id=run.trace_id,
            dispatch=order.dispatch or "",
            attempt=order.attempt,
            timeout=dispatch.timeout,
            stop_grace=order.stop_grace,
            not_after=order.order_deadline or run.deadline,
            urls=invocation_urls(self._objects, order, seconds=url_seconds(run, order, now)),
            package_sha256=order.package_sha256,
            code_sha256=order.code_sha256,
            ticket=dispatch.ticket,
        )


def with_ticket(dispatch: Dispatch) -> Dispatch:
    """Return the dispatch with a new ticket, whose digest is in the row to write."""
    ticket, order = new_ticket(), dispatch.after
    tickets = (*order.tickets, f"{order.dispatch}:{digest(ticket)}")[-MAX_TICKETS:]
    return replace(dispatch, after=order.model_copy(update={"tickets": tickets}), ticket=ticket)
