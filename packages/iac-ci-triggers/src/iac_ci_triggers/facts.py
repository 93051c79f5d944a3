"""Everything that a decision about an event looks at, as it was when the event was worked on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iac_ci_triggers.connections import branch_counts

if TYPE_CHECKING:
    from iac_ci_common.errors import ConfigurationProblems
    from iac_ci_common.job_validation.rules import Rules
    from iac_ci_common.models.job import Job
    from iac_ci_triggers.commands import CommandsFound
    from iac_ci_triggers.configuration import Configuration
    from iac_ci_triggers.connections import Connection
    from iac_ci_triggers.ledger import Ledger
    from iac_ci_vcs.provider import Account, PullRequest


@dataclass(frozen=True, slots=True)
class Source:
    """The repository as jobs name it: its address for git, the token's place, and what its jobs may name.

    ``head_repository`` is where the code lies if not there: Bitbucket has a fork's commits in the fork alone, while the
    others have those of every pull request.
    """

    repository: str
    token_location: str
    rules: Rules
    head_repository: str | None = None
    connection: Connection | None = None

    def heeds(self, branch: str) -> bool:
        """Return whether the operator lets this branch's configuration count."""
        return self.connection is None or branch_counts(self.connection, branch)


@dataclass(frozen=True, slots=True)
class CommentFacts:
    """The comment as it stands now. ``is_ours``: the engine wrote it; ``may_write``: its author may command."""

    id: str
    author: Account
    found: CommandsFound
    edited: bool
    is_ours: bool
    may_write: bool


@dataclass(frozen=True, slots=True)
class Rerun:
    """The newest run of this pull request that ended otherwise than well: its job, and what did not succeed of it."""

    run_id: str
    job_name: str
    sha: str
    job: Job
    unsuccessful: frozenset[str]
    """Names of the orders that did not succeed."""
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """One event's facts.

    ``configuration`` is the base branch's (of a push: the pushed commit's): None if there is none, its problems if it
    cannot be read. ``head_problems`` is None where the pull request leaves the configuration alone, else what is wrong
    with the changed one. ``changed`` is None where the changed paths are unknown.
    """

    source: Source
    ledger: Ledger
    actor: Account
    configuration: Configuration | ConfigurationProblems | None
    pull: PullRequest | None = None
    author_may_write: bool = False
    comment: CommentFacts | None = None
    head_problems: tuple[str, ...] | None = None
    changed: tuple[str, ...] | None = None
    branch: str = ""
    sha: str = ""
    reruns: tuple[Rerun, ...] = field(default=())

    @property
    def trusted(self) -> bool:
        """Return whether this very commit may run: by who wrote it and where it lies, or by an approval of it alone."""
        if self.pull is None:
            return True
        written_by_us = self.author_may_write and not self.pull.is_fork
        return written_by_us or self.ledger.approved_sha == self.pull.head_sha

    def approved_by(self, login: str) -> Facts:
        """Return the same facts with the commit approved."""
        sha = self.pull.head_sha if self.pull is not None else None
        ledger = self.ledger.model_copy(update={"approved_sha": sha, "approved_by": login})
        return replace(self, ledger=ledger)
