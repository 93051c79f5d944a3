"""Compares what an event has announced with what the host's API answers: pure.

The API may be behind the webhook by up to a minute, and an event may be delivered after a later change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_triggers.event import EventKind

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_triggers.event import HostEvent
    from iac_ci_triggers.ledger import Ledger
    from iac_ci_vcs.provider import PullRequest


def is_behind(pull: PullRequest, event: HostEvent) -> bool:
    """Return whether the API may not know yet what the event has announced."""
    if _lacks_head(pull) or is_older(pull, event):
        return True
    return not _agrees(pull, event) and not _is_before(event.updated_at, pull.updated_at)


def is_older(pull: PullRequest, event: HostEvent) -> bool:
    """Return whether the API certainly answers as before the event."""
    if _lacks_head(pull) or _is_before(pull.updated_at, event.updated_at):
        return True
    return not _agrees(pull, event) and event.before is not None and pull.head_sha == event.before


def is_before_known(pull: PullRequest, event: HostEvent, ledger: Ledger) -> bool:
    """Return whether the API answers with a head that the engine has seen before the newest one.

    An event that announces no head, such as a comment on GitHub, does not tell by itself that the API is behind.
    """
    if event.head is not None or ledger.head_sha in {None, pull.head_sha}:
        return False
    processed = {ledger.processed.sha} if ledger.processed is not None else set()
    return pull.head_sha in processed | {run.sha for run in ledger.runs}


def _lacks_head(pull: PullRequest) -> bool:
    """Return whether the head is not known yet; that of a closed one whose fork was deleted never will be."""
    return pull.is_open and not pull.head_sha


def _agrees(pull: PullRequest, event: HostEvent) -> bool:
    has_head = event.head is None or not pull.head_sha or pull.head_sha.startswith(event.head)
    has_base = event.base_branch is None or pull.base_branch == event.base_branch
    return has_head and has_base and (event.kind is not EventKind.CLOSED or not pull.is_open)


def _is_before(one: datetime | None, other: datetime | None) -> bool:
    """Return whether a moment is before another, both known, in whole seconds: hosts round some of their times."""
    return one is not None and other is not None and one.replace(microsecond=0) < other.replace(microsecond=0)


__all__ = ["is_before_known", "is_behind", "is_older"]
