"""What the page shows of a run's rows, events and results, as plain texts. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.changes import Operation
from iac_ci_common.progress import duration, state_words, waits_for
from iac_ci_common.states import RUN_TERMINAL, TERMINAL, OrderState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from iac_ci_common.models.event import Event
    from iac_ci_common.models.plan_text import PlanText
    from iac_ci_common.models.rows import JobScope, OrderRow, RunRow

MAX_EVENTS: Final = 500
"""Most events that are shown, the newest ones."""

STATES: Final = tuple(state.value for state in OrderState)
"""The states, which a poll names by their places in this list."""

_REASON_CHARS: Final = 300
_SHOWN_DEPENDENCIES: Final = 5
_KINDS: Final = {"+": "added", "-": "removed", "!": "changed", "~": "changed"}


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order in the table of the run's page."""

    num: str
    name: str
    state: str
    words: str
    changes: str
    duration: str
    why: str
    after: str
    moments: tuple[int | None, int | None, int | None]
    """Seconds from the run's acceptance to the order's dispatch, start and end."""

    @property
    def moments_text(self) -> str:
        """Return the moments for the page's script, separated by commas; empty if the order was not dispatched."""
        return ",".join("" if moment is None else str(moment) for moment in self.moments).rstrip(",")

    def as_state(self) -> list[object]:
        """Return what a poll sends of the order, without what is empty at the end."""
        words = "" if self.words == _words(self.state) else self.words
        state: list[object] = [STATES.index(self.state), words, self.changes, self.duration, self.why, *self.moments]
        while state[-1] in {"", None}:
            state.pop()
        return state


@dataclass(frozen=True, slots=True)
class RunView:
    """The run's page."""

    run_id: str
    title: str
    state: str
    is_over: bool
    reason: str
    summary: str
    facts: tuple[tuple[str, str], ...]
    accepted: int
    finished: int | None
    """Seconds since 1970."""

    orders: tuple[OrderView, ...]

    def as_state(self) -> dict[str, object]:
        """Return what a poll sends; ``version`` is a digest of the rest.

        The page has the same in its table, so that its script begins without a poll.
        """
        state: dict[str, object] = {
            "state": self.state,
            "over": self.is_over,
            "reason": self.reason,
            "summary": self.summary,
            "accepted": self.accepted,
            "finished": self.finished,
            "orders": [order.as_state() for order in self.orders],
        }
        digest = hashlib.sha256(json.dumps(state).encode("utf-8", "surrogatepass")).hexdigest()
        return {"version": digest[:16], **state}


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A line of a plan; ``kind`` is added, removed, changed or same."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class PlanResource:
    """A resource of a plan."""

    address: str
    action: str
    lines: tuple[PlanLine, ...]


def run_view(run: RunRow, orders: Sequence[OrderRow]) -> RunView:
    """Return the view of a run."""
    by_num = {order.order_num: order for order in orders}
    places = _places(by_num)
    counts = Counter(order.status for order in orders)
    summary = ", ".join(f"{counts[state]} {_words(state.value)}" for state in OrderState if counts[state])
    return RunView(
        run_id=run.run_id,
        title=run.job_name or run.flow_id.rpartition(":")[2].partition("-")[2] or "run",
        state=run.status.value,
        is_over=run.status in RUN_TERMINAL,
        reason=run.reason or run.preparation_error or "",
        summary=summary or "no orders",
        facts=tuple(_facts(run)),
        accepted=_seconds(run.accepted_at) or 0,
        finished=_seconds(run.finished_at),
        orders=tuple(
            _order_view(run, order, by_num, places) for order in sorted(orders, key=lambda order: order.order_num)
        ),
    )


def order_facts(
    order: OrderRow, orders: Sequence[OrderRow], *, failed_command: str | None = None
) -> list[tuple[str, str]]:
    """Return the facts about an order, as pairs of a name and a text."""
    by_num = {one.order_num: one for one in orders}
    why = waits_for(order, by_num) + _places(by_num).get(order.order_num, "")
    rows = [
        ("State", state_words(order)),
        ("Waits for" if order.status not in TERMINAL else "Why", why),
        ("Failed command", failed_command or ""),
        ("Changes", _changes(order)),
        ("Plan", order.plan_sha256 or ""),
        ("Exit code", "" if order.exit_code is None else str(order.exit_code)),
        ("Duration", duration(order)),
        ("Time-out", f"{order.timeout} s"),
        ("Runs on", order.target.value),
        ("Role", order.assume_role or ""),
        ("After", ", ".join(by_num[num].order_name for num in order.dependencies if num in by_num)),
        ("Dispatched", _moment(order.dispatched_at)),
        ("Started", _moment(order.started_at)),
        ("Ended", _moment(order.ended_at)),
    ]
    return [(name, text) for name, text in rows if text]


def event_rows(events: Sequence[Event], order_num: str | None = None) -> list[tuple[str, str, str, str]]:
    """Return the newest events of a run, or of one order: time, subject, kind and reason.

    If there are earlier ones, the first row says how many.
    """
    all_events = [event for event in events if order_num in {None, event.order_num}]
    chosen = all_events[-MAX_EVENTS:]
    earlier = len(all_events) - len(chosen)
    rows = [
        (
            _moment(event.at),
            "run" if event.order_num == RUN_ORDER_NUM else event.order_name,
            _words(event.kind) + (f", attempt {event.attempt}" if event.attempt > 1 else ""),
            _cut(event.reason or ""),
        )
        for event in chosen
    ]
    if earlier:
        words = f"{earlier} earlier {'event is' if earlier == 1 else 'events are'} not shown"
        rows.insert(0, ("", "", words, f"iac-ci events {chosen[0].run_id} prints them"))
    return rows


def plan_resources(plan: PlanText) -> list[PlanResource]:
    """Return the resources of a plan with their lines."""
    return [PlanResource(one.address or "outputs", one.action, tuple(_plan_lines(one.text))) for one in plan.resources]


def poll_seconds(orders: int) -> int:
    """Return the seconds between two polls of a page with so many orders."""
    return 3 if orders <= 100 else 10


def _plan_lines(text: str) -> Iterable[PlanLine]:
    for line in text.splitlines():
        kind = "changed" if line[:3] in {"-/+", "+/-"} else _KINDS.get(line[:1], "same")
        yield PlanLine(kind, line)


def _facts(run: RunRow) -> Iterable[tuple[str, str]]:
    report = run.report
    scope = report.scope if report is not None else None
    yield "Started by", run.actor or run.username
    if run.source is not None:
        yield "Source", run.source
    if report is not None:
        yield "Repository", report.repository
        if report.number is not None:
            name = "Issue" if report.pull_request is None and scope is None else "Pull request"
            yield name, str(report.number)
    if run.commit_hash is not None:
        yield "Commit", run.commit_hash
    if scope is not None:
        yield from _scope_facts(scope)
    yield "Flow", run.flow_id
    yield "Trace", run.trace_id
    yield "Accepted", _moment(run.accepted_at)
    yield "Deadline", _moment(run.deadline)
    if run.finished_at is not None:
        yield "Ended", _moment(run.finished_at)
    if run.cancel_reason is not None:
        yield "Cancelled", run.cancel_reason
    if run.stop_reason is not None:
        yield "Stopped", run.stop_reason


def _scope_facts(scope: JobScope) -> Iterable[tuple[str, str]]:
    merged = f", merged at {scope.merge_into[:12]}" if scope.merge_into is not None else ""
    yield "Base branch", f"{scope.base}{merged}"
    if scope.target is not None:
        yield "Target", scope.target
    for tick in scope.requirements:
        # As they stood when the run was started: the command asks again.
        yield f"Required by {tick.command}", f"{tick.standing}: {tick.text}"


def _places(by_num: Mapping[str, OrderRow]) -> dict[str, str]:
    """Return the place in the line of each order that waits for a free worker, in words after ``waits_for``.

    Orders start by their numbers. An order that waits for its concurrency group has its place in ``waiting_for``.
    """
    ready = [
        num
        for num, order in sorted(by_num.items())
        if order.status is OrderState.QUEUED
        and order.waiting_for is None
        and order.approval is None
        and readiness(order, by_num)[0] is Readiness.READY
    ]
    return {num: f", {number} of {len(ready)} in line" for number, num in enumerate(ready, start=1)}


def _order_view(run: RunRow, order: OrderRow, by_num: Mapping[str, OrderRow], places: Mapping[str, str]) -> OrderView:
    names = [by_num[num].order_name for num in order.dependencies if num in by_num]
    more = len(names) - _SHOWN_DEPENDENCIES
    return OrderView(
        num=order.order_num,
        name=order.order_name,
        state=order.status.value,
        words=_words(state_words(order)),
        changes=_changes(order),
        duration=duration(order),
        why=_cut(waits_for(order, by_num) + places.get(order.order_num, "")),
        after=", ".join(names[:_SHOWN_DEPENDENCIES]) + (f" and {more} more" if more > 0 else ""),
        moments=(
            _after(run.accepted_at, order.dispatched_at),
            _after(run.accepted_at, order.started_at),
            _after(run.accepted_at, order.ended_at),
        ),
    )


def _changes(order: OrderRow) -> str:
    if order.changes is None:
        return "unknown" if order.changes_unknown else ""
    return f"{order.changes}{' applied' if order.changes.operation is Operation.APPLIED else ''}"


def _cut(text: str) -> str:
    return text if len(text) <= _REASON_CHARS else f"{text[: _REASON_CHARS - 1]}…"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment is not None else None


def _after(start: datetime, moment: datetime | None) -> int | None:
    return int((moment - start).total_seconds()) if moment is not None else None


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""
