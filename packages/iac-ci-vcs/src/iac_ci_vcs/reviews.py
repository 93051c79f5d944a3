"""What a code host knows about a pull request before it is applied: approvals, mergeability, checks, teams.

A code host that is a ``ReviewedHost`` has ``Reviews``. Whatever it does not tell is unknown, with the reason in plain
words, and never a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from iac_ci_vcs.provider import Account

OWN_CONTEXT: Final = "iac-ci"
"""Context of the engine's own statuses, alone or before a slash."""

MOST_PAGES: Final = 3
"""Most pages of commits, checks, notes or files that are read for one question."""


def is_own_context(name: str) -> bool:
    """Return whether a status is the engine's own. GitHub compares their names ignoring case."""
    context = name.casefold()
    return context == OWN_CONTEXT or context.startswith(f"{OWN_CONTEXT}/")


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval that stands on the host.

    ``at`` is when it was given, None if the host does not tell it. ``has_committed`` says that the host names the
    account as author or committer of a commit of the pull request. ``commit`` is the one that it was given to, None if
    the host does not tell it, empty if that is gone; hosts may move it to a later one.
    """

    account: Account
    at: datetime | None
    has_committed: bool = False
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Approvals:
    """The approvals of a pull request. ``unknown`` says why they cannot all be judged, None if they can."""

    given: tuple[Approval, ...] = ()
    unknown: str | None = None


class Mergeable(StrEnum):
    """Whether the host would merge, without regard to the engine's own statuses."""

    YES = "yes"
    NO = "no"
    PENDING = "pending"
    """The host has not computed it yet: ask again."""

    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Mergeability:
    """Whether the host would merge a pull request, and why not."""

    state: Mergeable
    reason: str = ""


class CheckState(StrEnum):
    """The state of a check, the worst last: a name with several checks has the worst of their states."""

    PASSED = "passed"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks and statuses of a commit, by their names in lower case. ``unknown`` says why some may be missing."""

    states: Mapping[str, CheckState] = field(default_factory=dict)
    unknown: str | None = None


def worst(states: Mapping[str, CheckState], name: str, state: CheckState) -> CheckState:
    """Return the state of a name with one more check."""
    order = list(CheckState)
    return max(states.get(name.casefold(), CheckState.PASSED), state, key=order.index)


class Reviews(Protocol):
    """The reviews of one repository's pull requests. The methods raise as those of ``CodeHost``."""

    owner_files: tuple[str, ...]
    """Paths at which the host reads CODEOWNERS, the first one that exists; none if it has no such file."""

    def approvals(self, number: int) -> Approvals:
        """Return the approvals that stand: of each person the newest decision alone."""
        ...

    def mergeability(self, number: int) -> Mergeability:
        """Return whether the host would merge now, as it knows it now: the first call may use what was just read."""
        ...

    def checks(self, number: int, commit: str) -> Checks:
        """Return the checks of a pull request's newest commit."""
        ...

    def may_be_team(self, owner: str) -> bool:
        """Return whether an owner of CODEOWNERS, without its first ``@``, may be a team or a role, and no person."""
        ...

    def is_member(self, team: str, account: Account) -> bool | None:
        """Return whether an account is in a team, directly or not, or has a role.

        None if the host does not tell it to the token.
        """
        ...

    def merge_base(self, base: str, head: str) -> str | None:
        """Return the best common ancestor of two commits; None if the host does not know both."""
        ...


@runtime_checkable
class ReviewedHost(Protocol):
    """A code host whose reviews can be asked for."""

    def reviews(self) -> Reviews:
        """Return the repository's reviews, which share the session of the host."""
        ...


__all__ = [
    "MOST_PAGES",
    "OWN_CONTEXT",
    "Approval",
    "Approvals",
    "CheckState",
    "Checks",
    "Mergeability",
    "Mergeable",
    "ReviewedHost",
    "Reviews",
    "is_own_context",
    "worst",
]
