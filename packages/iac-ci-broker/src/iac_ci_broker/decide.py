"""Decides whether a trade is served: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iac_ci_common.limits import CLOCK_DIFFERENCE_SECONDS, RETENTION_SECONDS
from iac_ci_common.models.result import Reporter
from iac_ci_common.models.trade import Refusal, TicketChain
from iac_ci_common.states import OPEN, RUN_TERMINAL, TERMINAL
from iac_ci_common.tickets import digest

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.result import Claim
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.trade import Trade


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the order of a trade: its rows, its claim, and the chain of the trade's dispatch."""

    run: RunRow | None
    order: OrderRow | None
    claim: Claim | None
    chain: TicketChain | None


@dataclass(frozen=True, slots=True)
class Serve:
    """The trade is served.

    ``chain`` is the chain after the trade, to be written if its present ticket is ``expected``; it is None if the
    same pair was traded before, so that there is nothing to write. ``stop`` is why the worker should stop.
    """

    run: RunRow
    order: OrderRow
    chain: TicketChain | None
    expected: str | None
    stop: str | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The trade is refused. ``misused`` is the chain whose ticket was shown when it was worth nothing any more."""

    refusal: Refusal
    reason: str
    misused: TicketChain | None = None


def decide(trade: Trade, known: Known, now: datetime) -> Serve | Refuse:
    """Return the decision about a trade.

    The ticket is checked before anything else is said about the order.
    """
    run, order, chain = known.run, known.order, known.chain
    if run is None or order is None:
        return Refuse(Refusal.UNKNOWN, "there is no such order")
    first = order.first_ticket(trade.dispatch)
    if chain is None and first is not None:
        chain = _new_chain(trade, run, order, first)
    if chain is None:
        return Refuse(Refusal.UNKNOWN, f"the order has no dispatch {trade.dispatch}")
    old = digest(trade.ticket)
    same_pair = (chain.before, chain.present) == (old, trade.next_sha256)
    is_valid = old == chain.present or _is_claimants_first(trade, chain, known.claim, is_first=old == first)
    if not same_pair and (not is_valid or trade.next_sha256 == old):
        reason = f"a ticket of dispatch {trade.dispatch} was shown that is worth nothing any more"
        return Refuse(Refusal.USED, reason, misused=chain)
    if chain.attempt != order.attempt:
        # What follows is about the present attempt, of which the worker of an earlier one must write nothing.
        return Refuse(Refusal.ENDED, f"attempt {chain.attempt} of the order has ended")
    refused = _refused(trade, run, order, known.claim, now)
    if refused is not None:
        return refused
    moved = chain.model_copy(
        update={
            "before": old,
            "present": trade.next_sha256,
            "execution": trade.execution,
            "last_seen": now,
        }
    )
    expected = known.chain.present if known.chain is not None else None
    return Serve(run, order, None if same_pair else moved, expected, _stop(run, order, now))


def _is_claimants_first(trade: Trade, chain: TicketChain, claim: Claim | None, *, is_first: bool) -> bool:
    """Return whether the worker that has the claim shows the dispatch's first ticket, which another has traded before.

    Lambda may deliver one invocation twice, so two workers begin with one ticket. The one that claims the order may
    have traded nothing until then; once it has, the first ticket is worth nothing.
    """
    has_claim = claim is not None and claim.execution == trade.execution
    return is_first and has_claim and chain.execution not in {None, trade.execution}


def _new_chain(trade: Trade, run: RunRow, order: OrderRow, first: str) -> TicketChain:
    return TicketChain(
        run_id=trade.run_id,
        order_num=trade.order_num,
        dispatch=trade.dispatch,
        attempt=order.attempt,
        present=first,
        expires_at=run.deadline + timedelta(seconds=RETENTION_SECONDS),
    )


def _refused(trade: Trade, run: RunRow, order: OrderRow, claim: Claim | None, now: datetime) -> Refuse | None:
    """Return why an owner of a valid ticket gets nothing, None if it is served."""
    if order.status in TERMINAL:
        ended = order.status.value.replace("_", " ")
        return Refuse(Refusal.ENDED, f"the order {ended}" + (f": {order.reason}" if order.reason else ""))
    has_claim = claim is not None and claim.execution == trade.execution
    # An order that was queued again keeps a worker that claimed it at that moment.
    if order.status not in OPEN and not has_claim:
        return Refuse(Refusal.UNKNOWN, f"the order is {order.status.value}")
    if run.status in RUN_TERMINAL:
        return Refuse(Refusal.ENDED, "the run has ended")
    if now > order.last_report(run):
        return Refuse(Refusal.ENDED, "the order's time is over")
    if claim is not None and claim.claimed_by is not Reporter.WORKER:
        return Refuse(Refusal.ENDED, f"the {claim.claimed_by} ends the order")
    if (trade.begins or trade.seals or trade.renews or trade.reads_git) and claim is None:
        return Refuse(Refusal.UNKNOWN, "the order is not claimed, so that no worker may begin it")
    # Lambda may deliver one invocation twice: the other worker's trade must not move the chain of the claim's.
    if claim is not None and claim.execution != trade.execution:
        return Refuse(Refusal.TAKEN, "another worker has the order")
    return None


def _stop(run: RunRow, order: OrderRow, now: datetime) -> str | None:
    """Return why the worker should stop its commands, None if it should go on.

    A worker ends its commands at their time-out by itself; the wish to stop is for one that has not.
    """
    wish = order.stop_wish(run)
    if wish is not None:
        return wish
    late = now - timedelta(seconds=CLOCK_DIFFERENCE_SECONDS)
    if late >= run.deadline:
        return "the run reached its job_timeout"
    if order.order_deadline is not None and late >= order.order_deadline:
        return "the order reached its time-out"
    return None
