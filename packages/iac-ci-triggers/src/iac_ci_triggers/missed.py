"""Decides whether an open pull request has a state that the engine has not processed: pure.

The tick asks it about each listed pull request, because code hosts lose webhooks, and few send one again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_triggers.decide import BY_EVENT
from iac_ci_triggers.ledger import ProcessedState

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_triggers.ledger import Ledger
    from iac_ci_vcs.provider import ListedPullRequest, PullRequest

LOOKED_BACK: Final = timedelta(days=3)
"""Longest time since its last change for which a pull request is looked at; GitHub keeps its deliveries as long."""

LEFT_TO_WEBHOOK: Final = timedelta(minutes=5)
"""Time after its last change in which a pull request is left to its webhook: one event is processed for as long."""


def processed_state(pull: PullRequest) -> ProcessedState:
    """Return what the ledger remembers of a pull request whose event was processed."""
    return ProcessedState(
        sha=pull.head_sha, base=pull.base_branch, is_draft=pull.is_draft, labels=tuple(sorted(pull.labels))
    )


def is_recent(listed: ListedPullRequest, now: datetime) -> bool:
    """Return whether a pull request changed so recently that its webhook may still be on its way."""
    return now - listed.updated_at < LEFT_TO_WEBHOOK


def is_missed(listed: ListedPullRequest, ledger: Ledger | None) -> bool:
    """Return whether no event has brought the present state of a pull request.

    A ledger of a version before has no processed state; there, a run of an event for this commit and base branch
    counts.
    """
    if not listed.head:
        return False
    if ledger is None:
        return True
    known = ledger.processed
    if known is not None:
        same = known.sha.startswith(listed.head) and known.base == listed.base_branch
        return not (same and known.is_draft == listed.is_draft and known.labels == tuple(sorted(listed.labels)))
    return not any(
        run.intent == BY_EVENT
        and run.sha.startswith(listed.head)
        and run.base in {None, listed.base_branch}
        and (ledger.closed_at is None or run.started_at > ledger.closed_at)
        for run in ledger.runs
    )


__all__ = ["LEFT_TO_WEBHOOK", "LOOKED_BACK", "is_missed", "is_recent", "processed_state"]
