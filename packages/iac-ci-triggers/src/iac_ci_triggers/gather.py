"""Collects the facts that a decision needs from the code host and the engine's tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.errors import ConfigurationProblems, PortFailed, PreparationFailed
from iac_ci_common.tree import differences
from iac_ci_triggers.apply_requirements import jobs_that_apply, sets_of
from iac_ci_triggers.commands import CANCEL, HELP, RERUN_FAILED, UNLOCK, find_commands
from iac_ci_triggers.configuration import (
    Configuration,
    folders_of,
    jobs_for_command,
    jobs_for_pull_request,
    jobs_for_push,
    uses_merge,
)
from iac_ci_triggers.event import MAX_COMMENT_CHARS, EventKind
from iac_ci_triggers.facts import CommentFacts, Facts, PlannedStart
from iac_ci_triggers.known_plans import KnownPlans
from iac_ci_triggers.merge_facts import MergeCollector, is_applied_after
from iac_ci_triggers.repository_reader import RepositoryReader
from iac_ci_triggers.requirements import Known
from iac_ci_triggers.review_facts import ReviewCollector, Subject
from iac_ci_triggers.run_facts import RunCollector
from iac_ci_triggers.seen_heads import head_pushed_at, head_seen_at, pusher
from iac_ci_vcs.provider import Account, MergeState, Permission
from iac_ci_vcs.reporting import is_marked
from iac_ci_vcs.reviews import ReviewedHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iac_ci_common.ports import Groups, Objects, Plans, Runs
    from iac_ci_triggers.event import HostEvent, StoredTrigger
    from iac_ci_triggers.facts import Source
    from iac_ci_triggers.ledger import Ledger
    from iac_ci_vcs.ports import Trees
    from iac_ci_vcs.provider import CodeHost, Comment, PullRequest

_MOST_BASES: Final = 5
"""Most commits of a base branch that are compared with its newest one."""

_START_NOTHING: Final = frozenset({HELP, CANCEL, UNLOCK})


class FactCollector:
    """Collects the facts about one event from the repository's host."""

    def __init__(
        self,
        host: CodeHost,
        source: Source,
        *,
        runs: Runs,
        objects: Objects,
        trees: Trees,
        plans: Plans,
        groups: Groups,
        now: Callable[[], datetime],
    ) -> None:
        """Read from one repository's host and from the engine's tables; ``now`` returns the time."""
        self._host = host
        self._source = source
        self._plans = plans
        self._now = now
        self._repository = RepositoryReader(host, trees, source)
        self._runs = RunCollector(host, source, runs, objects, plans, groups)
        self._merges = MergeCollector(host, source, self._repository, self._runs, plans, now)

    def facts(self, stored: StoredTrigger, ledger: Ledger) -> Facts:
        """Return the facts about an event as they are now. Raises the errors of the host."""
        event = stored.event
        known = Facts(
            source=self._source,
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
        known = replace(known, branch=event.branch or "", default_branch=self._repository.default_branch())
        head = self._repository.settled(lambda: self._repository.head(known.branch), lambda head: head == event.sha)
        if head is None:
            return known
        if head == event.before:
            raise PortFailed(
                f"the code host announced {event.sha} of {known.branch!r:.200}, and its API does not know it yet",
                retry_is_safe=True,
            )
        configuration, digest = self._repository.configuration(head)
        changed = event.changed if head == event.sha else None
        starts = isinstance(configuration, Configuration) and jobs_for_push(configuration, known.branch, changed).jobs
        return replace(
            known,
            configuration=configuration,
            configuration_sha256=digest,
            sha=head,
            changed=changed,
            came_from=self._merges.merged_as(known.branch, head) if starts and known.uses(known.branch) else None,
        )

    def _of_schedule(self, event: HostEvent, known: Facts) -> Facts:
        """Read the named branch as it is now, with the projects of its newest commit."""
        if event.job is None or event.planned_for is None:
            return known
        open_run = self._runs.open_run(known.ledger, event.job, known.received_at)
        known = replace(known, branch=event.branch or "", planned=PlannedStart(event.job, event.planned_for, open_run))
        head = self._repository.head(known.branch)
        if head is None:
            return known
        configuration, digest = self._repository.configuration(head)
        if isinstance(configuration, Configuration):
            configuration, _ = self._repository.with_projects(configuration, self._source, head, None)
        return replace(known, configuration=configuration, configuration_sha256=digest, sha=head)

    def _of_merge_group(self, event: HostEvent, known: Facts) -> Facts:
        """Read the queue's commit from the host, as for a push. Its changed paths are unknown.

        The folders that it deletes are those that the base branch has and it has not.
        """
        known = replace(
            known,
            branch=event.branch or "",
            queue_base=event.base_branch or "",
            default_branch=self._repository.default_branch(),
        )
        head = self._repository.settled(lambda: self._repository.head(known.branch), lambda head: head is not None)
        if head is None:
            return known
        configuration, digest, base = self._repository.configuration_of_branch(known.queue_base)
        deleted: frozenset[str] = frozenset()
        if isinstance(configuration, Configuration):
            deleted = self._repository.deleted_folders(folders_of(configuration), base, head)
            configuration, _ = self._repository.with_projects(configuration, self._source, head, None)
        return replace(
            known, configuration=configuration, configuration_sha256=digest, sha=head, deleted_folders=deleted
        )

    def _of_comment(self, event: HostEvent, known: Facts) -> Facts:
        comment = self._comment(event)
        known = replace(known, comment=comment)
        if comment is None or comment.is_ours or comment.edited or not comment.may_write:
            # The commands of such a comment are not run, so the other facts are not needed.
            return known
        return self._of_pull_request(event, replace(known, actor=comment.author))

    def _of_closed(self, event: HostEvent, known: Facts) -> Facts:
        pull = self._repository.pull_request(event, known.ledger)
        configuration, digest, _ = self._repository.configuration_of_branch(pull.base_branch)
        known = replace(known, pull=pull, configuration=configuration, configuration_sha256=digest)
        if pull.is_merged and isinstance(configuration, ConfigurationProblems):
            return replace(known, default_branch=self._repository.default_branch())
        if not pull.is_merged or not is_applied_after(configuration):
            return known
        return self._merges.merged(event, known, pull)

    def _comment(self, event: HostEvent) -> CommentFacts | None:
        """Return a comment as it is now."""
        comment = self._repository.comment(event)
        if comment is None:
            return None
        comment = replace(comment, body=comment.body[:MAX_COMMENT_CHARS])
        me = self._host.me()
        is_ours = is_marked(comment.body) if me is None else comment.author.id == me.id
        permission = Permission.NONE if is_ours else self._host.permission(comment.author)
        return CommentFacts(
            id=comment.id,
            author=comment.author,
            found=find_commands(comment.body),
            edited=_was_edited(comment, event),
            is_ours=is_ours,
            may_write=self._source.may_write(comment.author, permission),
            permission_is_unknown=permission is Permission.UNKNOWN,
            by_trusted_account=self._source.trusts(comment.author),
            created_at=comment.created_at,
            commit=event.sha or event.head,
        )

    def _of_pull_request(self, event: HostEvent, known: Facts) -> Facts:
        comment = known.comment
        words = {command.name for command in comment.found.commands} if comment is not None else None
        pull = self._repository.pull_request(event, known.ledger)
        if pull.is_merged and words is not None and words - _START_NOTHING:
            configuration, digest, _ = self._repository.configuration_of_branch(pull.base_branch)
            if is_applied_after(configuration):
                known = replace(known, pull=pull, configuration=configuration, configuration_sha256=digest)
                return self._merges.merged(event, self._with_gates(known), pull)
        answers = (
            [command for command in comment.found.commands if command.answers_order] if comment is not None else []
        )
        if words is not None and comment is not None:
            words = {command.name for command in comment.found.commands if not command.answers_order}
        starts = pull.is_open if words is None else bool(words - _START_NOTHING)
        listed = self._host.changed_files(pull.number) if starts else None
        changed, head_problems = self._repository.changes(pull, listed) if listed is not None else (None, None)
        # The notice of the pull request's own event has these problems, so a command's notice does not repeat them.
        reported = head_problems if comment is None else None
        configuration, digest, base = self._repository.configuration_of_branch(pull.base_branch)
        source = self._repository.source_of(pull)
        deleted: frozenset[str] = frozenset()
        if listed is not None and isinstance(configuration, Configuration):
            if configuration.projects:
                configuration, deleted = self._repository.with_projects(configuration, source, pull.head_sha, listed)
            elif source.head_repository is None:
                deleted = self._repository.emptied_folders(configuration, listed, pull.head_sha)
        is_merged = starts and isinstance(configuration, Configuration) and uses_merge(configuration)
        permission = self._host.permission(pull.author) if starts and not pull.is_fork else Permission.NONE
        seen_at = head_seen_at(event, pull, known.ledger, known.received_at, self._now)
        known = replace(
            known,
            source=source,
            deleted_folders=deleted,
            configuration=configuration,
            configuration_sha256=digest,
            default_branch=self._host.default_branch() if starts else "",
            pull=pull,
            actor=pull.author if known.replan is not None else known.actor,
            author_may_write=self._source.may_write(pull.author, permission),
            author_is_unknown=permission is Permission.UNKNOWN,
            head_problems=reported,
            changed=changed,
            reruns=self._runs.reruns(known.ledger, pull, digest) if words is not None and RERUN_FAILED in words else (),
            plans=self._wanted_plans(configuration, words, pull, known) if starts else KnownPlans(),
            groups=self._runs.groups_of(known) if words is not None and UNLOCK in words else (),
            base_sha=base if is_merged else "",
            merge_state=self._merge_state(pull, base) if is_merged else None,
            gates=self._runs.gates(known, comment.author, answers) if comment is not None and answers else (),
            head_seen_at=seen_at,
            head_pushed_at=head_pushed_at(event, pull, known.ledger, seen_at),
            pusher=pusher(event, known.ledger),
        )
        return self._with_reviews(known, words, base) if starts else known

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
        collector = ReviewCollector(self._host, facts.source, waits=bool(required))
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
        if not isinstance(self._host, ReviewedHost):
            return replace(facts, merge_base_unknown="this stack's provider for the code host cannot ask for it")
        ancestor = self._host.reviews().merge_base(base, facts.commit)
        records = (record for record in facts.plans.records.values() if record.commit == facts.commit)
        planned = dict.fromkeys([ancestor, *(record.merge_into for record in records)])
        wanted = [commit for commit in planned if commit is not None and commit != base][:_MOST_BASES]
        changes: dict[str, frozenset[str]] = {base: frozenset()}
        unknown = ""
        try:
            if compares and wanted:
                newest = self._repository.paths(base)
                changes |= {commit: differences(self._repository.paths(commit), newest) for commit in wanted}
        except PreparationFailed as error:
            unknown = f"the commits cannot be compared: {error.message}"
        return replace(facts, merge_base=ancestor, base_changes=changes, merge_base_unknown=unknown)

    def _with_gates(self, known: Facts) -> Facts:
        """Return the facts with the orders that the commands of the comment answer, and the groups that they show."""
        comment = known.comment
        if comment is None:
            return known
        answers = [command for command in comment.found.commands if command.answers_order]
        words = {command.name for command in comment.found.commands}
        return replace(
            known,
            gates=self._runs.gates(known, comment.author, answers) if answers else (),
            groups=self._runs.groups_of(known) if UNLOCK in words else (),
        )

    def _wanted_plans(
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
            projects = self._plans.states([keys.project_state(replan.project)])
            return KnownPlans(self._plans.records([replan.plan]), projects)
        if not isinstance(configuration, Configuration) or words is None:
            return KnownPlans()
        jobs = {name for word in words - _START_NOTHING for name in jobs_for_command(configuration, word).jobs}
        runs = [run for run in known.ledger.runs if run.job in jobs and run.sha == pull.head_sha]
        return self._runs.plans_of(configuration, jobs, pull, known, runs)

    def _merge_state(self, pull: PullRequest, base: str) -> MergeState:
        if not hasattr(self._host, "merge_state"):
            # A provider of another package, made for a version before: the merge is made by git.
            return MergeState()
        return self._host.merge_state(pull.number, base, pull.head_sha)


def _was_edited(comment: Comment, event: HostEvent) -> bool:
    """Return whether a comment's text, as much of it as events have, is not the one that its event had.

    All hosts move the time of its update for other reasons too: GitHub by a second now and then
    (palantir/policy-bot#459), Bitbucket by milliseconds, and GitLab for each reaction, the engine's own included
    (GitLab's ``AwardEmoji#expire_cache``), and for a thread that is resolved. On GitHub, whose times are whole seconds,
    everybody who may write can edit a comment of another person without a trace in them: then its commands tell it.
    GitLab writes the addresses of images otherwise in events, so the texts alone do not tell it.
    """
    if event.comment is None:
        return comment.edited
    if comment.body == event.comment:
        return False
    return comment.edited or find_commands(comment.body).commands != find_commands(event.comment).commands
