"""Reads the facts that a decision needs from the code host and the engine's tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iac_ci_common import keys
from iac_ci_common.errors import ConfigurationProblems, NotFound
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.states import RUN_TERMINAL, OrderState
from iac_ci_triggers.commands import CANCEL, HELP, RERUN_FAILED, UNLOCK, find_commands
from iac_ci_triggers.configuration import FILE_NAME, MAX_BYTES, read_configuration
from iac_ci_triggers.event import EventKind
from iac_ci_triggers.facts import CommentFacts, Facts, Rerun
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.provider import Account

if TYPE_CHECKING:
    from iac_ci_common.ports import Objects, Runs
    from iac_ci_triggers.configuration import Configuration
    from iac_ci_triggers.event import HostEvent
    from iac_ci_triggers.facts import Source
    from iac_ci_triggers.ledger import Ledger, StartedRun
    from iac_ci_vcs.provider import CodeHost, PullRequest

_START_NOTHING: Final = frozenset({HELP, CANCEL, UNLOCK})


@dataclass(frozen=True, slots=True)
class FactCollector:
    """Collects the facts about one event from the repository's host."""

    host: CodeHost
    runs: Runs
    objects: Objects
    source: Source

    def facts(self, event: HostEvent, ledger: Ledger) -> Facts:
        """Return the facts about an event as they are now. Raises the errors of the host."""
        actor = Account(event.actor.id, event.actor.login)
        if event.kind is EventKind.PUSH:
            return self._of_push(event, ledger, actor)
        if event.kind is EventKind.COMMENT:
            return self._of_comment(event, ledger, actor)
        return self._of_pull_request(event, ledger, actor, None)

    def _of_push(self, event: HostEvent, ledger: Ledger, actor: Account) -> Facts:
        """Read the branch's head from the host: a sender with the webhook's secret could name any commit."""
        branch = event.branch or ""
        try:
            head = self.host.branch_head(branch)
        except NotFound:
            return Facts(source=self.source, ledger=ledger, actor=actor, configuration=None, branch=branch)
        return Facts(
            source=self.source,
            ledger=ledger,
            actor=actor,
            configuration=self._configuration(head),
            branch=branch,
            sha=head,
            changed=event.changed if head == event.sha else None,
        )

    def _of_comment(self, event: HostEvent, ledger: Ledger, actor: Account) -> Facts:
        comment = self._comment(event)
        if comment is None or comment.is_ours or comment.edited or not comment.may_write:
            # The commands of such a comment are not run, so the other facts are not needed.
            return Facts(source=self.source, ledger=ledger, actor=actor, configuration=None, comment=comment)
        return self._of_pull_request(event, ledger, comment.author, comment)

    def _comment(self, event: HostEvent) -> CommentFacts | None:
        try:
            comment = self.host.comment(event.number or 0, event.comment_id or "")
        except NotFound:
            return None
        is_ours = comment.author.id == self.host.me().id
        return CommentFacts(
            id=comment.id,
            author=comment.author,
            found=find_commands(comment.body),
            edited=comment.edited,
            is_ours=is_ours,
            may_write=not is_ours and self.host.permission(comment.author).can_write,
        )

    def _of_pull_request(self, event: HostEvent, ledger: Ledger, actor: Account, comment: CommentFacts | None) -> Facts:
        words = {command.name for command in comment.found.commands} if comment is not None else None
        pull = self.host.pull_request(event.number or 0)
        starts = pull.is_open if words is None else bool(words - _START_NOTHING)
        changed, head_problems = self._changes(pull) if starts else (None, None)
        # The notice of the pull request's own event has these problems, so a command's notice does not repeat them.
        reported = head_problems if comment is None else None
        return Facts(
            source=self._source_of(pull),
            ledger=ledger,
            actor=actor,
            configuration=self._configuration(pull.base_branch),
            pull=pull,
            author_may_write=starts and not pull.is_fork and self.host.permission(pull.author).can_write,
            comment=comment,
            head_problems=reported,
            changed=changed,
            reruns=self._reruns(ledger) if words is not None and RERUN_FAILED in words else (),
        )

    def _source_of(self, pull: PullRequest) -> Source:
        if self.host.kind != Sender.BITBUCKET or not pull.is_fork or pull.head_repository is None:
            return self.source
        base = urlsplit(self.source.repository)
        return replace(self.source, head_repository=f"https://{base.netloc}/{pull.head_repository}.git")

    def _changes(self, pull: PullRequest) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        found = self.host.changed_files(pull.number)
        paths = tuple(dict.fromkeys(path for file in found.files for path in file.paths))
        if FILE_NAME not in paths:
            return paths if found.complete else None, None
        changed = self._configuration(pull.head_sha)
        problems = (
            tuple(f"{problem.where}: {problem.what}" for problem in changed.problems)
            if isinstance(changed, ConfigurationProblems)
            else ()
        )
        return paths if found.complete else None, problems

    def _configuration(self, reference: str) -> Configuration | ConfigurationProblems | None:
        try:
            return read_configuration(self.host.file(FILE_NAME, reference, max_bytes=MAX_BYTES))
        except NotFound:
            return None
        except ConfigurationProblems as problems:
            return problems

    def _reruns(self, ledger: Ledger) -> tuple[Rerun, ...]:
        """Return the newest run of each job, without expired runs, which cannot be run again."""
        newest = {run.job: run for run in ledger.runs}
        found = [self._rerun(run) for run in newest.values()]
        return tuple(rerun for rerun in found if rerun is not None)

    def _rerun(self, started: StartedRun) -> Rerun | None:
        try:
            stored = StoredJob.from_stored(self.objects.get(keys.job(started.run_id)))
        except NotFound:
            return None
        rows = self.runs.read(started.run_id)
        return Rerun(
            run_id=started.run_id,
            job_name=started.job,
            sha=started.sha,
            job=stored.job,
            unsuccessful=frozenset(row.order_name for row in rows.orders if row.status is not OrderState.SUCCEEDED),
            has_ended=rows.run is not None and rows.run.status in RUN_TERMINAL,
        )
