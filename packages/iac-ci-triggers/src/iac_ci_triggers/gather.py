"""Reads the facts that a decision needs from the code host and the engine's tables."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from iac_ci_common import keys
from iac_ci_common.errors import (
    ConfigurationProblems,
    IacCiError,
    NotFound,
    PortFailed,
    PreparationFailed,
    Problem,
)
from iac_ci_common.left_out import LeftOut
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.overrides import unsuccessful
from iac_ci_common.states import RUN_TERMINAL, TERMINAL
from iac_ci_common.tree import differences
from iac_ci_projects import MAX_FILE_BYTES, TooManyProjects, files_to_read
from iac_ci_triggers.announced import is_before_known, is_behind, is_older
from iac_ci_triggers.apply_requirements import jobs_that_apply, sets_of
from iac_ci_triggers.commands import CANCEL, HELP, RERUN_FAILED, UNLOCK, find_commands
from iac_ci_triggers.configuration import (
    FILE_NAME,
    MAX_BYTES,
    Configuration,
    applies_after_merge,
    folders_of,
    jobs_for_command,
    jobs_for_pull_request,
    jobs_for_push,
    planning_jobs,
    possibly_deleted,
    read_configuration,
    reads_after_merge,
    uses_merge,
    with_project_jobs,
)
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.event import MAX_COMMENT_CHARS, EventKind
from iac_ci_triggers.facts import CommentFacts, Facts, MergeFacts, PlannedStart, Rerun, newest_states
from iac_ci_triggers.gates import TEAM, Gate, names
from iac_ci_triggers.known_groups import KnownGroup, group_names
from iac_ci_triggers.known_plans import Applier, KnownPlans
from iac_ci_triggers.ledger import LONGEST_RUN, SeenMerge
from iac_ci_triggers.requirements import Known
from iac_ci_triggers.review_facts import ReviewCollector, Subject
from iac_ci_triggers.saved_plans import after_merge_records, wanted_keys
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.merges import Merge
from iac_ci_vcs.provider import Account, CanMerge, ChangeKind, KnowsMerges, MergeState, Permission
from iac_ci_vcs.reporting import is_marked
from iac_ci_vcs.reviews import ReviewedHost
from iac_ci_vcs.waiting import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from iac_ci_common.ports import Groups, Objects, Plans, Runs
    from iac_ci_common.tree import Tree
    from iac_ci_triggers.commands import Command
    from iac_ci_triggers.event import HostEvent, StoredTrigger
    from iac_ci_triggers.facts import Source
    from iac_ci_triggers.ledger import Ledger, StartedRun
    from iac_ci_vcs.ports import Trees
    from iac_ci_vcs.provider import ChangedFiles, CodeHost, Comment, PullRequest

T = TypeVar("T")

_MOST_FOLDERS: Final = 20
"""Most folders that the host is asked for; the orders of further deleted folders fail."""

_MOST_RERUNS: Final = 10
"""Most runs of one job whose orders are read to be run again."""

_STORED_WITHIN: Final = timedelta(minutes=5)
"""Age within which another event may still be storing the job of a run: Lambda repeats an event that failed after one
minute and after two more."""

_MOST_BASES: Final = 5
"""Most commits of a base branch that are compared with its newest one."""

_MERGE_KNOWN_WITHIN: Final = timedelta(minutes=4)
"""Age of an event about a merge within which the host may not know its commit yet: Lambda repeats an event that failed
after one minute and after two more."""

_NO_MERGE: Final = "the code host does not tell which commit the merge made, or the branch does not have it any more"
_NOT_USED: Final = "this stack does not use the configuration of the branch"

_MOST_ORIGINS: Final = 3
"""Most pull requests that are read to find the one that a pushed commit came from."""

_ORIGIN_SECONDS: Final = 6.0
"""How long a host is asked for that pull request: a commit that was pushed by hand has none."""

_START_NOTHING: Final = frozenset({HELP, CANCEL, UNLOCK})


@dataclass(frozen=True, slots=True)
class FactCollector:
    """Collects the facts about one event from the repository's host."""

    host: CodeHost
    runs: Runs
    objects: Objects
    trees: Trees
    plans: Plans
    groups: Groups
    source: Source
    now: Callable[[], datetime]

    def facts(self, stored: StoredTrigger, ledger: Ledger) -> Facts:
        """Return the facts about an event as they are now. Raises the errors of the host."""
        event = stored.event
        known = Facts(
            source=self.source,
            ledger=ledger,
            actor=Account(event.actor.id, event.actor.login),
            configuration=None,
            trigger_id=stored.trigger_id,
            received_at=stored.received_at,
            reopened=event.reopened,
            replan=event.replan,
        )
        if event.kind is EventKind.PUSH:
            return self._of_push(event, known)
        if event.kind is EventKind.SCHEDULE:
            return self._of_schedule(event, known)
        if event.kind is EventKind.COMMENT:
            return self._of_comment(event, known)
        if event.kind is EventKind.MERGE_GROUP:
            return self._of_merge_group(event, known)
        if event.kind is EventKind.CLOSED:
            return self._of_closed(event, known)
        return self._of_pull_request(event, known)

    def _of_push(self, event: HostEvent, known: Facts) -> Facts:
        """Read the branch's head from the host: a sender with the webhook's secret could name any commit.

        The host's API may still tell a head of before the push. Another head than the pushed one is therefore believed
        after a minute alone: then the branch has moved on.
        """
        known = replace(known, branch=event.branch or "", default_branch=self._default_branch())
        head = self._settled(lambda: self._found_head(known.branch), lambda head: head == event.sha)
        if head is None:
            return known
        if head == event.before:
            raise PortFailed(
                f"the code host announced {event.sha} of {known.branch!r:.200}, and its API does not know it yet",
                retry_is_safe=True,
            )
        configuration, digest = self._configuration(head)
        changed = event.changed if head == event.sha else None
        starts = isinstance(configuration, Configuration) and jobs_for_push(configuration, known.branch, changed).jobs
        return replace(
            known,
            configuration=configuration,
            configuration_sha256=digest,
            sha=head,
            changed=changed,
            came_from=self._merged_as(known.branch, head) if starts and known.uses(known.branch) else None,
        )

    def _merged_as(self, branch: str, commit: str) -> int | None:
        """Return the pull request whose merge made a branch's newest commit, None if the host knows none."""
        host = self.host
        if not isinstance(host, KnowsMerges):
            return None

        def found() -> int | None:
            for number in host.pull_requests_of(commit)[:_MOST_ORIGINS]:
                pull = self.host.pull_request(number)
                if pull.is_merged and pull.base_branch == branch and pull.merge_sha == commit:
                    return number
            return None

        try:
            return settled(found, lambda number: number is not None, seconds=_ORIGIN_SECONDS if host.lag_seconds else 0)
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            # A token that may not ask this keeps no job from running.
            return None

    def _of_schedule(self, event: HostEvent, known: Facts) -> Facts:
        """Read the named branch as it is now, with the projects of its newest commit."""
        if event.job is None or event.planned_for is None:
            return known
        open_run = self._open_run(known.ledger, event.job, known.received_at)
        known = replace(known, branch=event.branch or "", planned=PlannedStart(event.job, event.planned_for, open_run))
        head = self._found_head(known.branch)
        if head is None:
            return known
        configuration, digest = self._configuration(head)
        if isinstance(configuration, Configuration):
            configuration, _ = self._with_projects(configuration, self.source, head, None)
        return replace(known, configuration=configuration, configuration_sha256=digest, sha=head)

    def _open_run(self, ledger: Ledger, job: str, now: datetime) -> str | None:
        """Return the newest run of a job's schedule if it has not ended; the ledger has a run before all else has."""
        started = next((run for run in reversed(ledger.runs) if run.job == job), None)
        if started is None or now - started.started_at > LONGEST_RUN:
            return None
        run = self.runs.find_run(started.run_id)
        if run is None:
            is_known = self.objects.exists(keys.job(started.run_id))
            return started.run_id if is_known or now - started.started_at < _STORED_WITHIN else None
        return None if run.status in RUN_TERMINAL else started.run_id

    def _found_head(self, branch: str) -> str | None:
        try:
            return self.host.branch_head(branch)
        except NotFound:
            return None

    def _of_merge_group(self, event: HostEvent, known: Facts) -> Facts:
        """Read the queue's commit from the host, as for a push. Its changed paths are unknown."""
        known = replace(
            known,
            branch=event.branch or "",
            queue_base=event.base_branch or "",
            default_branch=self._default_branch(),
        )
        head = self._settled(lambda: self._found_head(known.branch), lambda head: head is not None)
        if head is None:
            return known
        configuration, digest, _ = self._configuration_of_branch(known.queue_base)
        if isinstance(configuration, Configuration):
            configuration, _ = self._with_projects(configuration, self.source, head, None)
        return replace(known, configuration=configuration, configuration_sha256=digest, sha=head)

    def _of_comment(self, event: HostEvent, known: Facts) -> Facts:
        comment = self._comment(event)
        known = replace(known, comment=comment)
        if comment is None or comment.is_ours or comment.edited or not comment.may_write:
            # The commands of such a comment are not run, so the other facts are not needed.
            return known
        return self._of_pull_request(event, replace(known, actor=comment.author))

    def _of_closed(self, event: HostEvent, known: Facts) -> Facts:
        pull = self._pull(event, known.ledger)
        configuration, digest, _ = self._configuration_of_branch(pull.base_branch)
        known = replace(known, pull=pull, configuration=configuration, configuration_sha256=digest)
        if pull.is_merged and isinstance(configuration, ConfigurationProblems):
            return replace(known, default_branch=self._default_branch())
        if not pull.is_merged or not _is_applied_after(configuration):
            return known
        return self._of_merge(event, known, pull)

    def _of_merge(self, event: HostEvent, known: Facts, pull: PullRequest) -> Facts:
        """Return the facts about a merged pull request of which something is applied after the merge.

        Each event about the merge compares with the same commit of the base branch, a command with the newest one.
        """
        by_itself = known.comment is None
        default = self._default_branch()
        head_seen_at = self._head_seen_at(event, pull, known.ledger, known.received_at)
        known = replace(known, default_branch=default, head_seen_at=head_seen_at)
        if not known.uses(pull.base_branch):
            return replace(known, merge=MergeFacts(None, unknown=_NOT_USED, by_itself=by_itself))
        seen = known.ledger.merge if by_itself else None
        seen = seen or self._merge_of(pull, known.received_at)
        if seen is None:
            return replace(known, merge=MergeFacts(None, unknown=_NO_MERGE, by_itself=by_itself))
        configuration, digest = self._configuration(seen.newest)
        written = configuration
        listed = self.host.changed_files(pull.number)
        paths = tuple(dict.fromkeys(path for file in listed.files for path in file.paths))
        deleted: frozenset[str] = frozenset()
        if isinstance(configuration, Configuration):
            configuration, deleted = self._with_projects(configuration, self.source, seen.newest, listed)
        permission = self.host.permission(pull.author) if not pull.is_fork else Permission.NONE
        known = replace(
            known,
            source=self._source_of(pull),
            configuration=configuration,
            configuration_sha256=digest,
            deleted_folders=deleted,
            changed=paths if listed.complete and paths else None,
            author_may_write=self._may_write(pull.author, permission),
            author_is_unknown=permission is Permission.UNKNOWN,
            merge=MergeFacts(seen, seen.newest, by_itself=by_itself),
        )
        if not isinstance(configuration, Configuration):
            return known
        jobs = {name for name in configuration.jobs if reads_after_merge(configuration, name)}
        runs = [run for run in known.ledger.runs if run.job in jobs]
        plans = self._plans_of(configuration, jobs, pull, known, runs)
        newest = cache(lambda: self._paths_of(seen.newest))
        known = self._compared(replace(known, plans=plans), newest)
        if known.merge is not None and isinstance(written, Configuration):
            gone = self._planned_elsewhere(known, written, configuration, listed, newest)
            known = replace(known, merge=replace(known.merge, gone=gone))
        return self._reviewed_again(known, configuration, jobs, seen.newest)

    def _planned_elsewhere(
        self,
        known: Facts,
        written: Configuration,
        of_base: Configuration,
        listed: ChangedFiles,
        newest: Callable[[], Tree],
    ) -> tuple[str, ...]:
        """Return the projects of the head with plans that the merge applies, and that the base branch does not have.

        ``written`` is the base branch's file, ``of_base`` the same with the jobs of the projects that it has. The
        head's projects are read only if the base branch lacks a file that the pull request has: it was moved.
        """
        pull, merge = known.pull, known.merge
        if pull is None or merge is None or not written.projects:
            return ()
        paths = newest().entries
        if all(file.path in paths for file in listed.files if file.kind is not ChangeKind.REMOVED):
            return ()
        of_head, _ = self._with_projects(written, known.source, pull.head_sha, None)
        if not isinstance(of_head, Configuration):
            return ()
        repository = repository_key(self.source.repository) or ""
        present = after_merge_records(of_base, repository, pull.number)
        planned = after_merge_records(of_head, repository, pull.number)
        labels = {key: label for key, label in planned.items() if key not in present}
        return tuple(sorted(labels[key] for key in (self.plans.records(labels) if labels else ())))

    def _merge_of(self, pull: PullRequest, received_at: datetime) -> SeenMerge | None:
        """Return the merge once the base branch has it.

        Raises ``PortFailed``, safe to retry, while the host may not know it yet; later, return None.
        """
        found = self._settled(lambda: self._found_merge(pull.number), lambda found: found is not None)
        if found is None:
            if self.now() - received_at < _MERGE_KNOWN_WITHIN:
                raise PortFailed(
                    f"the code host does not tell yet which commit the merge of pull request {pull.number} made",
                    retry_is_safe=True,
                )
            return None
        sha, newest = found
        at = min(received_at, pull.merged_at) if pull.merged_at is not None else received_at
        return SeenMerge(sha=sha, newest=newest, at=at)

    def _found_merge(self, number: int) -> tuple[str, str] | None:
        """Return the commit of a merge and the newest one of the base branch, None if that does not have it."""
        pull = self.host.pull_request(number)
        newest = self._found_head(pull.base_branch)
        if newest is None or not pull.merge_sha or not isinstance(self.host, ReviewedHost):
            return None
        has_it = pull.merge_sha == newest or self.host.reviews().merge_base(newest, pull.merge_sha) == pull.merge_sha
        return (pull.merge_sha, newest) if has_it else None

    def _compared(self, known: Facts, newest: Callable[[], Tree]) -> Facts:
        """Return the facts with the paths at which the base branch differs from what each plan was made of."""
        merge, pull = known.merge, known.pull
        records = list(known.plans.records.values())
        if merge is None or pull is None or not records:
            return known
        differing: dict[str, frozenset[str]] = {}
        incomparable: dict[str, str] = {}
        read = cache(self._planned_paths)
        for record in sorted(records, key=lambda record: record.key):
            of_head = record.commit == pull.head_sha
            repository = (known.source.head_repository if of_head else None) or self.source.repository
            merged = (record.merge_into, record.merge_commit) if record.merge_into is not None else None
            try:
                differing[record.key] = differences(read(repository, record.commit, merged), newest())
            except PreparationFailed as error:
                incomparable[record.key] = error.message
        return replace(known, merge=replace(merge, differing=differing, incomparable=incomparable))

    def _planned_paths(self, repository: str, commit: str, merged: tuple[str, str | None] | None) -> Tree:
        """Return the tree that was planned: of a commit, or of its merge into another one."""
        merge = Merge(merged[0], self.source.repository, merged[1]) if merged is not None else None
        token = self.host.clone().git_token
        return self.trees.tree(
            repository, commit, token=token, choose=lambda _: (), max_bytes=MAX_FILE_BYTES, merge=merge
        )

    def _reviewed_again(self, known: Facts, configuration: Configuration, jobs: Collection[str], base: str) -> Facts:
        """Return the facts with what is required after the merge: approvals and people."""
        if known.pull is None or known.head_seen_at is None:
            return known
        # What is not as planned is planned again.
        started = {*jobs, *planning_jobs(configuration).values()}
        connection, branch = known.source.connection, known.pull.base_branch
        required = sets_of(configuration, connection, sorted(started), branch, is_merged=True)
        if not required:
            return known
        unseen = Known(known.pull, known.head_seen_at, changed=known.changed)
        subject = Subject(unseen, known.ledger, base)
        return replace(known, known=ReviewCollector(self.host, known.source).known(subject, required))

    def _default_branch(self) -> str:
        """Return the repository's default branch; empty if the operator names the branches."""
        connection = self.source.connection
        return self.host.default_branch() if connection is not None and connection.branches is None else ""

    def _comment(self, event: HostEvent) -> CommentFacts | None:
        """Return a comment as it is now."""
        comment = self._settled(lambda: self._found_comment(event), lambda found: found is not None)
        if comment is None:
            return None
        me = self.host.me()
        is_ours = is_marked(comment.body) if me is None else comment.author.id == me.id
        permission = Permission.NONE if is_ours else self.host.permission(comment.author)
        return CommentFacts(
            id=comment.id,
            author=comment.author,
            found=find_commands(comment.body),
            edited=_was_edited(comment, event),
            is_ours=is_ours,
            may_write=self._may_write(comment.author, permission),
            permission_is_unknown=permission is Permission.UNKNOWN,
            by_trusted_account=self.source.trusts(comment.author),
            created_at=comment.created_at,
            commit=event.sha or event.head,
        )

    def _found_comment(self, event: HostEvent) -> Comment | None:
        try:
            return self.host.comment(event.number or 0, event.comment_id or "")
        except NotFound:
            return None

    def _may_write(self, account: Account, permission: Permission) -> bool:
        """Return whether an account may write; where the host does not tell, whether the operator says so."""
        if permission is Permission.UNKNOWN:
            return self.source.names_writer(account)
        return permission.can_write

    def _of_pull_request(self, event: HostEvent, known: Facts) -> Facts:
        comment = known.comment
        words = {command.name for command in comment.found.commands} if comment is not None else None
        pull = self._pull(event, known.ledger)
        if pull.is_merged and words is not None and words - _START_NOTHING:
            configuration, digest, _ = self._configuration_of_branch(pull.base_branch)
            if _is_applied_after(configuration):
                known = replace(known, pull=pull, configuration=configuration, configuration_sha256=digest)
                return self._of_merge(event, self._with_gates(known), pull)
        answers = (
            [command for command in comment.found.commands if command.answers_order] if comment is not None else []
        )
        if words is not None and comment is not None:
            words = {command.name for command in comment.found.commands if not command.answers_order}
        starts = pull.is_open if words is None else bool(words - _START_NOTHING)
        listed = self.host.changed_files(pull.number) if starts else None
        changed, head_problems = self._changes(pull, listed) if listed is not None else (None, None)
        # The notice of the pull request's own event has these problems, so a command's notice does not repeat them.
        reported = head_problems if comment is None else None
        configuration, digest, base = self._configuration_of_branch(pull.base_branch)
        source = self._source_of(pull)
        deleted: frozenset[str] = frozenset()
        if listed is not None and isinstance(configuration, Configuration):
            if configuration.projects:
                configuration, deleted = self._with_projects(configuration, source, pull.head_sha, listed)
            elif source.head_repository is None:
                emptied = sorted(possibly_deleted(folders_of(configuration), listed.files))[:_MOST_FOLDERS]
                deleted = frozenset(folder for folder in emptied if not self.host.has_folder(folder, pull.head_sha))
        is_merged = starts and isinstance(configuration, Configuration) and uses_merge(configuration)
        permission = self.host.permission(pull.author) if starts and not pull.is_fork else Permission.NONE
        head_seen_at = self._head_seen_at(event, pull, known.ledger, known.received_at)
        known = replace(
            known,
            source=source,
            deleted_folders=deleted,
            configuration=configuration,
            configuration_sha256=digest,
            default_branch=self.host.default_branch() if starts else "",
            pull=pull,
            actor=pull.author if known.replan is not None else known.actor,
            author_may_write=self._may_write(pull.author, permission),
            author_is_unknown=permission is Permission.UNKNOWN,
            head_problems=reported,
            changed=changed,
            reruns=self._reruns(known.ledger, pull, digest) if words is not None and RERUN_FAILED in words else (),
            plans=self._plans(configuration, words, pull, known) if starts else KnownPlans(),
            groups=self._groups(known) if words is not None and UNLOCK in words else (),
            base_sha=base if is_merged else "",
            merge_state=self._merge_state(pull, base) if is_merged else None,
            gates=self._gates(known, comment.author, answers) if comment is not None and answers else (),
            head_seen_at=head_seen_at,
            head_pushed_at=_head_pushed_at(event, pull, known.ledger, head_seen_at),
            pusher=_pusher(event, known.ledger),
        )
        return self._with_reviews(known, words, base) if starts else known

    def _head_seen_at(self, event: HostEvent, pull: PullRequest, ledger: Ledger, received_at: datetime) -> datetime:
        """Return since when the engine has seen the newest commit as the head, without a break that it knows of.

        An event that announces another head, or one after another head, says that there was one in between: then
        approvals may have been of that. One that came before the head was seen says nothing of what followed.
        """
        if ledger.head_sha != pull.head_sha or ledger.head_seen_at is None:
            return self.now()
        is_announced = event.head is None or pull.head_sha.startswith(event.head)
        is_break = event.before not in {None, ledger.head_sha} and ledger.head_seen_at < received_at
        return ledger.head_seen_at if is_announced and not is_break else self.now()

    def _with_reviews(self, facts: Facts, words: set[str] | None, base: str) -> Facts:
        """Return the facts with what the requirements of the jobs that a command starts are about.

        Without a command, they are those of applying what the event's jobs plan, and only shown.
        """
        configuration, pull, connection = facts.configuration, facts.pull, facts.source.connection
        if not isinstance(configuration, Configuration) or pull is None or facts.head_seen_at is None:
            return facts
        if words is None:
            planning = jobs_for_pull_request(
                configuration, pull.base_branch, facts.changed, is_draft=pull.is_draft, labels=pull.labels
            ).jobs
            started = set(planning)
        else:
            started = {name for word in words for name in jobs_for_command(configuration, word).jobs}
            started |= {rerun.job_name for rerun in facts.reruns if rerun.job_name in configuration.jobs}
        required = sets_of(configuration, connection, started, pull.base_branch)
        shown = sets_of(configuration, connection, jobs_that_apply(configuration, started), pull.base_branch)
        if not required and not shown:
            return facts
        unseen = Known(pull, facts.head_seen_at, changed=facts.changed)
        collector = ReviewCollector(self.host, facts.source, waits=bool(required))
        subject = Subject(unseen, facts.ledger, base)
        known = collector.known(subject, [*required, *(one for one in shown if one not in required)])
        facts = replace(facts, known=known)
        if not any(one.undiverged for one in (*required, *shown)):
            return facts
        return self._with_base_changes(facts, base, compares=any(one.undiverged for one in required))

    def _with_base_changes(self, facts: Facts, base: str, *, compares: bool) -> Facts:
        """Return the facts with what the base branch has changed since the commits that were planned.

        With ``compares`` False, nothing is fetched: only a pull request that has the newest commit is known then.
        """
        if not isinstance(self.host, ReviewedHost):
            return replace(facts, merge_base_unknown="this stack's provider for the code host cannot ask for it")
        ancestor = self.host.reviews().merge_base(base, facts.commit)
        records = (record for record in facts.plans.records.values() if record.commit == facts.commit)
        planned = dict.fromkeys([ancestor, *(record.merge_into for record in records)])
        wanted = [commit for commit in planned if commit is not None and commit != base][:_MOST_BASES]
        changes: dict[str, frozenset[str]] = {base: frozenset()}
        unknown = ""
        try:
            if compares and wanted:
                newest = self._paths_of(base)
                changes |= {commit: differences(self._paths_of(commit), newest) for commit in wanted}
        except PreparationFailed as error:
            unknown = f"the commits cannot be compared: {error.message}"
        return replace(facts, merge_base=ancestor, base_changes=changes, merge_base_unknown=unknown)

    def _paths_of(self, commit: str) -> Tree:
        """Return a tree of the base branch, without the content of its files."""
        token = self.host.clone().git_token
        return self.trees.tree(
            self.source.repository, commit, token=token, choose=lambda _: (), max_bytes=MAX_FILE_BYTES
        )

    def _with_gates(self, known: Facts) -> Facts:
        """Return the facts with the orders that the commands of the comment answer, and the groups that they show."""
        comment = known.comment
        if comment is None:
            return known
        answers = [command for command in comment.found.commands if command.answers_order]
        words = {command.name for command in comment.found.commands}
        return replace(
            known,
            gates=self._gates(known, comment.author, answers) if answers else (),
            groups=self._groups(known) if UNLOCK in words else (),
        )

    def _gates(self, known: Facts, author: Account, commands: Sequence[Command]) -> tuple[Gate, ...]:
        """Return the orders with an approval that commands may name, in runs that may be open; the newest runs last."""
        targets = {command.target for command in commands}
        is_named = cache(lambda by: self._is_named(by, author))
        found = []
        for started in known.ledger.runs:
            if known.received_at - started.started_at > LONGEST_RUN:
                continue
            rows = self.runs.read(started.run_id)
            if rows.run is None:
                continue
            for order in rows.orders:
                if order.approval is not None:
                    # Hosts are asked about teams only where it matters.
                    asked = order.order_name in targets and order.awaits_answer
                    named = is_named(order.approval.by) if asked else False
                    found.append(Gate(started, rows.run, rows.orders, order, named))
        return tuple(found)

    def _is_named(self, by: Sequence[str], author: Account) -> bool | None:
        """Return whether a person is named, or in a named team as the host knows it now; None if it does not tell."""
        by_login = self.host.kind != Sender.BITBUCKET
        if any(names(entry, author, by_login=by_login) for entry in by if not entry.startswith(TEAM)):
            return True
        answers = [self._in_team(entry.removeprefix(TEAM), author) for entry in by if entry.startswith(TEAM)]
        if True in answers:
            return True
        return None if None in answers else False

    def _in_team(self, team: str, author: Account) -> bool | None:
        # A provider of another package may be made for a version before.
        return self.host.reviews().is_member(team, author) if isinstance(self.host, ReviewedHost) else None

    def _plans(
        self,
        configuration: Configuration | ConfigurationProblems | None,
        words: set[str] | None,
        pull: PullRequest,
        known: Facts,
    ) -> KnownPlans:
        """Return the plans of this pull request that the jobs of commands would apply, and their projects.

        Without commands, return the plan that an apply has made stale, if the event is about one.
        """
        if (replan := known.replan) is not None:
            projects = self.plans.states([keys.project_state(replan.project)])
            return KnownPlans(self.plans.records([replan.plan]), projects)
        if not isinstance(configuration, Configuration) or words is None:
            return KnownPlans()
        jobs = {name for word in words - _START_NOTHING for name in jobs_for_command(configuration, word).jobs}
        runs = [run for run in known.ledger.runs if run.job in jobs and run.sha == pull.head_sha]
        return self._plans_of(configuration, jobs, pull, known, runs)

    def _plans_of(
        self,
        configuration: Configuration,
        jobs: Collection[str],
        pull: PullRequest,
        known: Facts,
        runs: Sequence[StartedRun],
    ) -> KnownPlans:
        """Return the plans that these jobs would apply, and which of these runs apply them."""
        repository = repository_key(self.source.repository) or ""
        records, states = wanted_keys(configuration, jobs, repository, pull.number)
        if not records:
            return KnownPlans()
        plans = KnownPlans(self.plans.records(records), self.plans.states(states))
        for run in runs[-_MOST_RERUNS:]:
            plans = self._with_applier(plans, run, known.received_at)
        return plans

    def _groups(self, known: Facts) -> tuple[KnownGroup, ...]:
        """Return the concurrency groups that the pull request's runs hold or wait for."""
        runs = [run for run in known.ledger.runs if known.received_at - run.started_at < LONGEST_RUN]
        names: dict[str, str] = {}
        for run in runs:
            rows = self.runs.read(run.run_id)
            names |= group_names(rows.run, rows.orders)
        found = self.groups.read(names) if names else {}
        return tuple(KnownGroup(names[key], found[key]) for key in sorted(found) if found[key].entries)

    def _with_applier(self, plans: KnownPlans, run: StartedRun, now: datetime) -> KnownPlans:
        """Return the plans with a run of this pull request that has not ended all of its applies.

        The ledger has a run before the run has anything else, so of two commands at once the second one sees the first.
        """
        age, applier = now - run.started_at, Applier(run.intent, f"run {run.run_id}")
        if run.cancel_reason is not None or age > LONGEST_RUN:
            return plans
        rows = self.runs.read(run.run_id)
        if rows.run is not None:
            open_orders = [order for order in rows.orders if order.status not in TERMINAL]
            projects = [order.project for order in open_orders if order.project is not None]
        else:
            try:
                projects = [*StoredJob.from_stored(self.objects.get(keys.job(run.run_id))).projects.values()]
            except NotFound:
                if age > _STORED_WITHIN:
                    return plans
                starting = {**plans.starting, run.job: (*plans.starting.get(run.job, ()), applier)}
                return replace(plans, starting=starting)
        applied = [project.saved.planned.sha256 for project in projects if project.saved is not None]
        return plans.with_appliers(applied, applier)

    def _merge_state(self, pull: PullRequest, base: str) -> MergeState:
        if not hasattr(self.host, "merge_state"):
            # A provider of another package, made for a version before: the merge is made by git.
            return MergeState()
        return self.host.merge_state(pull.number, base, pull.head_sha)

    def _pull(self, event: HostEvent, ledger: Ledger) -> PullRequest:
        """Return the pull request once the host's API knows what the event has announced, and what the engine has seen.

        Raises ``NotFound`` or, safe to retry, ``PortFailed`` if it does not know it after a minute.
        """
        number = event.number or 0
        if not self.host.lag_seconds:
            return self.host.pull_request(number)
        read = self._settled(
            lambda: self._found_pull(number),
            lambda pull: pull is not None and not is_behind(pull, event) and not is_before_known(pull, event, ledger),
        )
        if read is None:
            return self.host.pull_request(number)
        if is_older(read, event) or is_before_known(read, event, ledger):
            wanted = event.head or ledger.head_sha or "its head"
            raise PortFailed(
                f"the code host announced {wanted} of pull request {number}, and its API does not know it yet",
                retry_is_safe=True,
            )
        return read

    def _found_pull(self, number: int) -> PullRequest | None:
        try:
            return self.host.pull_request(number)
        except NotFound:
            return None

    def _settled(self, read: Callable[[], T], is_settled: Callable[[T], bool]) -> T:
        return settled(read, is_settled, seconds=self.host.lag_seconds)

    def _with_projects(
        self, configuration: Configuration, source: Source, commit: str, listed: ChangedFiles | None
    ) -> tuple[Configuration | ConfigurationProblems, frozenset[str]]:
        """Return the configuration with the jobs of the projects of a commit, and the folders that the change deletes.

        Problems are returned as those of a configuration. Raises ``PortFailed`` if the host or the network failed.
        """
        if not configuration.projects:
            return configuration, frozenset()
        files = () if listed is None else listed.files
        removed = [file.path for file in files if file.kind is ChangeKind.REMOVED]
        removed += [file.previous_path for file in files if file.kind is ChangeKind.RENAMED and file.previous_path]
        changed = {path for file in files for path in file.paths}
        if listed is not None and not listed.complete:
            changed.add(LeftOut.FILE_NAME)
        try:
            tree = self._tree(source, commit)
            found = with_project_jobs(configuration, tree, removed, changed)
        except ConfigurationProblems as problems:
            return problems, frozenset()
        except (PreparationFailed, TooManyProjects) as error:
            return ConfigurationProblems([Problem("projects", f"cannot be found: {error}")]), frozenset()
        gone = possibly_deleted(folders_of(found.configuration), files)
        return found.configuration, found.deleted | frozenset(folder for folder in gone if folder not in tree.folders)

    def _tree(self, source: Source, commit: str) -> Tree:
        """Read a commit's paths and the files that can matter, with the credentials of the repository's host."""
        repository = source.head_repository or source.repository
        token = self.host.clone().git_token
        return self.trees.tree(repository, commit, token=token, choose=files_to_read, max_bytes=MAX_FILE_BYTES)

    def _source_of(self, pull: PullRequest) -> Source:
        if self.host.kind != Sender.BITBUCKET or not pull.is_fork or pull.head_repository is None:
            return self.source
        base = urlsplit(self.source.repository)
        return replace(self.source, head_repository=f"https://{base.netloc}/{pull.head_repository}.git")

    def _changes(self, pull: PullRequest, found: ChangedFiles) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        paths = tuple(dict.fromkeys(path for file in found.files for path in file.paths))
        # A host that has not computed the changes yet lists none: that is never taken for "changes nothing".
        known = paths if found.complete and paths else None
        if FILE_NAME not in paths:
            return known, None
        changed, _ = self._configuration(pull.head_sha)
        problems = (
            tuple(f"{problem.where}: {problem.what}" for problem in changed.problems)
            if isinstance(changed, ConfigurationProblems)
            else ()
        )
        return known, problems

    def _configuration_of_branch(self, branch: str) -> tuple[Configuration | ConfigurationProblems | None, str, str]:
        """Return a branch's configuration, its digest, and the branch's commit, of the full reference ``refs/heads/…``.

        A file read by the branch's name could be that of a tag with the same name.
        """
        try:
            head = self.host.branch_head(branch)
        except NotFound:
            return None, "", ""
        return *self._configuration(head), head

    def _configuration(self, commit: str) -> tuple[Configuration | ConfigurationProblems | None, str]:
        """Return a commit's configuration and the SHA-256 of its file; empty if there is none."""
        try:
            content = self.host.file(FILE_NAME, commit, max_bytes=MAX_BYTES)
        except NotFound:
            return None, ""
        digest = hashlib.sha256(content).hexdigest()
        try:
            return read_configuration(content, can_merge=isinstance(self.host, CanMerge)), digest
        except ConfigurationProblems as problems:
            return problems, digest

    def _reruns(self, ledger: Ledger, pull: PullRequest, configuration: str) -> tuple[Rerun, ...]:
        """Return what can be run again of each job: the newest state of each of its orders, whatever run it is from.

        Expired runs are left out, because they cannot be run again. If no run is for this commit, base branch and
        configuration, the newest one is returned, which says so.
        """
        by_job: dict[str, list[StartedRun]] = {}
        for run in ledger.runs:
            by_job.setdefault(run.job, []).append(run)
        found: list[Rerun | None] = []
        for runs in by_job.values():
            present = [run for run in runs if run.is_for(pull.head_sha, pull.base_branch, configuration)]
            read = [self._rerun(run) for run in (present or runs)[-_MOST_RERUNS:]]
            found.append(newest_states([rerun for rerun in read if rerun is not None]) if present else read[-1])
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
            base=started.base,
            configuration=started.configuration,
            job=stored.job,
            unsuccessful=frozenset(row.order_name for row in unsuccessful(rows.orders)),
            has_ended=rows.run is not None and rows.run.status in RUN_TERMINAL,
            whole=stored.scope is not None and stored.scope.whole,
        )


def _was_edited(comment: Comment, event: HostEvent) -> bool:
    """Return whether a comment's text is not the one that its event had.

    All hosts move the time of its update for other reasons too: GitHub by a second now and then
    (palantir/policy-bot#459), Bitbucket by milliseconds, and GitLab for each reaction, the engine's own included
    (GitLab's ``AwardEmoji#expire_cache``), and for a thread that is resolved. On GitHub, whose times are whole seconds,
    everybody who may write can edit a comment of another person without a trace in them: then its commands tell it.
    GitLab writes the addresses of images otherwise in events, so the texts alone do not tell it.
    """
    if event.comment is None or (comment.edited and comment.body != event.comment):
        return comment.edited
    now, before = (find_commands(text).commands for text in (comment.body[:MAX_COMMENT_CHARS], event.comment))
    return now != before


def _head_pushed_at(event: HostEvent, pull: PullRequest, ledger: Ledger, seen_at: datetime) -> datetime | None:
    """Return the earliest known time at which the newest commit was the head, None if the engine has seen none before.

    An event of the pull request has the time of its change by the host's clock. A comment on GitHub says nothing of the
    head that it was written at.
    """
    if ledger.head_sha is None:
        return None
    announced = event.kind is EventKind.PULL_REQUEST and event.head is not None and pull.head_sha.startswith(event.head)
    changed_at = event.updated_at if announced else None
    if seen_at != ledger.head_seen_at:
        return changed_at or seen_at
    known = ledger.head_pushed_at
    return min(known, changed_at) if known is not None and changed_at is not None else known


def _pusher(event: HostEvent, ledger: Ledger) -> str | None:
    """Return the id of the account that an event names for a push, None if it is about something else.

    Bitbucket does not say what was updated: there, an event with another head than the one before it is one.
    """
    if event.kind is not EventKind.PULL_REQUEST or not event.actor.id:
        return None
    if event.host is Sender.BITBUCKET:
        known = ledger.processed.sha if ledger.processed is not None else ""
        return event.actor.id if event.head and not known.startswith(event.head) else None
    return event.actor.id if event.before is not None else None


def _is_applied_after(configuration: Configuration | ConfigurationProblems | None) -> bool:
    return isinstance(configuration, Configuration) and applies_after_merge(configuration)
