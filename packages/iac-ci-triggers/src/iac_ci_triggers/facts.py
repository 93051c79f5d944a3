"""The facts for a decision about an event, as they are when the event is processed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iac_ci_triggers.connections import uses_branch
from iac_ci_triggers.known_plans import KnownPlans
from iac_ci_vcs.provider import Permission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from iac_ci_common.errors import ConfigurationProblems
    from iac_ci_common.job_validation.rules import Rules
    from iac_ci_common.models.job import Job, Order
    from iac_ci_common.models.saved_plan import Replan
    from iac_ci_triggers.commands import CommandsFound
    from iac_ci_triggers.configuration import Configuration
    from iac_ci_triggers.connections import Connection
    from iac_ci_triggers.gates import Gate
    from iac_ci_triggers.known_groups import KnownGroup
    from iac_ci_triggers.ledger import Ledger, SeenMerge
    from iac_ci_triggers.requirements import Known
    from iac_ci_vcs.provider import Account, MergeState, PullRequest


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

    def names_writer(self, account: Account) -> bool:
        """Return whether the operator says that an account may write, for hosts that do not tell; by its exact id."""
        return self.connection is not None and bool(account.id) and account.id in self.connection.writers

    def may_write(self, account: Account, permission: Permission) -> bool:
        """Return whether an account may write; where the host does not tell, whether the operator says so."""
        return self.names_writer(account) if permission is Permission.UNKNOWN else permission.can_write

    def trusts(self, account: Account) -> bool:
        """Return whether the operator trusts this bot's pull requests; its id is compared exactly."""
        return self.connection is not None and account.id in self.connection.trusted_accounts


@dataclass(frozen=True, slots=True)
class CommentFacts:
    """The comment as it is now.

    ``is_ours``: the engine wrote it. ``may_write``: its author has write access; ``permission_is_unknown``: the host
    does not tell it. ``by_trusted_account``: its author is a bot of the connection's ``trusted_accounts``. ``commit``
    is the pull request's head when the comment was written, if the host's event has it; on Bitbucket abbreviated.
    """

    id: str
    author: Account
    found: CommandsFound
    edited: bool
    is_ours: bool
    may_write: bool
    by_trusted_account: bool
    created_at: datetime
    commit: str | None = None
    permission_is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Rerun:
    """A run of a job of this pull request, and the orders in it that did not succeed.

    ``newest_states`` makes one of several, with the id of the newest.
    """

    run_id: str
    job_name: str
    sha: str
    base: str | None
    configuration: str | None
    job: Job
    unsuccessful: frozenset[str]
    """Names of the orders that did not succeed."""
    has_ended: bool
    whole: bool = False
    """Whether the run has all orders of its job."""


def newest_states(reruns: Sequence[Rerun]) -> Rerun | None:
    """Return the newest state of each order over several runs of one job, the newest run last; None without runs.

    Each order is the one of the newest run that has it; a run of the whole job replaces all orders before it.
    """
    if not reruns:
        return None
    orders: dict[str | None, Order] = {}
    unsuccessful: dict[str | None, bool] = {}
    for rerun in reruns:
        if rerun.whole:
            orders, unsuccessful = {}, {}
        for order in rerun.job.orders:
            orders[order.order_name] = order
            unsuccessful[order.order_name] = order.order_name in rerun.unsuccessful
    newest = reruns[-1]
    return replace(
        newest,
        job=newest.job.model_copy(update={"orders": list(orders.values())}),
        unsuccessful=frozenset(name for name, failed in unsuccessful.items() if failed and name is not None),
        has_ended=all(rerun.has_ended for rerun in reruns),
    )


@dataclass(frozen=True, slots=True)
class MergeFacts:
    """What is known of the merge of the event's pull request, where something is applied after it.

    ``seen`` is None, and ``unknown`` says why, if the host does not tell the commit of the merge. ``newest`` is the
    commit of the base branch that plans are compared with: the newest one. ``differing`` are, by the keys of plans,
    the paths at which that commit differs from what was planned; ``incomparable`` says of other plans why that is not
    known. ``gone`` are the projects that the pull request has planned and that this commit does not have.
    ``by_itself`` is False for a command, which may also apply plans that were made after the merge.
    """

    seen: SeenMerge | None
    newest: str = ""
    unknown: str = ""
    differing: Mapping[str, frozenset[str]] = field(default_factory=dict)
    incomparable: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    by_itself: bool = True


@dataclass(frozen=True, slots=True)
class PlannedStart:
    """A planned minute of a job's schedule. ``open_run`` is the schedule's last run if it has not ended."""

    job: str
    minute: datetime
    open_run: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about one event.

    ``configuration`` is the base branch's (for a push: the pushed commit's): None if there is none, its problems if it
    is not valid; ``configuration_sha256`` is the digest of its file, empty if there is none. ``default_branch`` is the
    repository's, empty if it is not needed. ``trigger_id`` and ``received_at`` are those of the event.
    ``head_problems`` is None if the pull request does not change the configuration, else the problems of
    the changed one. ``reopened`` says that the event reopened the pull request. ``queue_base`` is the branch that a
    merge queue merges into. ``deleted_folders`` are folders of orders that the pull request deletes. ``changed`` is
    None if the changed paths are unknown, or not known yet. ``author_is_unknown`` says that the host does not tell
    whether the pull request's author may write. ``plans`` are the rows of plans that a command or ``replan``
    needs, and ``replan`` is a plan that an apply has made stale, if the event is about one. ``groups`` are the
    concurrency groups of the pull request's runs, for the command that shows them.
    ``base_sha`` is the base branch's commit, empty if no order runs on the merged result; ``merge_state`` is what the
    host knows about the merge into it. ``head_seen_at`` is since when the engine has seen the newest commit as the
    head, ``head_pushed_at`` as in ``Ledger``, ``pusher`` the id of the account that the event names for a push.
    ``known`` is what requirements are about, None if nothing is required. ``merge_base`` is the commit of the base
    branch that the head has, ``base_changes`` are the paths that the base branch has changed since some of its
    commits; ``merge_base_unknown`` says why one of the two is not known. ``planned`` is what a schedule's event is
    about. ``came_from`` is the pull request whose merge made the pushed commit, None if the host knows none.
    ``merge`` is the pull request's merge, where something is applied after it; ``at_base`` says that what starts is
    of that commit of the base branch, not of the head, whose repository is ``head_repository`` then, if it is
    another one.
    """

    source: Source
    ledger: Ledger
    actor: Account
    configuration: Configuration | ConfigurationProblems | None
    trigger_id: str
    received_at: datetime
    configuration_sha256: str = ""
    default_branch: str = ""
    pull: PullRequest | None = None
    author_may_write: bool = False
    author_is_unknown: bool = False
    comment: CommentFacts | None = None
    head_problems: tuple[str, ...] | None = None
    changed: tuple[str, ...] | None = None
    branch: str = ""
    sha: str = ""
    queue_base: str = ""
    reopened: bool = False
    deleted_folders: frozenset[str] = frozenset()
    reruns: tuple[Rerun, ...] = field(default=())
    plans: KnownPlans = field(default_factory=KnownPlans)
    replan: Replan | None = None
    groups: tuple[KnownGroup, ...] = ()
    base_sha: str = ""
    merge_state: MergeState | None = None
    gates: tuple[Gate, ...] = ()
    head_seen_at: datetime | None = None
    head_pushed_at: datetime | None = None
    pusher: str | None = None
    known: Known | None = None
    merge_base: str | None = None
    merge_base_unknown: str = ""
    base_changes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    planned: PlannedStart | None = None
    merge: MergeFacts | None = None
    came_from: int | None = None
    at_base: bool = False
    head_repository: str | None = None

    @property
    def commit(self) -> str:
        """Return the commit that the event is about: the pull request's head, the pushed commit, or the queue's."""
        if self.at_base and self.merge is not None:
            return self.merge.newest
        return self.pull.head_sha if self.pull is not None else self.sha

    @property
    def base_branch(self) -> str:
        """Return the base branch of the pull request or of the merge queue; empty for a push."""
        return self.pull.base_branch if self.pull is not None else self.queue_base

    @property
    def trusted(self) -> bool:
        """Return whether this commit may run: it is approved, or it is not in a fork and its author is trusted.

        An author is trusted who may write, or is one of the connection's ``trusted_accounts``.
        """
        pull = self.pull
        if pull is None:
            return True
        author_is_trusted = self.author_may_write or self.source.trusts(pull.author)
        return (author_is_trusted and not pull.is_fork) or self.ledger.approves(
            pull.head_sha, pull.base_branch, self.configuration_sha256
        )

    def uses(self, branch: str) -> bool:
        """Return whether the operator allows this branch's configuration."""
        connection = self.source.connection
        return connection is None or uses_branch(connection, branch, default_branch=self.default_branch)

    @property
    def after_merge(self) -> Facts:
        """Return the same facts for what starts at the base branch's commit: its repository has all of the code."""
        head = self.source.head_repository
        return replace(self, at_base=True, source=replace(self.source, head_repository=None), head_repository=head)

    def approved_by(self, login: str) -> Facts:
        """Return the same facts with the commit approved for its base branch and configuration."""
        if self.pull is None:
            return self
        approval = {
            "approved_sha": self.pull.head_sha,
            "approved_base": self.pull.base_branch,
            "approved_configuration": self.configuration_sha256,
            "approved_by": login,
        }
        return replace(self, ledger=self.ledger.model_copy(update=approval))
