"""Finds runs of the last 90 days in the events of whole runs. What is read is asked of a port."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from iac_ci_common import ids
from iac_ci_common.limits import EVENT_RETENTION_SECONDS, MAX_JOB_SECONDS
from iac_ci_common.repository_url import repository_path
from iac_ci_common.states import RUN_TERMINAL, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.models.event import Event
    from iac_ci_common.ports import History

UNKNOWN: Final = "unknown"
"""Stands for what a version before did not write, and for the state of a run whose end it did not write."""

KEPT: Final = timedelta(seconds=EVENT_RETENTION_SECONDS)
"""How long runs are listed."""

_LONGEST: Final = timedelta(seconds=MAX_JOB_SECONDS, hours=2)
"""How long after its acceptance a run has ended at the latest, with the grace of its orders."""

_SKEW: Final = timedelta(hours=1)
"""How far the clocks of the functions that write events may be ahead of the one here."""

_CURSOR: Final = re.compile(r"([0-9]{13})-(.+)")


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run as its events show it. ``is_known`` is False if a version before wrote them: they name nothing more."""

    run_id: str
    trace_id: str
    accepted_at: datetime
    state: str
    ended_at: datetime | None
    is_known: bool
    job: str | None
    repository: str | None
    branch: str | None
    pull_request: int | None
    actor: str | None
    projects: tuple[str, ...]
    projects_left_out: int
    reason: str | None

    @property
    def position(self) -> tuple[int, str]:
        """Return what orders runs: no two have the same."""
        return int(self.accepted_at.timestamp() * 1000), self.run_id


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listed run must be; None and empty are not asked for."""

    repository: str | None = None
    branch: str | None = None
    pull_request: int | None = None
    project: str | None = None
    actor: str | None = None
    states: frozenset[str] = frozenset()
    since: datetime | None = None

    def fits(self, run: ListedRun) -> bool:
        """Return whether a run is one. What is unknown fits only where it is not asked for."""
        return (
            (self.repository is None or _is_repository(self.repository, run.repository))
            and (self.branch is None or _fits(self.branch, run.branch))
            and (self.pull_request is None or self.pull_request == run.pull_request)
            and (self.actor is None or self.actor.lower() == (run.actor or "").lower())
            and (not self.states or run.state in self.states)
            and (self.project is None or self._has_project(run))
        )

    def _has_project(self, run: ListedRun) -> bool:
        # A run with more projects than its event has names for may have this one too.
        return run.projects_left_out > 0 or any(_fits(self.project or "", name) for name in run.projects)


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, the newest first; ``next_page`` continues after them, None if there are no more."""

    runs: tuple[ListedRun, ...]
    next_page: str | None = None


@dataclass(slots=True)
class _Collected:
    """What is known of runs while their events are read, the newest first."""

    states: dict[str, Event] = field(default_factory=dict)
    accepted: list[Event] = field(default_factory=list)

    def add(self, events: list[Event]) -> list[Event]:
        """Take events of a period; return those of acceptances in it, the newest first."""
        for event in events:
            if event.kind in _STATES:
                self.states.setdefault(event.run_id, event)
        accepted = [event for event in events if event.kind == "accepted"]
        return sorted(accepted, key=lambda event: (event.epoch_ms, event.run_id), reverse=True)


_STATES: Final = frozenset(state.value for state in RunState)


def find_runs(history: History, wanted: Wanted, now: datetime, *, most: int, after: str | None = None) -> Page:
    """Return at most ``most`` runs, the newest first, from ``after`` on, which an earlier page named.

    Raises ``ValueError`` for an ``after`` that no page has named.
    """
    position = None if after is None else _parse_cursor(after)
    oldest = max(wanted.since or now - KEPT, now - KEPT)
    newest = now + _SKEW
    if position is not None:
        # Runs that were accepted before that position may have ended after it.
        newest = min(newest, datetime.fromtimestamp(position[0] / 1000, UTC) + _LONGEST)
    collected = _Collected()
    found: list[ListedRun] = []
    for since, until in _periods(oldest, newest):
        for event in collected.add(history.job_events(since, until)):
            run = _listed(event, collected.states.get(event.run_id), now)
            if (position is None or run.position < position) and wanted.fits(run):
                found.append(run)
        if len(found) > most:
            shown = tuple(found[:most])
            return Page(shown, f"{shown[-1].position[0]:013d}-{shown[-1].run_id}")
    return Page(tuple(found))


def _periods(oldest: datetime, newest: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield periods from the newest to the oldest, each twice as long as the one before, at most eight days."""
    until, days = newest, 1
    while until > oldest:
        since = max(oldest, until - timedelta(days=days))
        yield since, until
        until, days = since, min(8, days * 2)


def _listed(accepted: Event, state: Event | None, now: datetime) -> ListedRun:
    has_ended = state is not None and state.kind in {ended.value for ended in RUN_TERMINAL}
    shown = state.kind if state is not None else RunState.QUEUED.value
    if not has_ended and now - accepted.at > _LONGEST:
        shown = UNKNOWN
    return ListedRun(
        run_id=accepted.run_id,
        trace_id=accepted.trace_id,
        accepted_at=accepted.at,
        state=shown,
        ended_at=state.at if state is not None and has_ended else None,
        is_known=accepted.job_name is not None,
        job=accepted.job_name,
        repository=accepted.repository,
        branch=accepted.branch,
        pull_request=accepted.pull_request,
        actor=accepted.actor,
        projects=accepted.projects,
        projects_left_out=accepted.projects_left_out,
        reason=state.reason if state is not None else None,
    )


def _parse_cursor(text: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is not the position of a page")
    return int(match[1]), ids.check_run_id(match[2])


def _is_repository(asked: str, repository: str | None) -> bool:
    """Return whether a repository is the one that is asked for, as ``owner/name``, ``host/path`` or a URL."""
    if repository is None:
        return False
    name = (repository_path(asked) or asked.strip("/").removesuffix(".git")).lower()
    return repository == name or repository.endswith(f"/{name}")


def _fits(pattern: str, name: str | None) -> bool:
    return name is not None and (name == pattern or fnmatchcase(name, pattern))


__all__ = ["UNKNOWN", "ListedRun", "Page", "Wanted", "find_runs"]
