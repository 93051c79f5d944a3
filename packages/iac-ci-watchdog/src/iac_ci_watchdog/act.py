"""Checks a run and applies the decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.errors import NotFound
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.metrics import Metric
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.models.result import Claim, Reporter
from iac_ci_common.models.watch import KnownRows, WatchAnswer
from iac_ci_common.nudge import nudge
from iac_ci_common.states import OPEN, RUN_TERMINAL, TERMINAL, OrderState
from iac_ci_watchdog.claims import read_claim, take_claim
from iac_ci_watchdog.decide import Action, Decision, decide_run, decide_unprepared
from iac_ci_watchdog.hand_over import hand_over
from iac_ci_watchdog.orders import end, look_after

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.watch import Watch
    from iac_ci_common.ports import Logger
    from iac_ci_watchdog.failures import PreparationDied, WorkerDied
    from iac_ci_watchdog.ports import WatchdogPorts

MAX_KNOWN_BYTES: Final = 240_000
"""Largest ``known`` of an answer, as JSON in UTF-8: about nine hundred open orders. The state of an execution has at
most 262,144 bytes (AWS Step Functions Developer Guide, "Service quotas"); with more open orders each poll reads the
rows."""


class Watchdog:
    """Looks after runs: the preparation, the orchestrator and every open order."""

    def __init__(self, ports: WatchdogPorts) -> None:
        """Use ``ports``."""
        self._ports = ports

    def check(self, watch: Watch) -> WatchAnswer:
        """Check a run once for one execution and return whether the execution may end.

        While nothing has changed since the last poll, two rows are read: the run's lock and the run's own row.
        """
        ports, run_id = self._ports, watch.run_id
        lock = ports.locks.read(run_id)
        if lock is not None and lock.completed:
            return _answer(watch, Decision(Action.END, "the run has ended"))
        known = watch.known
        if known is not None and known.still_holds(lock, ports.clock.now()):
            run, orders = ports.runs.find_run(run_id), None
        else:
            rows = ports.runs.read(run_id)
            run, orders, known = rows.run, rows.orders, KnownRows.of(rows.orders, lock)
        if run is None:
            return _answer(watch, self._check_unprepared(watch))
        return self._check_prepared(watch, run, known, lock, orders)

    def _check_prepared(
        self, watch: Watch, run: RunRow, known: KnownRows, lock: Lock | None, orders: Sequence[OrderRow] | None
    ) -> WatchAnswer:
        ports = replace(self._ports, logger=self._ports.logger.bind(run_id=run.run_id, trace_id=run.trace_id))
        try:
            looked = look_after(ports, run, known.open, known.waiting)
            known = known.with_running(looked.running)
        finally:
            # Also of a run that cannot be looked after.
            if watch.order_num == RUN_ORDER_NUM:
                age = (ports.clock.now() - run.accepted_at).total_seconds()
                values = {Metric.OPEN_RUN_SECONDS: age, Metric.WAITING_ORDERS: known.unstarted}
                ports.metrics.record(values, run_id=run.run_id, trace_id=run.trace_id)
        decision = decide_run(run, known, looked.reported, lock, ports.clock.now(), orders)
        if decision.action is Action.NUDGE:
            nudge(ports.objects, run.run_id)
            _log(ports.logger, watch, decision)
        elif decision.action is Action.DISPATCH_AGAIN:
            nudge(ports.objects, run.run_id)
            ports.logger.info("dispatch repeated", seen=decision.seen)
        elif _looks_again(decision):
            nudge(ports.objects, run.run_id)
        if orders is not None and _is_over(watch, orders):
            return _answer(watch, Decision(Action.END, "the order has ended"))
        # What was found missing is looked for again in the rows, for the nudge may be lost.
        nothing_to_do = decision.action is Action.WAIT and not looked.acted
        kept = nothing_to_do and _can_be_kept(known, lock, ports.clock.now())
        return _answer(watch, decision, known if kept else None)

    def worker_died(self, died: WorkerDied) -> None:
        """End an order whose worker ended without a result, or queue it again if that worker had not begun it.

        An order may be dispatched twice, and a dispatch may be delivered twice. If another worker has the claim, that
        worker is running, or Lambda reports its failure too. If a worker of an earlier dispatch had the claim, it came
        late, and those of the present dispatch have gone. A record that the order's row does not confirm is ignored.
        """
        order = self._ports.runs.find_order(died.run_id, died.order_num)
        if order is None or order.status not in OPEN:
            if order is not None and order.status is OrderState.QUEUED:
                # An attempt before this one may have ended between the order's row and the nudge.
                nudge(self._ports.objects, died.run_id)
            return
        if died.is_about(order):
            is_proven = not hand_over(self._ports, order, died.reason) and not self._is_claimed_by_another(died, order)
        elif died.is_of_an_earlier_dispatch(order):
            claim = read_claim(self._ports, *order.attempt_key)
            is_proven = claim is not None and claim.claimed_by is Reporter.WORKER and died.is_claimant(claim)
        else:
            logger = self._ports.logger.bind(run_id=died.run_id, order_num=died.order_num)
            logger.warning("failure record ignored: the order has another dispatch", function=died.function)
            is_proven = False
        if is_proven:
            begun = order.model_copy(update={"started_at": order.started_at or order.dispatched_at})
            end(self._ports, begun, OrderState.FAILED, f"the worker ended without a result: {died.reason}")

    def _is_claimed_by_another(self, died: WorkerDied, order: OrderRow) -> bool:
        """Create the claim, so that no other worker can, and return whether another worker has it already."""
        if take_claim(self._ports, order):
            return False
        claim = Claim.from_stored(self._ports.objects.get(keys.claim(*order.attempt_key)))
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

    def _check_unprepared(self, watch: Watch) -> Decision:
        ports, run_id = self._ports, watch.run_id
        if watch.order_num != RUN_ORDER_NUM:
            return Decision(Action.END, "the order does not exist any more")
        try:
            job = self._job(run_id)
        except NotFound:
            return Decision(Action.END, "the job does not exist")
        decision = decide_unprepared(job.accepted_at, job.deadline, ports.clock.now())
        if decision.action is Action.PREPARE_AGAIN:
            ports.invoker.prepare(run_id)
            _log(ports.logger.bind(trace_id=job.trace_id), watch, decision)
        elif decision.action is Action.GIVE_UP:
            self._end_unprepared(run_id, decision.seen)
            _log(ports.logger.bind(trace_id=job.trace_id), watch, decision)
        return decision

    def _job(self, run_id: str) -> StoredJob:
        return StoredJob.from_stored(self._ports.objects.get(keys.job(run_id)))

    def _end_unprepared(self, run_id: str, reason: str) -> None:
        """Insert the run with a preparation error, so that it ends like every other run."""
        rows = build_rows(self._job(run_id), max_parallel=1, preparation_error=reason)
        self._ports.runs.insert(rows.run, rows.orders, rows.events)
        nudge(self._ports.objects, run_id)


def _log(logger: Logger, watch: Watch, decision: Decision) -> None:
    logger = logger.bind(run_id=watch.run_id, order_num=RUN_ORDER_NUM)
    logger.warning("watchdog repaired run", action=decision.action.value, seen=decision.seen)


def _answer(watch: Watch, decision: Decision, known: KnownRows | None = None) -> WatchAnswer:
    return WatchAnswer(
        run_id=watch.run_id,
        order_num=watch.order_num,
        ended=decision.action is Action.END,
        seen=decision.seen,
        known=known,
    )


def _looks_again(decision: Decision) -> bool:
    """Return whether what an order waits for may be free by now, although nobody has woken its run."""
    return decision.action is Action.LOOK_AGAIN


def _can_be_kept(known: KnownRows, lock: Lock | None, now: datetime) -> bool:
    """Return whether the next poll may use what this one knows."""
    return known.still_holds(lock, now) and len(known.model_dump_json().encode()) <= MAX_KNOWN_BYTES


def _is_over(watch: Watch, orders: Sequence[OrderRow]) -> bool:
    """Return whether an execution that a version before started for one order has nothing more to look after."""
    if watch.order_num == RUN_ORDER_NUM:
        return False
    order = next((order for order in orders if order.order_num == watch.order_num), None)
    return order is None or order.status in TERMINAL
