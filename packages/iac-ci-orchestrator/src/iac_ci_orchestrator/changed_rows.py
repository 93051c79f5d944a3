"""Lists in the lock's row what its last owners have changed of the run's rows, for processes that remember the rest.

``Lock.changed_rows`` contains the numbers of the rows, ``Lock.changed_values`` the new values of those fields that have
changed, as far as there is room. A process that knows a row as it was before needs no read for what is contained.
"""

from __future__ import annotations

import json
import zlib
from base64 import b85decode, b85encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.ports import RunRows

R = TypeVar("R", "RunRow", "OrderRow")
Values: TypeAlias = dict[str, dict[str, Any]]
"""New values by number of the row and name of the field, as in JSON."""

MOST_CHANGES: Final = 24
"""Most numbers of changed rows that a lock lists: with more, there would be too little room for values."""

MOST_CHARS: Final = 560
"""Most characters of a lock's numbers and values together: its row stays below a kilobyte, beyond which each event
costs more."""

_USUAL: Final = (
    b'{"0001":{"status":"succeeded","started_at":"2026-01-01T00:00:00.000000Z","ended_at":"2026-01-01T00:00:00Z",'
    b'"exit_code":0},"0002":{"status":"dispatching","tickets":["1767225600000:"],"dispatched_at":"2026-01-01T00:00:00Z",'
    b'"order_deadline":"2026-01-01T00:00:00.000000Z"}}'
)
"""What values usually contain: the compression knows it beforehand, which saves a third."""


@dataclass(frozen=True, slots=True)
class Release:
    """What the owner of a lock had changed when it released the lock at this number of the doorbell.

    ``values`` is None if the lock contains only the numbers of the rows.
    """

    doorbell: int
    nums: frozenset[str]
    values: Values | None = None


def releases_since(lock: Lock, doorbell: int) -> tuple[Release, ...] | None:
    """Return what was changed since the release at this number of the doorbell, the oldest first.

    None if the lock does not list all of it: a version before has released the lock, or too much has changed. A release
    writes the doorbell that it answered, and every event increments it.
    """
    if doorbell == lock.answered:
        return ()
    listed = _releases(lock)
    if not {doorbell, lock.answered} <= {release.doorbell for release in listed}:
        return None
    return tuple(release for release in listed if release.doorbell > doorbell)


def with_changes(lock: Lock, before: Mapping[str, RunRow | OrderRow], after: RunRows | None) -> Lock:
    """Return a lock that is about to be released, with what its owner has changed.

    ``before`` are by number the rows that the owner has changed, or tried to, as they were before. ``after`` are the
    run's rows now, None if they are not known. What is listed has no gap: if the last release is not in the list, a new
    list begins.
    """
    last = _releases(lock)
    if last and last[-1].doorbell != lock.answered:
        last = ()
    listed = [*last, Release(lock.doorbell, frozenset(before), _values(before, after))]
    while sum(len(release.nums) for release in listed) > MOST_CHANGES:
        del listed[0]
    listed = listed[-MOST_CHANGES:]
    numbers = tuple(f"{release.doorbell}:{','.join(sorted(release.nums))}" for release in listed)
    room = MOST_CHARS - sum(len(entry) + 1 for entry in numbers)
    return lock.model_copy(update={"changed_rows": numbers, "changed_values": _text(listed, room)})


def joined(releases: Iterable[Release]) -> Values:
    """Return the values of releases together, the oldest of which is first."""
    values = Values()
    for release in releases:
        for num, changes in (release.values or {}).items():
            values[num] = values.get(num, {}) | changes
    return values


def with_values(row: R, values: Values) -> R:
    """Return a row with its new values, if it has any."""
    changes = values.get(row.order_num)
    return type(row).from_stored(row.model_dump(mode="json") | changes) if changes else row


def _values(before: Mapping[str, RunRow | OrderRow], after: RunRows | None) -> Values | None:
    if after is None or len(before) > MOST_CHANGES:
        return None
    now = {row.order_num: row for row in (after.run, *after.orders) if row is not None}
    return {num: _changes(row, now[num]) for num, row in before.items()}


def _changes(before: RunRow | OrderRow, after: RunRow | OrderRow) -> dict[str, Any]:
    was = before.model_dump(mode="json")
    return {name: value for name, value in after.model_dump(mode="json").items() if value != was.get(name)}


def _releases(lock: Lock) -> tuple[Release, ...]:
    values = _read(lock.changed_values)
    releases = []
    for entry in lock.changed_rows:
        doorbell, _, nums = entry.partition(":")
        listed = frozenset(nums.split(",")) if nums else frozenset[str]()
        releases.append(Release(int(doorbell), listed, values.get(doorbell) if listed else {}))
    return tuple(releases)


def _text(releases: Sequence[Release], room: int) -> str:
    """Return the values of as many releases as there is room for, the newest first."""
    text, kept = "", dict[int, Values]()
    for release in reversed(releases):
        if not release.values:
            continue
        kept[release.doorbell] = release.values
        longer = _packed(json.dumps(kept, separators=(",", ":")))
        if len(longer) > room:
            break
        text = longer
    return text


def _packed(text: str) -> str:
    packer = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zdict=_USUAL)
    return b85encode(packer.compress(text.encode()) + packer.flush()).decode()


def _read(packed: str) -> dict[str, Values]:
    """Return values by doorbell; none if a version that compresses them otherwise wrote them, so that rows are read."""
    if not packed:
        return {}
    try:
        found: dict[str, Values] = json.loads(zlib.decompressobj(zdict=_USUAL).decompress(b85decode(packed)))
    except (ValueError, zlib.error):
        return {}
    return found
