"""Since when a commit has been the head of its pull request, and who pushed it; pure, the clock is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_triggers.event import EventKind
from iac_ci_triggers.verification import Sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iac_ci_triggers.event import HostEvent
    from iac_ci_triggers.ledger import Ledger
    from iac_ci_vcs.provider import PullRequest


def head_seen_at(
    event: HostEvent, pull: PullRequest, ledger: Ledger, received_at: datetime, now: Callable[[], datetime]
) -> datetime:
    """Return since when the engine has seen the newest commit as the head, without a break that it knows of.

    An event that announces another head, or one after another head, says that there was one in between: then
    approvals may have been of that. One that came before the head was seen says nothing of what followed.
    """
    if ledger.head_sha != pull.head_sha or ledger.head_seen_at is None:
        return now()
    is_announced = event.head is None or pull.head_sha.startswith(event.head)
    is_break = event.before not in {None, ledger.head_sha} and ledger.head_seen_at < received_at
    return ledger.head_seen_at if is_announced and not is_break else now()


def head_pushed_at(event: HostEvent, pull: PullRequest, ledger: Ledger, seen_at: datetime) -> datetime | None:
    """Return the earliest known time at which the newest commit was the head, None if the engine has seen none before.

    An event of the pull request has the time of its change by the host's clock. A comment on GitHub says nothing of the
    head that it was written at.
    """
    if ledger.head_sha is None:
        return None
    announced = event.kind is EventKind.PULL_REQUEST and event.head is not None and pull.head_sha.startswith(event.head)
    changed_at = event.updated_at if announced else None
    if seen_at != ledger.head_seen_at:
        return changed_at or seen_at
    known = ledger.head_pushed_at
    return min(known, changed_at) if known is not None and changed_at is not None else known


def pusher(event: HostEvent, ledger: Ledger) -> str | None:
    """Return the id of the account that an event names for a push, None if it is about something else.

    Bitbucket does not say what was updated: there, an event with another head than the one before it is one.
    """
    if event.kind is not EventKind.PULL_REQUEST or not event.actor.id:
        return None
    if event.host is Sender.BITBUCKET:
        known = ledger.processed.sha if ledger.processed is not None else ""
        return event.actor.id if event.head and not known.startswith(event.head) else None
    return event.actor.id if event.before is not None else None


__all__ = ["head_pushed_at", "head_seen_at", "pusher"]
