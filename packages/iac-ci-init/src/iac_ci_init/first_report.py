"""Writes a run's first comment and status as soon as the run is accepted, before its code is fetched."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys, limits
from iac_ci_common.errors import AlreadyExists, IacCiError
from iac_ci_vcs.reporting.publish import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iac_ci_common.initial_rows import InitialRows
    from iac_ci_common.models.answer import StoredJob
    from iac_ci_common.models.rows import RunRow
    from iac_ci_common.ports import Clock, Logger, Objects, RunRows, Runs
    from iac_ci_vcs.ports import Reports
    from iac_ci_vcs.reporting.publish import Published


_ALONE: Final = timedelta(seconds=limits.PREPARATION_SECONDS)
"""So long after a run was accepted, only an attempt to prepare it writes its rows; the watchdog waits for more."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What this attempt has written: nothing, if an attempt before it may have."""

    by_this_attempt: bool
    comment_id: str | None = None
    failed: Mapping[str, IacCiError] = field(default_factory=dict)


class FirstReport:
    """Writes the first comment and status once, however many attempts prepare the run.

    A failure of the code host is logged and recorded, but does not fail the run.
    """

    def __init__(
        self,
        clock: Clock,
        runs: Runs,
        objects: Objects,
        reports: Reports,
        logger: Logger,
        page_link: Callable[[RunRow, datetime], str | None] | None,
    ) -> None:
        """Use these ports; ``page_link`` returns the link to a run's page, None if its reports have none."""
        self._clock = clock
        self._runs = runs
        self._objects = objects
        self._reports = reports
        self._logger = logger
        self._page_link = page_link

    def begin(self, stored: StoredJob, accepted: InitialRows) -> Begun:
        """Keep the job for those who run it again, and report the run as it was accepted.

        Who creates that object comes before every other attempt: there are no rows to read and no comment to search.
        It is no proof once the watchdog may have written the rows in place of a preparation that took too long.
        """
        body = stored.model_dump_json().encode()
        try:
            self._objects.create(keys.past_job(stored.run_id), body, content_type="application/json")
        except AlreadyExists:
            return Begun(by_this_attempt=False)
        if self._clock.now() - stored.accepted_at >= _ALONE:
            return Begun(by_this_attempt=False)
        published = self._publish(accepted, stored.not_run, is_first=True)
        return Begun(by_this_attempt=True, comment_id=published.comment_id, failed=published.failed)

    def complete(self, begun: Begun, queued: InitialRows, not_run: tuple[str, ...]) -> None:
        """Report the run after its rows were inserted, if an attempt before has begun to; record what failed.

        Only the attempt that inserted the rows calls this.
        """
        failed = begun.failed
        if not begun.by_this_attempt:
            failed = self._publish(queued, not_run, is_first=False).failed
        run = queued.run
        for kind, error in failed.items():
            self._logger.warning(
                "pull request comment failed", run_id=run.run_id, trace_id=run.trace_id, kind=kind, error=str(error)
            )
            failure = {"kind": kind, "reason": error.message[:1024], "at": self._clock.now()}
            self._runs.record([queued.events[0].model_copy(update=failure)])

    def repeat(self, begun: Begun, rows: RunRows, not_run: tuple[str, ...]) -> None:
        """Report the run as it is now, if another attempt has inserted its rows while this one wrote its report.

        Otherwise a report of this attempt, late because of a slow host, could be the last one of an ended run.
        """
        if begun.by_this_attempt and rows.run is not None:
            page = self._link(rows.run)
            publish(self._reports, rows.run, rows.orders, not_run=not_run, page=page, with_status=True)

    def _publish(self, rows: InitialRows, not_run: tuple[str, ...], *, is_first: bool) -> Published:
        page = self._link(rows.run)
        return publish(
            self._reports, rows.run, rows.orders, not_run=not_run, page=page, is_first=is_first, with_status=True
        )

    def _link(self, run: RunRow) -> str | None:
        return self._page_link(run, self._clock.now()) if self._page_link is not None else None
