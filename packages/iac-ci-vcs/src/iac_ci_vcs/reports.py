"""Writes the run's comment and commit status on the repository's code host."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from iac_ci_common.errors import PortFailed
from iac_ci_common.locations import parse_location
from iac_ci_common.models.commit_job import StalePlan
from iac_ci_vcs.address import parse_address
from iac_ci_vcs.commit_jobs import has_open_pull, set_job_status, set_planned_status, set_stale_status
from iac_ci_vcs.drift_issues import write_issues
from iac_ci_vcs.hosts import open_code_host, parse_credentials
from iac_ci_vcs.provider import CommentStyle, CommitState, CommitStatus
from iac_ci_vcs.pull_request_merges import merge_applied
from iac_ci_vcs.reporting import marker
from iac_ci_vcs.reporting.stale_plan import render_planned_again, render_stale, stale_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from iac_ci_common.models.commit_job import JobPart, Plans
    from iac_ci_common.models.rows import ReportTarget
    from iac_ci_common.models.saved_plan import PlanRecord, ProjectApply
    from iac_ci_common.ports import Clock, CommitJobs, Secrets
    from iac_ci_vcs.drift import Drift, ReportedDrift
    from iac_ci_vcs.merge_verdicts import MergeReport
    from iac_ci_vcs.provider import CodeHost, HostSettings


class CodeHostReports:
    """Keeps one comment per run and edits it in place; finds it by its hidden marker and the engine's account."""

    def __init__(
        self,
        secrets: Secrets,
        commit_jobs: CommitJobs,
        clock: Clock,
        *,
        hosts: Mapping[str, HostSettings] | None = None,
        seconds: float = 30,
        command_options: str = "",
    ) -> None:
        """Read the token from the job's location for each report, because it may have been replaced.

        ``seconds`` limits each call to the host with its retries, so that a report does not use up its function's
        time-out. ``command_options`` are the options that name the stack in command lines.
        """
        self._command_options = f" {command_options}" if command_options else ""
        self._secrets = secrets
        self._commit_jobs = commit_jobs
        self._clock = clock
        self._hosts = hosts
        self._seconds = seconds
        self._open_hosts: dict[tuple[str, str], CodeHost] | None = None

    @contextmanager
    def session(self) -> Iterator[None]:
        """Open each code host at most once for all calls inside, which must come from one thread."""
        if self._open_hosts is not None:
            yield
            return
        self._open_hosts = {}
        try:
            yield
        finally:
            opened, self._open_hosts = self._open_hosts, None
            with ExitStack() as closing:
                for host in opened.values():
                    closing.callback(host.close)

    def _style(self, host: CodeHost) -> CommentStyle:
        return CommentStyle(host.max_comment_chars, host.comments_have_html, self._command_options)

    def publish(
        self,
        target: ReportTarget,
        *,
        run_id: str,
        write: Callable[[CommentStyle], str],
        is_first: bool = False,
        comment_id: str | None = None,
    ) -> str:
        """Create or edit the run's comment; raise ``PortFailed``, or ``Throttled`` if the host limits our requests."""
        if target.number is None:
            raise PortFailed("the comment cannot be written: the run has no pull request or issue")
        with self._open(target, "the comment") as host:
            style = self._style(host)
            body = write(style)
            with _readable_answers("the comment"):
                if comment_id is not None and _was_edited(host, target.number, comment_id, body):
                    return comment_id
                known = marker(run_id, has_html=style.has_html)
                existing = None if is_first else host.find_comment(target.number, known)
                if existing is None:
                    return host.create_comment(target.number, body).id
                if existing.body != body:
                    host.edit_comment(target.number, existing.id, body)
                return existing.id

    def mark(self, target: ReportTarget, status: CommitStatus) -> None:
        """Set the commit's status; raises like ``publish``."""
        with self._open(target, "the commit's status") as host, _readable_answers("the commit's status"):
            host.set_status(status)

    def mark_job(self, target: ReportTarget, own: CommitStatus, part: JobPart) -> None:
        """Set the folded status of a job; raises like ``publish``, and if the states cannot be read or written."""
        subject = "the commit's status"
        with self._open(target, subject) as host, _readable_answers(subject):
            set_job_status(
                self._commit_jobs,
                target.repository,
                own,
                part,
                now=self._clock.now(),
                is_open=partial(has_open_pull, host, own.commit),
                mark=host.set_status,
            )

    def notify_stale(
        self, target: ReportTarget, record: PlanRecord, by: ProjectApply, *, replans: bool = False
    ) -> bool:
        """Write into a pull request that its plan is stale, and set its status; raises like ``mark_job``."""
        subject = f"the comment on pull request {record.pull_request}"
        with self._open(target, subject) as host, _readable_answers(subject):
            if not has_open_pull(host, record.commit, record.pull_request):
                return False
            style = self._style(host)
            _upsert(host, record.pull_request, stale_name(record), render_stale(record, by, style, replans=replans))
            stale = StalePlan(record.pull_request, record.base, record.saved.run_id, record.saved.order_name)
            own = CommitStatus(record.commit, f"iac-ci/{record.job}", CommitState.PENDING, "")
            set_stale_status(
                self._commit_jobs, target.repository, own, stale, now=self._clock.now(), mark=host.set_status
            )
            return True

    def notify_planned_again(self, target: ReportTarget, record: PlanRecord) -> None:
        """Replace what ``notify_stale`` wrote, if it wrote something; raises like ``publish``."""
        subject = f"the comment on pull request {record.pull_request}"
        with self._open(target, subject) as host, _readable_answers(subject):
            style = self._style(host)
            text = render_planned_again(record, style)
            # A pull request that had another head already got no comment that the plan was stale.
            _upsert(host, record.pull_request, stale_name(record), text, only_if_there=True)

    def mark_planned(self, target: ReportTarget, own: CommitStatus, plans: Plans) -> None:
        """Set the status of a job that waits for comments; raises like ``mark_job``."""
        subject = "the commit's status"
        with self._open(target, subject) as host, _readable_answers(subject):
            set_planned_status(
                self._commit_jobs, target.repository, own, plans, now=self._clock.now(), mark=host.set_status
            )

    def report_drift(self, target: ReportTarget, drifts: Sequence[Drift]) -> list[ReportedDrift]:
        """Keep an issue for each project with drift; raises like ``publish``."""
        subject = "the issues about drift"
        with self._open(target, subject) as host, _readable_answers(subject):
            return write_issues(host, drifts)

    def merge_applied(self, target: ReportTarget, commit: str) -> MergeReport:
        """Merge the pull request if it is time; raises like ``mark_job``."""
        subject = "the merge of the pull request"
        with self._open(target, subject) as host, _readable_answers(subject):
            return merge_applied(host, self._commit_jobs, target, commit, self._style(host))

    @contextmanager
    def _open(self, target: ReportTarget, subject: str) -> Iterator[CodeHost]:
        if parse_address(target.repository) is None:
            raise PortFailed(
                f"{subject} cannot be written: {target.repository!r:.200} is not the address of a repository"
            )
        if target.token_location is None:
            raise PortFailed(f"{subject} cannot be written: the job has no git_token_location")
        with self.session():
            yield self._host(target.repository, target.token_location)

    def _host(self, repository: str, token_location: str) -> CodeHost:
        """Return the host that this session has opened, or open it."""
        opened = self._open_hosts if self._open_hosts is not None else {}
        host = opened.get((repository, token_location))
        if host is None:
            credentials = parse_credentials(self._secrets.read(parse_location(token_location)))
            host = open_code_host(repository, credentials, hosts=self._hosts, seconds=self._seconds)
            opened[repository, token_location] = host
        return host


def _was_edited(host: CodeHost, number: int, comment_id: str, body: str) -> bool:
    """Edit a comment; return False if it was deleted or is not the token's own, as after a change of the token."""
    try:
        host.edit_comment(number, comment_id, body)
    except PortFailed as error:
        if error.retry_is_safe:
            raise
        return False
    return True


def _upsert(host: CodeHost, number: int, name: str, body: str, *, only_if_there: bool = False) -> None:
    """Create or edit the comment of a name."""
    existing = host.find_comment(number, marker(name, has_html=host.comments_have_html))
    if existing is None:
        if not only_if_there:
            host.create_comment(number, body)
    elif existing.body != body:
        host.edit_comment(number, existing.id, body)


@contextmanager
def _readable_answers(subject: str) -> Iterator[None]:
    """Raise ``PortFailed`` if an answer of the code host has another form than its documentation describes.

    A report that fails never fails the run; an error of another class would.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise PortFailed(
            f"{subject} cannot be written: the code host answered in an unknown form ({type(error).__name__})"
        ) from error
