"""The minutes that a schedule plans: pure. Cron's five fields, read on the wall clock of a time zone.

A minute that the clock skips counts at the next minute that exists, and one that comes twice counts the first time.
Several minutes that come to the same moment are one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST: Final = timedelta(minutes=15)
"""Shortest time between two planned minutes: the engine looks for them at each tick."""

_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_CRON: Final = re.compile(r"[0-9A-Za-z*,/#-]+")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")
_NO_ZONES: Final = frozenset({"localtime", "posixrules", "posix", "right", "Factory"})
"""Names beside the IANA's in a machine's database: they differ from machine to machine, or count leap seconds."""

_EXAMPLE: Final = "0 6 * * 1-5"

_COMPARED: Final = 1500
"""Planned minutes whose distances are compared; the fields repeat within so many."""

_YEARS: Final = 9
"""Years of which planned minutes are compared."""

_BEGINNING: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - the wall clock of any zone
"""Where the comparison begins."""

_LONGEST_SHIFT: Final = timedelta(hours=25)
"""More than any zone's clock differs from another time of the same zone, or from UTC."""


@lru_cache(maxsize=256)
def cron_problem(cron: str) -> str | None:
    """Return what is wrong with the five fields of a schedule, None if nothing is."""
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        return f"has {len(fields)} fields; cron has five: {', '.join(_FIELDS)} (example: {_EXAMPLE})"
    for name, text in zip(_FIELDS, fields, strict=True):
        if _CRON.fullmatch(text) is None:
            return f"cannot be read: {text[:40]!a} is no {name} (example: {_EXAMPLE})"
    try:
        planned = list(_compared(cron))
    except (AssertionError, TypeError, ValueError) as error:
        return f"cannot be read: {_words(error)} (example: {_EXAMPLE})"
    if not planned:
        return "never comes: no day has these numbers"
    for before, after in pairwise(planned):
        if after - before < SHORTEST:
            minutes = int((after - before).total_seconds() // 60)
            apart = "1 minute" if minutes == 1 else f"{minutes} minutes"
            return f"plans {before:%H:%M} and {after:%H:%M}, {apart} apart; the shortest distance is 15 minutes"
    return None


def zone_problem(name: str) -> str | None:
    """Return what is wrong with the name of a time zone, None if nothing is."""
    return None if _zone(name) is not None else "is not the name of an IANA time zone (example: Europe/Berlin)"


def planned_minutes(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yield the planned minutes after a moment, in UTC and in their order, each once.

    Raises ``ValueError`` for a schedule with problems.
    """
    zone = _zone(timezone)
    if zone is None:
        raise ValueError(f"{timezone!r:.100} is not a time zone")
    last = after
    # From a day before on: a minute of the wall clock may count later than it stands there.
    wall = (after.astimezone(zone) - _LONGEST_SHIFT).replace(tzinfo=None)
    for minute in _wall_minutes(cron, wall):
        moment = _moment(minute, zone)
        if moment > last:
            last = moment
            yield moment


def due_minutes(cron: str, timezone: str, after: datetime, until: datetime) -> tuple[datetime, ...]:
    """Return the planned minutes after a moment, up to another one."""
    found: list[datetime] = []
    for minute in planned_minutes(cron, timezone, after):
        if minute > until:
            break
        found.append(minute)
    return tuple(found)


def next_minutes(cron: str, timezone: str, after: datetime, count: int = 3) -> tuple[datetime, ...]:
    """Return the next planned minutes, on the wall clock of the time zone."""
    return tuple(on_the_clock(minute, timezone) for minute in islice(planned_minutes(cron, timezone, after), count))


def on_the_clock(minute: datetime, timezone: str) -> datetime:
    """Return a minute on the wall clock of a time zone; on that of UTC if there is no such zone any more."""
    return minute.astimezone(_zone(timezone) or UTC)


def shown_minute(minute: datetime, timezone: str) -> str:
    """Return a planned minute in words, on the wall clock of its time zone."""
    return f"{on_the_clock(minute, timezone):%Y-%m-%d %H:%M} {timezone}"


def _compared(cron: str) -> Iterator[datetime]:
    """Yield the first planned minutes, of few years: those of a schedule that comes rarely are far apart."""
    for minute in islice(_wall_minutes(cron, _BEGINNING), _COMPARED):
        yield minute
        if minute.year - _BEGINNING.year >= _YEARS:
            return


def _wall_minutes(cron: str, after: datetime) -> Iterator[datetime]:
    """Yield the minutes of the wall clock without its changes; raise ``ValueError`` for fields that cannot be read."""
    try:
        planned = CronSim(cron, after)
    except CronSimError as error:
        raise ValueError(str(error)) from error
    while True:
        try:
            yield next(planned)
        except (StopIteration, RuntimeError, OverflowError):
            return


def _moment(minute: datetime, zone: ZoneInfo) -> datetime:
    """Return when a minute of the wall clock comes first; of one that is skipped, when the clock has skipped it."""
    moment = minute.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == minute:
        return moment
    # In the gap, the two folds are the two sides of the change: the clock shows minutes from `later` on after it.
    earlier, later = minute.replace(tzinfo=zone, fold=1).astimezone(UTC), moment
    while later - earlier > timedelta(minutes=1):
        middle = earlier + timedelta(minutes=(later - earlier) // timedelta(minutes=2))
        if middle.astimezone(zone).replace(tzinfo=None) > minute:
            later = middle
        else:
            earlier = middle
    return later


def _zone(name: str) -> ZoneInfo | None:
    if _ZONE.fullmatch(name) is None or name.partition("/")[0] in _NO_ZONES:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return None


def _words(error: Exception) -> str:
    """Return the field that cannot be read, as the parser names it."""
    text = str(error)
    if text == "Bad day-of-month":
        return "bad day of the month, or one that its months do not have"
    return f"bad {text[4:]}" if text.startswith("Bad ") else "a field has an unknown form"


__all__ = [
    "cron_problem",
    "due_minutes",
    "next_minutes",
    "on_the_clock",
    "planned_minutes",
    "shown_minute",
    "zone_problem",
]
