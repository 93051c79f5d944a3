"""What people and rules decide about pull requests on the code host: reviews, checks, teams, protection of branches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_local.fake_hosts.person import Person

ReviewState = Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED", "WITHDRAWN"]
"""GitHub's words; a withdrawn approval is one of GitLab and Bitbucket."""


@dataclass(slots=True)
class Review:
    """One review. GitHub keeps the time of one that is dismissed, and lists it with another commit after a push."""

    id: int
    number: int
    author: Person
    state: ReviewState
    at: datetime


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A check run of GitHub, which is not a status; ``conclusion`` is None until it is completed."""

    sha: str
    name: str
    conclusion: str | None = None


@dataclass(frozen=True, slots=True)
class Team:
    """A team or group: the logins of its members, of those who have not accepted yet, and whether tokens see it."""

    members: frozenset[str] = frozenset()
    invited: frozenset[str] = frozenset()
    is_visible: bool = True


@dataclass(slots=True)
class Rules:
    """What the protection of the base branch wants before a merge."""

    checks: tuple[str, ...] = ()
    approvals: int = 0
    up_to_date: bool = False
    resolved: bool = False


@dataclass(slots=True)
class ReviewBook:
    """Reviews and rules of one project.

    ``people_of`` are the accounts of commits' authors, by the commits' hashes. ``tells_times`` is whether GitLab tells
    when an approval was given, ``resets`` whether a push takes approvals back, on GitLab and Bitbucket.
    """

    reviews: list[Review] = field(default_factory=list)
    check_runs: list[CheckRun] = field(default_factory=list)
    teams: dict[str, Team] = field(default_factory=dict)
    people_of: dict[str, Person] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    open_threads: int = 0
    tells_times: bool = True
    resets: bool = False
    hides_causes: bool = False
    """Whether GitHub does not tell the token why a merge is blocked."""

    def newest(self, number: int) -> dict[Person, Review]:
        """Return each person's newest decision on a pull request."""
        return {one.author: one for one in self.reviews if one.number == number and one.state != "COMMENTED"}

    def approvals(self, number: int) -> list[Review]:
        """Return the approvals that stand."""
        return [one for one in self.newest(number).values() if one.state == "APPROVED"]


__all__ = ["CheckRun", "Review", "ReviewBook", "ReviewState", "Rules", "Team"]
