"""Safety rules that can be switched off, one at a time: the simulator must notice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args
from unittest.mock import patch

from iac_ci_broker.decide import Known, Refuse, Serve, decide
from iac_ci_common.approvals import expired_result
from iac_ci_common.errors import IacCiError
from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.groups import Access, ask, holds, leave
from iac_ci_common.identity_context import ScopeContext
from iac_ci_common.models.trade import Refusal, Trade
from iac_ci_common.project_states import begun
from iac_ci_common.states import OrderState
from iac_ci_common.termination import force_end
from iac_ci_common.tickets import digest
from iac_ci_common.work_urls import traded_urls
from iac_ci_orchestrator.attempts import is_repeated
from iac_ci_orchestrator.changed_rows import with_changes
from iac_ci_orchestrator.concurrency import ConcurrencyGroups
from iac_ci_triggers.saved_plans import _differences as differences_of
from iac_ci_vcs.reporting.merge_readiness import MERGE
from iac_ci_watchdog.decide import Action, Decision, _is_overdue, decide_order
from iac_ci_watchdog.orders import look_after

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.groups import Standing, Wanted
    from iac_ci_common.models.announcement import Announcement
    from iac_ci_common.models.group import Entry, Group
    from iac_ci_common.models.result import Claim, Reporter, Result
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.saved_plan import PlanRecord, ProjectApply, ProjectState
    from iac_ci_common.models.trade import Trade
    from iac_ci_common.models.watch import OpenOrder
    from iac_ci_common.models.work import WorkUrls
    from iac_ci_common.ports import Objects, Workers
    from iac_ci_orchestrator.announcer import Announcer
    from iac_ci_orchestrator.decide import Plan
    from iac_ci_orchestrator.dispatch import Dispatcher
    from iac_ci_triggers.configuration import PlannedState
    from iac_ci_triggers.facts import Facts

settle = ConcurrencyGroups.settle

SILENT = timedelta(minutes=10)
"""How long a worker is silent that the mutated watchdog takes for dead."""

Mutation = Literal[
    "doorbell",
    "conditional release",
    "claim",
    "create-once result",
    "redo of dispatching",
    "run's watchdog",
    "idempotent second leg",
    "conditional transitions",
    "own claims only",
    "refused dispatch",
    "living watchdog",
    "unclaimed orders only",
    "silence is not death",
    "ended builds",
    "same pair",
    "used tickets",
    "claimant's first ticket",
    "conditional move of a chain",
    "claim's chain only",
    "begin only after the claim",
    "own keys only",
    "wish to stop",
    "misuse is noted once",
    "trade for an ended URL",
    "grace of builds",
    "applies are named",
    "wish for one order",
    "outputs are sealed for their scope",
    "second wish to stop",
    "keys of each attempt",
    "limit of attempts",
    "time-outs repeat nothing",
    "stops repeat nothing",
    "conditions",
    "not needed",
    "generations",
    "end of an apply",
    "create-once answer",
    "answers only while it waits",
    "approvals expire",
    "lost answers",
    "an expiry approves nothing",
    "one holds a group",
    "nobody overtakes",
    "conditional write of a group",
    "silence frees no group",
    "waiting runs look again",
    "one group after the other",
    "only who waits is superseded",
    "older commits",
    "groups are left",
    "expiry of a plan",
    "the superseded stay so",
    "an end that is proven frees",
    "no apply begins after its result",
    "late workers ask first",
    "remembered rows",
    "changed rows are listed",
    "values of changed rows are whole",
    "overrides want an answer",
    "only overrides forgive",
    "a lost lease takes no group",
    "announcements are put again",
    "plans are written whole",
    "one intent is one run",
    "conditional write of a ledger",
    "a planned minute is decided once",
    "a schedule's open run",
    "what was merged",
    "plans of the newest commit",
    "stale plans are made again",
    "only what is applied is merged",
    "merges are tried again",
    "no event is lost by last writes",
    "claims show what runs",
]
MUTATIONS: tuple[Mutation, ...] = get_args(Mutation)


class Noticed(NamedTuple):
    """The first seed that notices a mutation; with ``profile`` and ``size``, the first that does so with these."""

    seed: int
    profile: str | None = None
    size: int | None = None


FIRST_NOTICED: dict[Mutation, Noticed] = {
    "doorbell": Noticed(6),
    "conditional release": Noticed(6),
    "claim": Noticed(1),
    "create-once result": Noticed(2),
    "redo of dispatching": Noticed(44),
    "run's watchdog": Noticed(0),
    "idempotent second leg": Noticed(6),
    "conditional transitions": Noticed(42),
    "own claims only": Noticed(253, "storm"),
    "refused dispatch": Noticed(609, "unanswered", 2),
    "living watchdog": Noticed(63),
    "unclaimed orders only": Noticed(13),
    "silence is not death": Noticed(3),
    "ended builds": Noticed(117),
    "same pair": Noticed(4),
    "used tickets": Noticed(3),
    "claimant's first ticket": Noticed(422, "doubled", 4),
    "conditional move of a chain": Noticed(302, "doubled", 4),
    "claim's chain only": Noticed(10, "burst"),
    "begin only after the claim": Noticed(10),
    "own keys only": Noticed(0),
    "wish to stop": Noticed(42),
    "misuse is noted once": Noticed(3, "burst"),
    "trade for an ended URL": Noticed(8, "calm"),
    "grace of builds": Noticed(131),
    "applies are named": Noticed(134, "single"),
    "wish for one order": Noticed(42),
    "outputs are sealed for their scope": Noticed(14),
    "second wish to stop": Noticed(244),
    "keys of each attempt": Noticed(14),
    "limit of attempts": Noticed(9),
    "time-outs repeat nothing": Noticed(297, "slow"),
    "stops repeat nothing": Noticed(42),
    "conditions": Noticed(7),
    "not needed": Noticed(5),
    "generations": Noticed(8),
    "end of an apply": Noticed(1),
    "create-once answer": Noticed(108),
    "answers only while it waits": Noticed(8),
    "approvals expire": Noticed(22),
    "lost answers": Noticed(332, "lossy"),
    "an expiry approves nothing": Noticed(1),
    "one holds a group": Noticed(5),
    "nobody overtakes": Noticed(114, "burst"),
    "conditional write of a group": Noticed(31),
    "silence frees no group": Noticed(14),
    "waiting runs look again": Noticed(1348, "lossy"),
    "one group after the other": Noticed(5),
    "only who waits is superseded": Noticed(9),
    "older commits": Noticed(31),
    "groups are left": Noticed(50),
    "expiry of a plan": Noticed(11),
    "the superseded stay so": Noticed(62),
    "an end that is proven frees": Noticed(2280, "single"),
    "no apply begins after its result": Noticed(3742, "single"),
    "late workers ask first": Noticed(321, "burst", 2),
    "remembered rows": Noticed(6),
    "changed rows are listed": Noticed(26),
    "values of changed rows are whole": Noticed(26),
    "overrides want an answer": Noticed(8),
    "only overrides forgive": Noticed(5),
    "a lost lease takes no group": Noticed(97),
    "announcements are put again": Noticed(0),
    "one intent is one run": Noticed(162),
    "conditional write of a ledger": Noticed(130),
    "a planned minute is decided once": Noticed(5),
    "a schedule's open run": Noticed(4),
    "what was merged": Noticed(57),
    "plans of the newest commit": Noticed(215),
    "stale plans are made again": Noticed(553),
    "only what is applied is merged": Noticed(1),
    "merges are tried again": Noticed(733, "flaky"),
    "plans are written whole": Noticed(14, "slow"),
    "no event is lost by last writes": Noticed(26),
    "claims show what runs": Noticed(19),
}
"""As ``simulate.py --mutations`` prints it. A change to what a world draws changes these; print them again then."""


@contextmanager
def switched_off(mutation: Mutation | None) -> Iterator[None]:
    """Switch a rule of the engine off; ``memory`` and ``world`` switch the rules of the services off themselves."""
    if mutation == "redo of dispatching":
        with patch("iac_ci_orchestrator.decide._is_stale", lambda order, now: False):
            yield
    elif mutation == "own claims only":
        with patch("iac_ci_watchdog.act.Watchdog._is_claimed_by_another", lambda watchdog, died, order: False):
            yield
    elif mutation == "refused dispatch":
        with patch("iac_ci_orchestrator.act.end_unclaimed", _end_claimed_or_not):
            yield
    elif mutation == "living watchdog":
        with patch("iac_ci_orchestrator.dispatch.Dispatcher.ensure_watchdog", _start_the_first):
            yield
    elif mutation == "unclaimed orders only":
        with patch("iac_ci_watchdog.hand_over._is_claimed", lambda ports, order: False):
            yield
    elif mutation == "silence is not death":
        with (
            patch("iac_ci_watchdog.orders.needs_claim", lambda order, ended, now: True),
            patch("iac_ci_watchdog.orders.decide_order", _end_the_silent),
        ):
            yield
    elif mutation == "ended builds":
        with patch("simulation.world.WorkersService.ended_builds", lambda service, build_ids, new: frozenset()):
            yield
    elif mutation in _BROKER:
        with patch("iac_ci_broker.act.decide", _BROKER[mutation]):
            yield
    elif mutation == "claimant's first ticket":
        with patch("iac_ci_broker.decide._is_claimants_first", lambda trade, chain, claim, is_first: False):
            yield
    elif mutation == "own keys only":
        with patch("iac_ci_broker.act.traded_urls", _urls_of_the_first_order):
            yield
    elif mutation == "grace of builds":
        with patch("iac_ci_watchdog.decide._grace_is_over", lambda order, now: _is_overdue(order, now)):
            yield
    elif mutation == "applies are named":
        with patch("iac_ci_common.models.rows.OrderRow.stop_wish", _wish_for_every_order):
            yield
    elif mutation == "wish for one order":
        with patch("iac_ci_common.models.rows.OrderRow.stop_wish", _wish_for_the_run):
            yield
    elif mutation == "keys of each attempt":
        with patch("iac_ci_common.keys._attempt", lambda order_num, attempt: order_num):
            yield
    elif mutation in _REPEATS:
        with patch("iac_ci_orchestrator.decide.is_repeated", _REPEATS[mutation]):
            yield
    elif mutation in _READINESS:
        with patch("iac_ci_orchestrator.decide.readiness", _READINESS[mutation]):
            yield
    elif mutation == "trade for an ended URL":
        with patch("iac_ci_worker.rights.Rights.can_trade", False):
            yield
    elif mutation == "conditional transitions":
        with patch("iac_ci_common.testing.runs.holds", lambda transition, current: True):
            yield
    elif mutation == "outputs are sealed for their scope":
        with patch(
            "iac_ci_broker.hand_on.HandOn._context", lambda handing, run: ScopeContext("stack", "all", "all", "")
        ):
            yield
    elif mutation == "generations":
        with patch("iac_ci_orchestrator.project_ledger.begun", _begins_always):
            yield
    elif mutation == "end of an apply":
        with patch("iac_ci_orchestrator.project_ledger.ended", lambda state, apply, now: state):
            yield
    elif mutation == "no apply begins after its result":
        with patch("iac_ci_orchestrator.project_ledger.ProjectLedger._has_result", lambda ledger, order: False):
            yield
    elif mutation == "an end that is proven frees":
        # A process that has lost its lease leaves most of the entries that only the proof removes.
        of_groups = "iac_ci_orchestrator.concurrency.ConcurrencyGroups"
        with (
            patch(f"{of_groups}.settle", _settles_without_a_lease),
            patch(f"{of_groups}._has_ended", lambda groups, entry: False),
        ):
            yield
    elif mutation == "late workers ask first":
        with patch("iac_ci_worker.act.is_late", lambda work, now: False):
            yield
    elif mutation == "expiry of a plan":
        with patch("iac_ci_orchestrator.project_ledger._check_age", lambda *_: None):
            yield
    elif mutation == "answers only while it waits":
        with patch("iac_ci_init.approval_intake.not_answerable", lambda run, order, by_num, now: None):
            yield
    elif mutation == "approvals expire":
        with patch("iac_ci_orchestrator.decide.expiry", lambda run, order, now: run.deadline):
            yield
    elif mutation == "lost answers":
        with patch(
            "iac_ci_watchdog.act.look_after", lambda ports, run, orders, waiting: look_after(ports, run, orders)
        ):
            yield
    elif mutation == "an expiry approves nothing":
        with patch("iac_ci_orchestrator.act.expired_result", _expires_as_approved):
            yield
    elif mutation == "remembered rows":
        remembered_rows = "iac_ci_orchestrator.remembered_rows"
        with (
            patch(f"{remembered_rows}.RememberedRows.take", lambda remembered, run_id: remembered._entries.get(run_id)),
            patch(f"{remembered_rows}.Remembered.as_of", lambda remembered, lock, runs: remembered.rows),
        ):
            yield
    elif mutation == "changed rows are listed":
        with patch("iac_ci_orchestrator.act.with_changes", lambda lock, before, after: with_changes(lock, {}, after)):
            yield
    elif mutation == "values of changed rows are whole":
        with patch("iac_ci_orchestrator.changed_rows._changes", lambda before, after: {}):
            yield
    elif mutation == "overrides want an answer":
        with patch("iac_ci_orchestrator.decide.has_nothing_to_override", _overrides_something):
            yield
    elif mutation == "only overrides forgive":
        with patch("iac_ci_common.graph.overridable", lambda order, by_num: frozenset(order.dependencies)):
            yield
    elif mutation == "announcements are put again":
        with patch("iac_ci_orchestrator.announcer.Announcer._put", _puts_once):
            yield
    elif mutation in _REPOSITORY:
        where, rule = _REPOSITORY[mutation]
        with patch(where, rule):
            yield
    elif mutation == "only what is applied is merged":
        with patch("iac_ci_vcs.pull_request_merges.applied_verdict", lambda jobs, number, base: MERGE):
            yield
    elif mutation == "merges are tried again":
        with patch("iac_ci_orchestrator.merging.Merger._failed", lambda merger, run, error: True):
            yield
    elif mutation in _GROUPS:
        where, rule = _GROUPS[mutation]
        with patch(where, rule):
            yield
    elif mutation == "claims show what runs":
        with patch("iac_ci_watchdog.orders._record_running", lambda ports, run, order, claim: False):
            yield
    elif mutation == "second wish to stop":
        with patch("iac_ci_common.models.rows.OrderRow.stop_is_urgent", lambda order, run: False):
            yield
    else:
        yield


def _puts_once(announcer: Announcer, run: RunRow, announcements: Sequence[Announcement]) -> None:
    with suppress(IacCiError):
        announcer._ports.bus.put(announcements)


def _expires_as_approved(order: OrderRow, now: datetime) -> Result:
    return expired_result(order, now).model_copy(update={"status": OrderState.SUCCEEDED})


def _overrides_something(order: OrderRow, by_num: Mapping[str, OrderRow]) -> bool:
    return order.approval is not None and bool(order.approval.overrides)


def _begins_always(state: ProjectState, apply: ProjectApply, generation: int | None, now: datetime) -> Any:
    return begun(state, apply, None, now)


def _holds_unless_held_alone(group: Group, entry: Entry) -> Iterator[Entry]:
    """Yield in place of all who came before only those that hold the group."""
    for other in group.entries:
        if other.token == entry.token:
            return
        if other.superseded_by is None and not (other.shared and entry.shared) and holds(group, other):
            yield other


def _has_been_silent(groups: ConcurrencyGroups, entry: Entry) -> bool:
    return groups._clock.now() > entry.entered_at + SILENT


def _asks_and_forgets(group: Group, wanted: Wanted, now: datetime) -> tuple[Group, Standing]:
    """Take an order that is superseded out of the row, so that it enters again where it asks again."""
    group, standing = ask(group, wanted, now)
    if standing.access is Access.REFUSED:
        group = leave(group, wanted.run_id, {wanted.order_num}, now)
    return group, standing


def _settles_without_a_lease(groups: ConcurrencyGroups, plan: Plan, keep_lease: object) -> dict[str, Standing]:
    return settle(groups, plan, lambda: None)


def _supersedes_all(group: Group, entry: Entry, wanted: Wanted) -> Entry:
    same = wanted.newest and entry.series == wanted.series and entry.run_id != wanted.run_id
    return entry.model_copy(update={"superseded_by": wanted.run_id}) if same else entry


def _wish_for_every_order(order: OrderRow, run: RunRow) -> str | None:
    asked = order.stop_reason or run.stop_reason
    return f"the run was stopped: {asked}" if asked is not None else None


def _wish_for_the_run(order: OrderRow, run: RunRow) -> str | None:
    return f"the run was stopped: {run.stop_reason}" if run.stop_reason and order.purpose != "apply" else None


def _end_claimed_or_not(
    objects: Objects,
    workers: Workers,
    order: OrderRow,
    status: OrderState,
    reason: str,
    *,
    reporter: Reporter,
    now: datetime,
) -> bool:
    force_end(objects, workers, order, status, reason, reporter=reporter, now=now)
    return True


def _start_the_first(dispatcher: Dispatcher, run: RunRow) -> int:
    dispatcher._watchdogs.start(run.run_id, run.watchdog)
    return run.watchdog


def _end_the_silent(order: OpenOrder, claim: Claim | None, ended: AbstractSet[str], now: datetime) -> Decision:
    if claim is not None and now > claim.claimed_at + SILENT:
        return Decision(Action.REPORT_TIMED_OUT, "the worker is silent")
    return decide_order(order, claim, ended, now)


def _refuses_the_pair_again(trade: Trade, known: Known, now: datetime) -> Serve | Refuse:
    chain = known.chain
    if chain is not None and (chain.before, chain.present) == (digest(trade.ticket), trade.next_sha256):
        return Refuse(Refusal.USED, "the pair was traded before", misused=chain)
    return decide(trade, known, now)


def _serves_used_tickets(trade: Trade, known: Known, now: datetime) -> Serve | Refuse:
    chain = known.chain
    if chain is not None and isinstance(decide(trade, known, now), Refuse):
        known = replace(known, chain=chain.model_copy(update={"present": digest(trade.ticket)}))
        decision = decide(trade, known, now)
        return replace(decision, expected=chain.present) if isinstance(decision, Serve) else decision
    return decide(trade, known, now)


def _looks_at_no_claim(trade: Trade, known: Known, now: datetime) -> Serve | Refuse:
    return decide(trade.model_copy(update={"begins": False}), replace(known, claim=None), now)


def _begins_without_a_claim(trade: Trade, known: Known, now: datetime) -> Serve | Refuse:
    return decide(trade.model_copy(update={"begins": False}), known, now)


def _never_asks_to_stop(trade: Trade, known: Known, now: datetime) -> Serve | Refuse:
    decision = decide(trade, known, now)
    return replace(decision, stop=None) if isinstance(decision, Serve) else decision


def _urls_of_the_first_order(objects: Objects, order: OrderRow, trade: Trade, *, seconds: int) -> WorkUrls:
    return traded_urls(objects, order.model_copy(update={"order_num": "0001"}), trade, seconds=seconds)


def _repeats_without_limit(run: RunRow, order: OrderRow, result: Result) -> bool:
    return is_repeated(run, order.model_copy(update={"attempts": order.attempt + 1}), result)


def _repeats_time_outs(run: RunRow, order: OrderRow, result: Result) -> bool:
    return is_repeated(run, order, _as_failed(order, result, OrderState.TIMED_OUT))


def _repeats_the_stopped(run: RunRow, order: OrderRow, result: Result) -> bool:
    nobody_asked = run.model_copy(update={"stop_reason": None}), order.model_copy(update={"stop_reason": None})
    return is_repeated(*nobody_asked, _as_failed(order, result, OrderState.CANCELLED))


def _as_failed(order: OrderRow, result: Result, status: OrderState) -> Result:
    """Return a result with this status as one after which the order may be repeated."""
    if result.status is not status or not order.retry_on:
        return result
    return result.model_copy(update={"status": OrderState.FAILED, "exit_code": order.retry_on[0]})


def _without_conditions(order: OrderRow, by_num: Mapping[str, OrderRow]) -> tuple[Readiness, str | None]:
    return readiness(order.model_copy(update={"when": ()}), by_num)


def _never_needed(order: OrderRow, by_num: Mapping[str, OrderRow]) -> tuple[Readiness, str | None]:
    found, reason = readiness(order, by_num)
    return (Readiness.NOT_NEEDED if found is Readiness.BLOCKED else found), reason


_GROUPS: dict[str, tuple[str, Any]] = {
    "one holds a group": ("iac_ci_common.groups.holds", lambda group, entry: True),
    "nobody overtakes": ("iac_ci_common.groups._in_the_way", _holds_unless_held_alone),
    "silence frees no group": ("iac_ci_orchestrator.concurrency.ConcurrencyGroups._has_ended", _has_been_silent),
    "waiting runs look again": ("iac_ci_watchdog.act._looks_again", lambda decision: False),
    "one group after the other": ("iac_ci_orchestrator.concurrency._may_go_on", lambda standing: True),
    "only who waits is superseded": ("iac_ci_common.groups._superseded", _supersedes_all),
    "older commits": ("iac_ci_common.groups._begun", lambda group, entry, now: group),
    "the superseded stay so": ("iac_ci_orchestrator.concurrency.ask", _asks_and_forgets),
    "a lost lease takes no group": (
        "iac_ci_orchestrator.concurrency.ConcurrencyGroups.settle",
        _settles_without_a_lease,
    ),
    "groups are left": ("iac_ci_orchestrator.concurrency.leave", lambda group, run_id, order_nums, now: group),
}


def _reviewed_at_any_commit(state: PlannedState, record: PlanRecord, facts: Facts) -> Iterator[str]:
    at = replace(facts, pull=replace(facts.pull, head_sha=record.commit)) if facts.pull is not None else facts
    yield from differences_of(state, record, at)


_REPOSITORY: dict[str, tuple[str, Any]] = {
    "one intent is one run": ("iac_ci_triggers.ledger_plan._same", lambda runs, start: None),
    "a planned minute is decided once": ("iac_ci_triggers.ledger_plan._passed", lambda ledger, passed: ledger),
    "a schedule's open run": ("iac_ci_triggers.run_facts.RunCollector.open_run", lambda *_: None),
    "what was merged": ("iac_ci_triggers.saved_plans._not_as_planned", lambda state, record, facts: None),
    "plans of the newest commit": ("iac_ci_triggers.saved_plans._differences", _reviewed_at_any_commit),
    "stale plans are made again": ("iac_ci_orchestrator.stale_plans.StalePlans._plan_again", lambda *_: True),
}

_REPEATS: dict[str, Callable[[RunRow, OrderRow, Result], bool]] = {
    "limit of attempts": _repeats_without_limit,
    "time-outs repeat nothing": _repeats_time_outs,
    "stops repeat nothing": _repeats_the_stopped,
}

_READINESS: dict[str, Callable[[OrderRow, Mapping[str, OrderRow]], tuple[Readiness, str | None]]] = {
    "conditions": _without_conditions,
    "not needed": _never_needed,
}

_BROKER: dict[str, Callable[[Trade, Known, datetime], Serve | Refuse]] = {
    "same pair": _refuses_the_pair_again,
    "used tickets": _serves_used_tickets,
    "claim's chain only": _looks_at_no_claim,
    "begin only after the claim": _begins_without_a_claim,
    "wish to stop": _never_asks_to_stop,
}
