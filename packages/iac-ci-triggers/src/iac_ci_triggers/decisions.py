"""Decisions about an event: frozen data that can be printed and compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from iac_ci_common.models.approval import ApprovalAnswer
    from iac_ci_common.models.commit_job import JobPart
    from iac_ci_common.models.job import Job
    from iac_ci_common.models.rows import JobScope, OrderRow
    from iac_ci_common.models.saved_plan import OrderProject
    from iac_ci_triggers.ledger import SeenMerge
    from iac_ci_triggers.notice import Paragraph, Subject
    from iac_ci_vcs.provider import CommitStatus


@dataclass(frozen=True, slots=True)
class Start:
    """Start a job for a commit, once per ``intent``.

    ``base`` is the pull request's base branch, None for a push; ``configuration`` is the digest of its configuration.
    ``actor`` is the name of the account that starts it, ``account`` its permanent id. ``scope`` and ``not_run`` say
    what the run is of a pull request's job.
    An event's run that was started before ``not_before`` does not count: the pull request was closed since.
    ``projects`` are what orders plan or apply, by the orders' names. ``planned_for`` is the minute of a schedule.
    ``at_base`` says that ``sha`` is a commit of the base branch, after the merge.
    """

    job_name: str
    sha: str
    intent: str
    job: Job
    base: str | None = None
    configuration: str = ""
    actor: str | None = None
    scope: JobScope | None = None
    not_run: tuple[str, ...] = ()
    not_before: datetime | None = None
    projects: Mapping[str, OrderProject] = field(default_factory=dict)
    planned_for: datetime | None = None
    account: str | None = None
    at_base: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the queued orders of runs; running orders finish or, with ``running``, are asked to stop.

    An apply is not asked. Plans of a superseded run are asked to stop too: its reason says so to the broker.
    """

    run_ids: tuple[str, ...]
    reason: str
    running: bool = False


@dataclass(frozen=True, slots=True)
class Approve:
    """Let this one commit of an untrusted pull request run with this base branch and configuration."""

    sha: str
    base: str
    configuration: str
    by: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an order that waits for an approval, unless it has an answer."""

    order: OrderRow
    answer: ApprovalAnswer


@dataclass(frozen=True, slots=True)
class SeeHead:
    """Record the newest commit, since when the engine has seen it as the head, and who has pushed to it and when."""

    sha: str
    at: datetime
    pusher: str | None = None
    pushed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SeeMerge:
    """Record the pull request's merge, so that each event about it decides by the same commits."""

    merge: SeenMerge


@dataclass(frozen=True, slots=True)
class Remember:
    """Record that the event with this id brought the command, so that no other event brings it again."""

    intent: str
    trigger_id: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Make the orchestrator check runs again."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Free:
    """Ask the holder of a concurrency group to stop; with a ``token``, free this entry of it at once.

    Order ``0000`` is the run itself.
    """

    key: str
    token: int | None
    run_id: str
    order_num: str
    reason: str


@dataclass(frozen=True, slots=True)
class Say:
    """Write a paragraph: in the standing notice of its subject, or without one in the answer to the comment."""

    paragraph: Paragraph
    subject: Subject | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Replace the standing notice of a subject, if the pull request has one: its cause is gone."""

    paragraph: Paragraph
    subject: Subject


@dataclass(frozen=True, slots=True)
class Mark:
    """Set a status on a commit that has no run (yet).

    ``part`` is what the event knows about the status's job; other runs and pull requests may say more about it.
    """

    status: CommitStatus
    part: JobPart | None = None


@dataclass(frozen=True, slots=True)
class Refresh:
    """Set statuses of a commit without the event's pull request, which is closed.

    Their own states count for those that wait for it alone; a pending one leaves such a status as it is.
    """

    statuses: tuple[CommitStatus, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """Record that the planned minutes of a job's schedule are decided up to this one."""

    job: str
    minute: datetime


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Start nothing for planned minutes of a schedule. The run ``run_id``, or the one that starts, records why."""

    job: str
    minutes: tuple[datetime, ...]
    reason: str
    trigger_id: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """Do nothing; the reason is logged."""

    reason: str


Decision = (
    Start
    | Cancel
    | Approve
    | Answer
    | SeeHead
    | SeeMerge
    | Remember
    | Wake
    | Free
    | Say
    | Settle
    | Mark
    | Refresh
    | Pass
    | LeaveOut
    | Nothing
)
