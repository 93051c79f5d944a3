"""The ledger of a pull request or branch: the runs that the engine started for it, and the approved commit."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.base import Moment, Name, RunId, StoredShape

if TYPE_CHECKING:
    from datetime import datetime

MAX_COMMANDS: Final = 500
"""Most commands of one pull request in a day: a ledger of so many has less than a quarter of a row's largest size."""

MAX_ANSWERS: Final = 20
"""Most answers to one person's comments on a repository's pull requests within an hour; the last one says so."""

MAX_PUSHERS: Final = 200
"""Most accounts that have pushed to a pull request whose approvals are judged."""

MAX_LEFT_OUT: Final = 20
"""Most entries of planned minutes that started nothing."""

MAX_ENDED_RUNS: Final = 50
"""Most runs in a ledger that have ended or are cancelled, besides the newest run of each job."""

MAX_RUNS: Final = 300
"""Most runs in a ledger: the newest of 100 jobs by events and by comments, and what may be open besides. So many have
less than three quarters of a row's largest size."""

LONGEST_RUN: Final = timedelta(hours=25)
"""Age after which a run has certainly ended: no run takes longer than a day."""


class StartedRun(StoredShape):
    """A run that an event started: ``job`` of the configuration, at commit ``sha``.

    ``intent`` identifies the request, so that a repeated delivery does not start the run again: ``event``, or the
    comment's id and the index of the command in it. ``base`` and ``configuration`` are the base branch and the digest
    of its configuration; a run of an older version has none. ``cancel_reason`` is set when the run is cancelled; the
    preparation reads it here, because a run that is not prepared has no rows. ``by`` is the permanent id of the account
    that started it, None if no account did or in an entry of a version before. ``at_base`` says that ``sha`` is a
    commit of the base branch, after the merge.
    """

    run_id: RunId
    job: Name
    sha: str
    intent: str
    started_at: Moment
    base: str | None = None
    configuration: str | None = None
    cancel_reason: str | None = None
    by: str | None = None
    at_base: bool = False

    def is_for(self, sha: str, base: str | None, configuration: str) -> bool:
        """Return whether the run is for this commit, base branch and configuration."""
        return self.sha == sha and self.base in {None, base} and self.configuration in {None, configuration}


class ProcessedCommand(StoredShape):
    """A command that was processed: its intent, the event that brought it, and when."""

    intent: str
    trigger_id: RunId
    at: Moment


class GivenAnswer(StoredShape):
    """An answer to a comment of the account ``by``; ``is_last`` says that it is the last for an hour."""

    comment_id: str
    by: str
    at: Moment
    is_last: bool = False


class ProcessedState(StoredShape):
    """What an event of a pull request that was processed to its end was about."""

    sha: str
    base: str
    is_draft: bool = False
    labels: tuple[str, ...] = ()


class SeenMerge(StoredShape):
    """The merge of a pull request, as its first event found it.

    ``sha`` is the commit that it added last to the base branch, ``newest`` the branch's newest commit then. Plans count
    as reviewed that were there at ``at``.
    """

    sha: str
    newest: str
    at: Moment


class KnownSchedule(StoredShape):
    """A schedule of the connection's branch, as a tick has read it.

    ``decided`` is the newest planned minute that was decided, or the moment when the schedule was first read: minutes
    before it are not planned any more.
    """

    job: Name
    cron: str
    timezone: str
    decided: Moment

    def is_same(self, cron: str, timezone: str) -> bool:
        """Return whether this is the schedule with these fields."""
        return (self.cron, self.timezone) == (cron, timezone)


class LeftOutMinutes(StoredShape):
    """Planned minutes of a schedule that started nothing, and why: so many from the first to the last.

    ``run_id`` is the run whose events say so, ``trigger_id`` the event that decided it.
    """

    job: Name
    first: Moment
    last: Moment
    count: int = 1
    reason: str
    trigger_id: RunId
    run_id: RunId | None = None


class Ledger(StoredShape):
    """The ledger of one pull request, branch or person, or of a repository's schedules.

    ``version`` counts the writes and is the condition of each write.
    ``approved_sha`` is the one commit of an untrusted pull request that may run, with the base branch
    ``approved_base`` and the configuration with the digest ``approved_configuration``; another commit, base branch or
    configuration needs its own approval. ``commands`` are the commands of the last day, ``notices`` the
    subjects of the standing notices. ``answers`` are a person's answers of the last hour; in a pull request's ledger a
    version before has kept them. ``processed`` is the state of the pull request at the last of its events that was
    processed to its end; ``closed_at`` is when one closed it. ``head_sha`` is the newest commit that the engine has
    seen, and ``head_seen_at`` when it first saw it as the head: approvals before that were of another commit.
    ``head_pushed_at`` is the earliest known time at which it was the head: comments before that are about another
    commit. It is None if the engine has seen no head before it.
    ``pushers`` are the ids of the accounts that webhooks named for pushes. ``merge`` is the pull request's merge, if
    something is applied after it.
    ``schedules`` are those of the branch ``branch`` at the commit ``branch_sha``, and ``left_out`` the newest planned
    minutes that started nothing.
    """

    key: str
    version: int = 0
    approved_sha: str | None = None
    approved_base: str | None = None
    approved_configuration: str | None = None
    approved_by: str | None = None
    commands: tuple[ProcessedCommand, ...] = ()
    answers: tuple[GivenAnswer, ...] = ()
    notices: tuple[str, ...] = ()
    runs: tuple[StartedRun, ...] = ()
    processed: ProcessedState | None = None
    closed_at: Moment | None = None
    head_sha: str | None = None
    head_seen_at: Moment | None = None
    head_pushed_at: Moment | None = None
    pushers: tuple[str, ...] = ()
    merge: SeenMerge | None = None
    branch: str | None = None
    branch_sha: str | None = None
    schedules: tuple[KnownSchedule, ...] = ()
    left_out: tuple[LeftOutMinutes, ...] = ()
    expires_at: Moment

    def approves(self, sha: str, base: str, configuration: str) -> bool:
        """Return whether this commit may run with this base branch and configuration."""
        approved = (self.approved_sha, self.approved_base, self.approved_configuration)
        return approved == (sha, base, configuration)

    def was_processed(self, intent: str, *, by_another_than: str) -> bool:
        """Return whether another event than ``by_another_than`` brought this command before."""
        return any(known.intent == intent and known.trigger_id != by_another_than for known in self.commands)

    def answers_since(self, moment: datetime) -> tuple[GivenAnswer, ...]:
        """Return the answers that were given after a moment."""
        return tuple(answer for answer in self.answers if answer.at > moment)

    def schedule(self, job: str) -> KnownSchedule | None:
        """Return the known schedule of a job, None if there is none."""
        return next((known for known in self.schedules if known.job == job), None)

    def run(self, run_id: str) -> StartedRun | None:
        """Return the entry of a run, None if there is none."""
        return next((run for run in self.runs if run.run_id == run_id), None)
