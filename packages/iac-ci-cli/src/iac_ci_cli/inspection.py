"""Reads what a diagnosis needs, through ports. Nothing is changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import ValidationError

from iac_ci_cli.diagnosis import RunSnapshot
from iac_ci_common import keys
from iac_ci_common.approvals import result_key
from iac_ci_common.errors import IacCiError, NotFound
from iac_ci_common.execution_life import is_new_build
from iac_ci_common.limits import MAX_RESULT_BYTES
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.models.result import Claim, Result
from iac_ci_common.states import OPEN, RUN_TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from iac_ci_cli.executions import Executions
    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.models.trade import TicketChain
    from iac_ci_common.ports import Clock, LockReader, Objects, Parallel, RunRows, Runs, TicketChains, Workers


T = TypeVar("T")


class Stack(Protocol):
    """The parts of a stack that the commands for one run use."""

    @property
    def stack(self) -> str:
        """Name of the stack."""
        ...

    @property
    def options(self) -> str:
        """Options that name this stack in a command line, with a space in front; empty for the default."""
        ...

    @property
    def open_lists(self) -> Sequence[str]:
        """Lists of the stack that let every source use everything."""
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    @property
    def runs(self) -> Runs:
        """Rows and events."""
        ...

    @property
    def locks(self) -> LockReader:
        """Locks."""
        ...

    @property
    def chains(self) -> TicketChains:
        """Chains of tickets."""
        ...

    @property
    def internal(self) -> Objects:
        """The internal bucket."""
        ...

    @property
    def workers(self) -> Workers:
        """Builds."""
        ...

    @property
    def executions(self) -> Executions:
        """Watchdogs."""
        ...

    @property
    def parallel(self) -> Parallel:
        """Does many small reads at once."""
        ...


def inspect_run(stack: Stack, run_id: str) -> RunSnapshot:
    """Read everything that shows what a run waits for."""
    # The lock first: if it is free, the rows that are read after it hold what its last holder did.
    lock = stack.locks.read(run_id)
    rows = stack.runs.read(run_id)
    watchdog = stack.executions.state(run_id)
    if rows.run is None or rows.run.status in RUN_TERMINAL:
        job = _job(stack, run_id) if rows.run is None else None
        return RunSnapshot(
            run_id,
            stack.stack,
            stack.clock.now(),
            job,
            rows.run,
            rows.orders,
            lock,
            watchdog,
            options=stack.options,
            open_lists=stack.open_lists,
        )
    claims, results, ended_builds = _of_open_orders(stack, rows)
    events = stack.runs.events(rows.run.trace_id)
    return RunSnapshot(
        run_id,
        stack.stack,
        stack.clock.now(),
        None,
        rows.run,
        rows.orders,
        lock,
        watchdog,
        options=stack.options,
        open_lists=stack.open_lists,
        claims=claims,
        results=results,
        signs=_signs_of_life(stack, rows, claims),
        ended_builds=ended_builds,
        last_event=max((event.at for event in events), default=None),
    )


def _job(stack: Stack, run_id: str) -> StoredJob | None:
    try:
        return StoredJob.from_stored(stack.internal.get(keys.job(run_id)))
    except NotFound:
        return None


def _of_open_orders(stack: Stack, rows: RunRows) -> tuple[dict[str, Claim], dict[str, Result], frozenset[str]]:
    orders = [order for order in rows.orders if order.status in OPEN]
    if not orders:
        return {}, {}, frozenset()
    # Before the results: a build leaves its result before it ends.
    now = stack.clock.now()
    builds = {order.build_id: is_new_build(order.dispatched_at, now) for order in orders if order.build_id}
    ended = stack.workers.ended_builds([*builds], new=frozenset(name for name, is_new in builds.items() if is_new))
    stored = frozenset(stack.internal.list(keys.callbacks(orders[0].run_id)))
    with_claim = [order for order in orders if keys.claim(*order.attempt_key) in stored]
    with_result = [order for order in orders if result_key(order) in stored]
    claims = _read(stack, with_claim, lambda order: _claim(stack, order))
    results = _read(stack, with_result, lambda order: _result(stack, order))
    return claims, results, ended


def _signs_of_life(stack: Stack, rows: RunRows, claims: dict[str, Claim]) -> dict[str, datetime]:
    """Return when the workers of open orders last traded; at their claim, if they have not traded yet.

    Workers of versions before tickets give no signs, so they are left out.
    """
    with_tickets = {order.order_num: order for order in rows.orders if order.tickets}
    chosen = [with_tickets[num] for num, claim in claims.items() if num in with_tickets and claim.execution]
    chains = _read(stack, chosen, lambda order: _chain(stack, claims[order.order_num]))
    seen = {num: chain.last_seen for num, chain in chains.items()}
    return {order.order_num: seen.get(order.order_num) or claims[order.order_num].claimed_at for order in chosen}


def _chain(stack: Stack, claim: Claim) -> TicketChain | None:
    dispatch = (claim.execution or "").partition(":")[0]
    try:
        return stack.chains.read(claim.run_id, claim.order_num, dispatch)
    except ValueError:
        return None


def _read(stack: Stack, orders: Iterable[OrderRow], read: Callable[[OrderRow], T | None]) -> dict[str, T]:
    chosen = list(orders)
    found: dict[str, T] = {}
    for order, answer in zip(chosen, stack.parallel.run([partial(read, order) for order in chosen]), strict=True):
        if isinstance(answer, IacCiError):
            raise answer
        if answer is not None:
            found[order.order_num] = answer
    return found


def _claim(stack: Stack, order: OrderRow) -> Claim | None:
    try:
        return Claim.model_validate_json(stack.internal.get(keys.claim(*order.attempt_key)))
    except ValidationError:
        return None


def _result(stack: Stack, order: OrderRow) -> Result | None:
    body = stack.internal.get(result_key(order), max_bytes=MAX_RESULT_BYTES)
    try:
        return Result.model_validate_json(body)
    except ValidationError:
        # The orchestrator treats an unreadable result as a failure.
        return None
