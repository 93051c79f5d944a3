"""The rules of concurrency groups: pure. Who holds a group, who waits, and who is refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.limits import MAX_JOB_SECONDS, RETENTION_SECONDS
from iac_ci_common.models.group import Begun, Entry, Group

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow

MAX_ENTRIES: Final = 100
"""Most orders that hold a group or wait for it: a row of so many has less than a third of a row's largest size."""

MAX_SERIES: Final = 100
"""Most series of which a group knows the newest run: those that began last."""

_KEPT: Final = timedelta(seconds=MAX_JOB_SECONDS + RETENTION_SECONDS, hours=1)
"""How long a row is kept after its last change: longer than the rows of every run in it."""

_SECONDS_OF_ID: Final = 15
"""Characters of a run's id that are its time, to the second."""

_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order that wants a group, or with ``order_num`` 0000 a run.

    ``newest`` ends orders of the same ``series`` of older runs that still wait. ``after`` are orders of the same run
    that have just ended and whose entry this one takes over.
    """

    run_id: str
    order_num: str
    name: str
    expires_at: datetime
    shared: bool = False
    newest: bool = False
    series: str | None = None
    commit: str | None = None
    pull_request: int | None = None
    after: frozenset[str] = frozenset()


class Access(StrEnum):
    """Whether an order may use its group."""

    HOLDS = "holds"
    WAITS = "waits"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an order stands; ``text`` says what it waits for, or why it is refused."""

    access: Access
    text: str = ""


HOLDS: Final = Standing(Access.HOLDS)


def new_group(key: str, now: datetime) -> Group:
    """Return the row of a group that nobody holds."""
    return Group(key=key, expires_at=now + _KEPT)


def ask(group: Group, wanted: Wanted, now: datetime) -> tuple[Group, Standing]:
    """Return the row in which an order has asked for the group, and where the order stands.

    An order that has asked before keeps its entry. One that is refused has none, except one that is superseded: it
    keeps its entry, which is in nobody's way, until it leaves. Otherwise it would enter again when it asks again.
    """
    entry = find(group, wanted.run_id, wanted.order_num)
    refusal = _refusal(group, wanted, entry)
    if refusal is not None:
        gone = [entry] if entry is not None and entry.superseded_by is None else []
        return _without(group, gone, now), Standing(Access.REFUSED, refusal)
    if entry is None:
        group, entry = _entered(group, wanted, now)
    if not holds(group, entry):
        return group, Standing(Access.WAITS, waiting_text(group, entry))
    return _begun(group, entry, now), HOLDS


def leave(group: Group, run_id: str, order_nums: Collection[str], now: datetime) -> Group:
    """Return the row without the entries of a run's orders; the same row if they have none."""
    return _without(group, [one for one in group.entries if one.run_id == run_id and one.order_num in order_nums], now)


def free(group: Group, tokens: Collection[int], now: datetime) -> Group:
    """Return the row without the entries with these numbers; the same row if there are none."""
    return _without(group, [one for one in group.entries if one.token in tokens], now)


def find(group: Group, run_id: str, order_num: str) -> Entry | None:
    """Return the entry of an order, None if it has none."""
    return next((one for one in group.entries if (one.run_id, one.order_num) == (run_id, order_num)), None)


def group_keys(order: OrderRow) -> tuple[str, ...]:
    """Return the keys of the groups that an order itself may hold."""
    project = (keys.project_group(order.project.key),) if order.project is not None else ()
    return project if order.group is None else (order.group, *project)


def holds(group: Group, entry: Entry) -> bool:
    """Return whether an entry holds the group."""
    return entry.superseded_by is None and next(_in_the_way(group, entry), None) is None


def holders(group: Group) -> tuple[Entry, ...]:
    """Return the entries that hold the group."""
    return tuple(one for one in group.entries if holds(group, one))


def waiting(group: Group) -> tuple[Entry, ...]:
    """Return the entries that wait for the group, the first in line first."""
    return tuple(one for one in group.entries if one.superseded_by is None and not holds(group, one))


def waiting_text(group: Group, entry: Entry) -> str:
    """Return what an entry waits for and its number in the line."""
    other = next(_in_the_way(group, entry), entry)
    number = [one.token for one in waiting(group)].index(entry.token)
    ordinal = _ORDINALS[number] if number < len(_ORDINALS) else f"number {number + 1}"
    return f"{describe(other)}, {ordinal} in line"


def describe(entry: Entry) -> str:
    """Return an entry as people know it: its run, its order and its pull request."""
    whose = f" of pull request {entry.pull_request}" if entry.pull_request is not None else ""
    return f"run {entry.run_id}{whose} ({entry.name})"


def _in_the_way(group: Group, entry: Entry) -> Iterator[Entry]:
    """Yield the entries that an entry has to wait for."""
    for other in group.entries:
        if other.token == entry.token:
            return
        if other.superseded_by is None and not (other.shared and entry.shared):
            yield other


def _refusal(group: Group, wanted: Wanted, entry: Entry | None) -> str | None:
    """Return why an order may not have the group, None if it may."""
    newer = next((one for one in group.begun if not wanted.shared and _is_newer(one, wanted)), None)
    if newer is not None and wanted.commit != newer.commit:
        return (
            f"run {newer.run_id} for the newer commit {newer.commit[:12]} has begun here, and an older commit is never"
            " applied after a newer one"
        )
    if entry is not None:
        superseded_by = entry.superseded_by
    else:
        same = (one for one in group.entries if wanted.newest and one.superseded_by is None)
        superseded_by = next((one.run_id for one in same if _is_newer(one, wanted)), None)
    if superseded_by is not None:
        return f"superseded by run {superseded_by}, which waits for the same group with `queue: newest`"
    if entry is None and _own(group, wanted) is None and len(group.entries) >= MAX_ENTRIES:
        return f"{MAX_ENTRIES} orders hold this concurrency group or wait for it; start the run again when some ended"
    return None


def _is_newer(other: Entry | Begun, wanted: Wanted | Entry) -> bool:
    """Return whether another run of the series was started later. Ids of runs begin with their time."""
    own, others = wanted.run_id[:_SECONDS_OF_ID], other.run_id[:_SECONDS_OF_ID]
    # Of two that were started in one second none is known to be newer.
    return wanted.series is not None and other.series == wanted.series and others > own


def _own(group: Group, wanted: Wanted) -> Entry | None:
    """Return the entry that an order takes over from one of the same run that has just ended, None if there is none."""
    own = (one for one in group.entries if one.run_id == wanted.run_id and one.order_num in wanted.after)
    return next((one for one in own if one.shared == wanted.shared), None)


def _entered(group: Group, wanted: Wanted, now: datetime) -> tuple[Group, Entry]:
    entry = Entry(
        run_id=wanted.run_id,
        order_num=wanted.order_num,
        name=wanted.name,
        shared=wanted.shared,
        token=group.token + 1,
        series=wanted.series,
        commit=wanted.commit,
        pull_request=wanted.pull_request,
        entered_at=now,
        expires_at=wanted.expires_at,
    )
    before = _own(group, wanted)
    if before is not None:
        entries = [entry if one is before else one for one in group.entries]
    else:
        entries = [_superseded(group, one, wanted) for one in group.entries] + [entry]
    return _changed(group, now, token=entry.token, entries=tuple(entries)), entry


def _superseded(group: Group, entry: Entry, wanted: Wanted) -> Entry:
    """Return an entry, which a newer run supersedes if it waits and belongs to the same series."""
    same = wanted.newest and wanted.series is not None and entry.series == wanted.series
    if not same or entry.run_id == wanted.run_id or entry.superseded_by is not None or holds(group, entry):
        return entry
    return entry.model_copy(update={"superseded_by": wanted.run_id})


def _begun(group: Group, entry: Entry, now: datetime) -> Group:
    """Return the row that knows the run of an entry that holds the group alone as the newest of its series.

    Of runs that were started in one second it is the one that began last: its commit is what the series has now.
    """
    if entry.shared or entry.series is None or entry.commit is None:
        return group
    known = next((one for one in group.begun if one.series == entry.series), None)
    if known is not None and (known.run_id == entry.run_id or _is_newer(known, entry)):
        return group
    others = [one for one in group.begun if one is not known]
    own = Begun(series=entry.series, run_id=entry.run_id, commit=entry.commit)
    return _changed(group, now, begun=(*others, own)[-MAX_SERIES:])


def _without(group: Group, entries: Collection[Entry], now: datetime) -> Group:
    if not entries:
        return group
    gone = {one.token for one in entries}
    return _changed(group, now, entries=tuple(one for one in group.entries if one.token not in gone))


def _changed(group: Group, now: datetime, **fields: object) -> Group:
    return group.model_copy(update={**fields, "expires_at": now + _KEPT})
