"""Checks an order or a run and applies the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists, NotFound
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.models.result import Claim, Reporter
from iac_ci_common.models.watch import WatchAnswer
from iac_ci_common.nudge import nudge
from iac_ci_common.states import OPEN, RUN_TERMINAL, OrderState
from iac_ci_common.termination import force_end
from iac_ci_watchdog.decide import Action, Decision, decide_order, decide_run, decide_unprepared, is_late

if TYPE_CHECKING:
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.models.watch import Watch
    from iac_ci_common.ports import AsyncInvoker, Clock, LockReader, Logger, Objects, Runs, Workers
    from iac_ci_watchdog.failures import PreparationDied, WorkerDied


@dataclass(frozen=True, slots=True)
class WatchdogPorts:
    """The ports of the watchdog."""

    clock: Clock
    runs: Runs
    locks: LockReader
    objects: Objects
    workers: Workers
    invoker: AsyncInvoker
    logger: Logger


class Watchdog:
    """Finds workers that died and missed events, within one poll."""

    def __init__(self, ports: WatchdogPorts) -> None:
        """Use ``ports``."""
        self._ports = ports

    def check(self, watch: Watch) -> WatchAnswer:
        """Check once for one execution and return whether the execution may end."""
        decision = self._check_run(watch) if watch.order_num == RUN_ORDER_NUM else self._check_order(watch)
        if decision.action not in {Action.WAIT, Action.END}:
            logger = self._ports.logger.bind(run_id=watch.run_id, order_num=watch.order_num)
            logger.warning("watchdog repaired run", action=decision.action.value, seen=decision.seen)
        return WatchAnswer(
            run_id=watch.run_id,
            order_num=watch.order_num,
            ended=decision.action is Action.END,
            seen=decision.seen,
        )

    def worker_died(self, died: WorkerDied) -> None:
        """Report an order as failed whose worker ended without a result.

        An order may be dispatched twice, and a dispatch may be delivered twice. If another worker has the claim, that
        worker is running, or Lambda reports its failure too. A record that the order's row does not confirm is ignored.
        """
        order = self._order(died.run_id, died.order_num)
        if order is not None and not died.is_about(order):
            logger = self._ports.logger.bind(run_id=died.run_id, order_num=died.order_num)
            logger.warning("failure record ignored: the order has another dispatch", function=died.function)
        elif order is not None and order.status in OPEN and not self._is_claimed_by_another(died):
            self._end(order, OrderState.FAILED, f"the worker ended without a result: {died.reason}")

    def _is_claimed_by_another(self, died: WorkerDied) -> bool:
        """Create the claim, so that no other worker can, and return whether another worker has it already."""
        ports = self._ports
        now = ports.clock.now()
        own = Claim(run_id=died.run_id, order_num=died.order_num, claimed_by=Reporter.WATCHDOG, claimed_at=now)
        key = keys.claim(died.run_id, died.order_num)
        try:
            ports.objects.create(key, own.model_dump_json().encode(), content_type="application/json")
        except AlreadyExists:
            claim = Claim.from_stored(ports.objects.get(key))
        else:
            return False
        if claim.claimed_by in {Reporter.WATCHDOG, Reporter.ORCHESTRATOR}:
            return False
        if claim.claimed_by is not Reporter.WORKER:
            # A newer version's function, which this version does not know, has the claim and ends the order.
            return True
        return not died.is_claimant(claim)

    def preparation_died(self, died: PreparationDied) -> None:
        """End a run whose preparation failed at every attempt; ignore a record that Lambda could not send yet."""
        run_id = died.run_id
        rows = self._ports.runs.read(run_id)
        if rows.run is None:
            if not died.is_plausible(self._job(run_id).accepted_at, self._ports.clock.now()):
                self._ports.logger.bind(run_id=run_id).warning("failure record ignored: too early for Lambda")
                return
            self._end_unprepared(run_id, f"the preparation of the run failed: {died.reason}")
        elif rows.run.status in RUN_TERMINAL:
            # The run's end has deleted its packages; this deletes the ones that the failed attempt wrote later.
            self._ports.objects.delete([keys.package(run_id, order.order_num) for order in rows.orders])

    def _check_order(self, watch: Watch) -> Decision:
        ports = self._ports
        order = self._order(watch.run_id, watch.order_num)
        build_ended = (
            order is not None
            and order.status in OPEN
            and order.build_id is not None
            and ports.workers.build_ended(order.build_id)
        )
        has_result = (
            order is not None
            and order.status in OPEN
            and ports.objects.exists(keys.result(watch.run_id, watch.order_num))
        )
        now = ports.clock.now()
        claim = None
        if order is not None and not has_result and (build_ended or is_late(order, now)):
            claim = self._claim(order)
        if claim is not None and order is not None and order.build_id is not None:
            # An order that was dispatched again has two builds: the second ends at once, without a result.
            build_ended = build_ended and not claim.is_of_another_build(order.build_id)
        claimed_at = claim.claimed_at if claim is not None else None
        decision = decide_order(order, has_result=has_result, build_ended=build_ended, claimed_at=claimed_at, now=now)
        if decision.action is Action.NUDGE:
            nudge(self._ports.objects, watch.run_id)
        elif order is not None and decision.action is Action.REPORT_FAILED:
            self._end(order, OrderState.FAILED, decision.seen)
        elif order is not None and decision.action is Action.REPORT_TIMED_OUT:
            self._end(order, OrderState.TIMED_OUT, decision.seen)
        return decision

    def _claim(self, order: OrderRow) -> Claim | None:
        """Return the order's claim, None if there is none."""
        try:
            return Claim.model_validate_json(self._ports.objects.get(keys.claim(order.run_id, order.order_num)))
        except (NotFound, ValidationError):
            return None

    def _check_run(self, watch: Watch) -> Decision:
        ports = self._ports
        rows = ports.runs.read(watch.run_id)
        if rows.run is None:
            return self._check_unprepared(watch.run_id)
        lock = ports.locks.read(watch.run_id)
        reported: set[str] = set()
        if any(order.status in OPEN for order in rows.orders):
            parsed = (keys.parse_result(key) for key in ports.objects.list(keys.callbacks(watch.run_id)))
            reported = {key.order_num for key in parsed if key is not None}
        decision = decide_run(rows.run, rows.orders, lock, reported, ports.clock.now())
        if decision.action is Action.NUDGE:
            nudge(self._ports.objects, watch.run_id)
        return decision

    def _check_unprepared(self, run_id: str) -> Decision:
        ports = self._ports
        try:
            job = self._job(run_id)
        except NotFound:
            return Decision(Action.END, "the job does not exist")
        decision = decide_unprepared(job.accepted_at, job.deadline, ports.clock.now())
        if decision.action is Action.PREPARE_AGAIN:
            ports.invoker.prepare(run_id)
        elif decision.action is Action.GIVE_UP:
            self._end_unprepared(run_id, decision.seen)
        return decision

    def _job(self, run_id: str) -> StoredJob:
        return StoredJob.from_stored(self._ports.objects.get(keys.job(run_id)))

    def _end_unprepared(self, run_id: str, reason: str) -> None:
        """Insert the run with a preparation error, so that it ends like every other run."""
        rows = build_rows(self._job(run_id), max_parallel=1, preparation_error=reason)
        self._ports.runs.insert(rows.run, rows.orders, rows.events)
        nudge(self._ports.objects, run_id)

    def _order(self, run_id: str, order_num: str) -> OrderRow | None:
        rows = self._ports.runs.read(run_id)
        return next((order for order in rows.orders if order.order_num == order_num), None)

    def _end(self, order: OrderRow, status: OrderState, reason: str) -> None:
        ports = self._ports
        written = force_end(
            ports.objects, ports.workers, order, status, reason, reporter=Reporter.WATCHDOG, now=ports.clock.now()
        )
        if not written:
            # The worker has written its result, and its event may be lost.
            nudge(self._ports.objects, order.run_id)
