"""Puts announcements on the event bus: each at least once, although a crash or a refusal may come between.

What is to be announced follows from the rows, and the run's lock keeps what was announced. So an owner that finds the
rows ahead of the lock announces again, under the same id. A failure is logged, and delays and fails nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IacCiError
from iac_ci_common.limits import ANNOUNCE_AGAIN_SECONDS, ANNOUNCE_SECONDS
from iac_ci_common.overrides import failures_to_override
from iac_ci_common.run_events import run_event
from iac_ci_orchestrator.announcements import (
    drift_announcement,
    end_announcement,
    wait_announcement,
    waits_to_announce,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_common.models.announcement import Announcement
    from iac_ci_common.models.lock import Lock
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_orchestrator.ports import OrchestratorPorts

_AGAIN: Final = timedelta(seconds=ANNOUNCE_AGAIN_SECONDS)
_LONGEST: Final = timedelta(seconds=ANNOUNCE_SECONDS)


@dataclass(frozen=True, slots=True)
class AnnouncementState:
    """Which waits were announced, and when what was not accepted is put again; None if nothing is missing.

    ``finished`` says that only announcements are missing of the run's end.
    """

    announced: frozenset[str] = frozenset()
    again_at: datetime | None = None
    finished: bool = False

    @staticmethod
    def of(lock: Lock) -> AnnouncementState:
        """Return the state that the lock's last owner saved."""
        return AnnouncementState(lock.announced, lock.announce_at, lock.finished)

    def onto(self, lock: Lock) -> Lock:
        """Return the lock with this state, for the next owner."""
        saved = {"announced": self.announced, "announce_at": self.again_at, "finished": self.finished}
        return lock.model_copy(update=saved)


class Announcer:
    """Announces what happens to runs."""

    def __init__(self, ports: OrchestratorPorts, stack: str) -> None:
        """Use these ports; ``stack`` is the stack's name."""
        self._ports = ports
        self._stack = stack

    def waits(self, run: RunRow, orders: Sequence[OrderRow], state: AnnouncementState) -> AnnouncementState:
        """Announce the waits for approvals that are not announced, unless a failure was less than a minute ago."""
        waits = waits_to_announce(orders, state.announced)
        now = self._ports.clock.now()
        if not waits:
            return replace(state, again_at=None)
        if not _is_due(state, now):
            return state
        error = self._put(run, self._of_waits(run, orders, waits, now))
        if error is not None and error.retry_is_safe:
            return replace(state, again_at=self._ports.clock.now() + _AGAIN)
        if error is not None:
            self._give_up(run, error)
        return replace(state, announced=state.announced | {order.order_num for order in waits}, again_at=None)

    def end(
        self,
        run: RunRow,
        orders: Sequence[OrderRow],
        drifts: Sequence[tuple[OrderRow, bool]],
        state: AnnouncementState,
    ) -> AnnouncementState:
        """Announce a run's end, the drift that it found to have come or gone, and waits that are not announced.

        The state that is returned has no ``again_at`` if nothing is missing, or is given up.
        """
        now = self._ports.clock.now()
        state = replace(state, finished=True)
        if not _is_due(state, now):
            return state
        found = [drift_announcement(self._stack, run, order, is_found=is_found) for order, is_found in drifts]
        announcements = [
            *self._of_waits(run, orders, waits_to_announce(orders, state.announced), now),
            end_announcement(self._stack, run, orders),
            *(one for one in found if one is not None),
        ]
        error = self._put(run, announcements)
        if error is None:
            return replace(state, again_at=None)
        if error.retry_is_safe and now < (run.finished_at or run.deadline) + _LONGEST:
            return replace(state, again_at=self._ports.clock.now() + _AGAIN)
        self._give_up(run, error)
        return replace(state, again_at=None)

    def _of_waits(
        self, run: RunRow, orders: Sequence[OrderRow], waits: Sequence[OrderRow], now: datetime
    ) -> list[Announcement]:
        by_num = {order.order_num: order for order in orders}
        return [wait_announcement(self._stack, run, order, now, failures_to_override(order, by_num)) for order in waits]

    def _put(self, run: RunRow, announcements: Sequence[Announcement]) -> IacCiError | None:
        try:
            self._ports.bus.put(announcements)
        except IacCiError as error:
            self._ports.logger.warning(
                "announcement failed", run_id=run.run_id, trace_id=run.trace_id, error=error.message
            )
            return error
        return None

    def _give_up(self, run: RunRow, error: IacCiError) -> None:
        """Record in the run's history that announcements are missing."""
        at = self._ports.clock.now()
        self._ports.runs.record([run_event(run, at, kind="announcement_failed", reason=error.message[:1024])])


def _is_due(state: AnnouncementState, now: datetime) -> bool:
    return state.again_at is None or now >= state.again_at


__all__ = ["AnnouncementState", "Announcer"]
