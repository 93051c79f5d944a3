"""The facts for a decision about an event, as they are when the event is processed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iac_ci_triggers.connections import uses_branch

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
    """The repository for jobs: its URL for git, the token's location, and the rules for its jobs.

    ``head_repository`` is the URL of the code's repository if it is another one: Bitbucket has a fork's commits only in
    the fork, the other hosts have the commits of every pull request in its target repository.
    """

    repository: str
    token_location: str
    rules: Rules
    head_repository: str | None = None
    connection: Connection | None = None

    def uses(self, branch: str) -> bool:
        """Return whether the operator allows this branch's configuration."""
        return self.connection is None or uses_branch(self.connection, branch)


@dataclass(frozen=True, slots=True)
class CommentFacts:
    """The comment as it is now. ``is_ours``: the engine wrote it. ``may_write``: its author has write access."""

    id: str
    author: Account
    found: CommandsFound
    edited: bool
    is_ours: bool
    may_write: bool


@dataclass(frozen=True, slots=True)
class Rerun:
    """The newest run of a job of this pull request, and the orders in it that did not succeed."""

    run_id: str
    job_name: str
    sha: str
    job: Job
    unsuccessful: frozenset[str]
    """Names of the orders that did not succeed."""
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about one event.

    ``configuration`` is the base branch's (for a push: the pushed commit's): None if there is none, its problems if it
    is not valid. ``head_problems`` is None if the pull request does not change the configuration, else the problems of
    the changed one. ``changed`` is None if the changed paths are unknown.
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
        """Return whether this commit may run: its author may write and it is not in a fork, or it is approved."""
        if self.pull is None:
            return True
        by_a_writer = self.author_may_write and not self.pull.is_fork
        return by_a_writer or self.ledger.approved_sha == self.pull.head_sha

    def approved_by(self, login: str) -> Facts:
        """Return the same facts with the commit approved."""
        sha = self.pull.head_sha if self.pull is not None else None
        ledger = self.ledger.model_copy(update={"approved_sha": sha, "approved_by": login})
        return replace(self, ledger=ledger)
