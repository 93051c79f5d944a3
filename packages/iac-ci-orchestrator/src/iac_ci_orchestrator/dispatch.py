"""Starts workers, and the run's watchdog before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.limits import MAX_PRESIGN_SECONDS, PRESIGN_MARGIN_SECONDS, STOP_GRACE_SECONDS, WORKER_MARGIN_SECONDS
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.work import Work, WorkUrls

if TYPE_CHECKING:
    from iac_ci_common.models.rows import OrderRow, RunRow
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

    def ensure_watchdog(self, run: RunRow) -> None:
        """Start the run's watchdog unless it runs; call it before ``start``, so that no worker runs without a watchdog.

        A watchdog that has ended before its run gets a successor, whose number is written into the run's row first:
        concurrent passes then start the same one.
        """
        number = run.watchdog
        while not self._watchdogs.start(run.run_id, number) and not self._watchdogs.is_running(run.run_id, number):
            number = self._runs.next_watchdog(run.run_id, number)

    def start(self, run: RunRow, dispatch: Dispatch) -> Started:
        """Start one order's worker."""
        order = dispatch.after
        work = self._work(run, order, dispatch.timeout)
        if order.target is ExecutionTarget.CODEBUILD:
            return Started(self._workers.start_build(work, timeout_seconds=dispatch.timeout + WORKER_MARGIN_SECONDS))
        self._workers.start_lambda(work)
        return Started()

    def _work(self, run: RunRow, order: OrderRow, timeout: int) -> Work:
        """Return the worker's message with URLs that are presigned now, without a call of a service."""
        now = self._clock.now()
        not_after = order.order_deadline or run.deadline
        life = int((not_after - now).total_seconds()) + STOP_GRACE_SECONDS + PRESIGN_MARGIN_SECONDS
        life = max(1, min(life, run.presign_expiry or MAX_PRESIGN_SECONDS, MAX_PRESIGN_SECONDS))
        order_key = (order.run_id, order.order_num)
        read, write = self._objects.presign_get, self._objects.presign_put
        return Work(
            run_id=order.run_id,
            order_num=order.order_num,
            trace_id=run.trace_id,
            dispatch=str(int((order.dispatched_at or now).timestamp() * 1000)),
            timeout=timeout,
            not_after=not_after,
            urls=WorkUrls(
                package=read(keys.package(*order_key), seconds=life),
                code=read(keys.code(order.code_sha256), seconds=life) if order.code_sha256 else None,
                claim=write(keys.claim(*order_key), seconds=life, create_once=True),
                claim_check=read(keys.claim(*order_key), seconds=life),
                log=write(keys.log(*order_key), seconds=life, create_once=False),
                result=write(keys.result(*order_key), seconds=life, create_once=True),
            ),
        )
