"""Decides what an event starts: pure. Equal facts give an equal list of frozen decisions.

The base branch's configuration decides what runs, with which secrets and roles. The pull request only gives the code,
and only if its author may write to the repository, is a bot that the operator trusts, or a person who may write has
approved that commit for that base branch and configuration.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConfigurationProblems, InputProblems
from iac_ci_common.purpose import SUPERSEDED
from iac_ci_triggers.after_merge import command_after_merge, decide_after_merge
from iac_ci_triggers.apply_requirements import ticks
from iac_ci_triggers.commands import (
    APPROVE,
    CANCEL,
    DESTROY,
    FORCE,
    HELP,
    PREFIX,
    REJECT,
    RERUN_FAILED,
    RUNNING,
    UNLOCK,
)
from iac_ci_triggers.commit_statuses import (
    APPROVAL,
    NOTHING_TO_PLAN,
    approval_status,
    configuration_status,
    job_status,
    unneeded_status,
)
from iac_ci_triggers.configuration import (
    FILE_NAME,
    applied_states,
    commands,
    due_minutes,
    jobs_before_merge,
    jobs_for_command,
    jobs_for_pull_request,
    jobs_for_push,
    order_names,
    orders_beside_plans,
    planned_by,
    reads_after_merge,
    scheduled_jobs,
)
from iac_ci_triggers.decisions import (
    Answer,
    Approve,
    Cancel,
    Decision,
    LeaveOut,
    Mark,
    Nothing,
    Pass,
    Refresh,
    Remember,
    Say,
    SeeHead,
    Settle,
    Start,
)
from iac_ci_triggers.destroy_plans import destroy_job
from iac_ci_triggers.gates import WrittenCommand, answer_to
from iac_ci_triggers.jobs import again, configured
from iac_ci_triggers.known_plans import Applier
from iac_ci_triggers.ledger import MAX_COMMANDS
from iac_ci_triggers.notice import Paragraph, Subject
from iac_ci_triggers.replans import planned_again
from iac_ci_triggers.saved_plans import with_saved_plans
from iac_ci_triggers.starts import (
    mark_approval,
    mark_done,
    mark_job,
    plans_left_out,
    pull_of,
    say,
    scope_of,
    start_of,
    to_be_merged,
    with_merge,
)
from iac_ci_triggers.unlock import unlock
from iac_ci_vcs.provider import CommitState
from iac_ci_vcs.reporting.folded_status import COULD_NOT_START, WAITING_FOR_APPROVAL, WAITS

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from iac_ci_common.models.job import Job
    from iac_ci_triggers.commands import Command
    from iac_ci_triggers.configuration import Configuration
    from iac_ci_triggers.facts import CommentFacts, Facts, PlannedStart, Rerun
    from iac_ci_triggers.ledger import KnownSchedule
    from iac_ci_triggers.saved_plans import Chosen
    from iac_ci_vcs.provider import PullRequest

BY_SCHEDULE: Final = "schedule:"
"""Beginning of the intent of a schedule's planned minute: its job starts once for it."""

BY_EVENT: Final = "event"
"""Intent of a start without a command: a job starts once per commit, base branch and configuration."""

COMMENT_LIFE: Final = timedelta(hours=1)
"""Age from which a comment's commands are not run: its event arrived late, or was sent again. Clocks of the host and of
the engine may differ by as much."""

_LOGIN_CHARS: Final = 120

_ALL_DELETED: Final = "the pull request deletes the folders of its orders"

_AFTER_MERGE: Final = "what it changes is applied after the merge"

_LATE: Final = "the engine did not process them in time"

_HELP: Final = (
    f"{PREFIX} {CANCEL}: cancels the queued orders of this pull request's runs; running orders finish",
    f"{PREFIX} {CANCEL} {RUNNING}: also stops its running orders, except applies: iac-ci cancel RUN ORDER --running",
    f"{PREFIX} {RERUN_FAILED}: runs the orders again that did not succeed when they last ran at this commit",
    f"{PREFIX} {UNLOCK}: checks this pull request's runs again, and shows who holds their concurrency groups",
    f"{PREFIX} {UNLOCK} RUN/ORDER [{FORCE}]: for named people: asks the order that holds one to stop, or frees it",
    f"{PREFIX} {APPROVE} <order> [run], {PREFIX} {REJECT} <order> [run]: answers an order that waits for an approval",
    f"{PREFIX} {APPROVE} <full commit> [base branch]: lets this one commit of a person without write permission run",
    f"{PREFIX} <command> <project> {DESTROY}, of a command that plans: plans to destroy all that one project has",
    f"{PREFIX} {HELP}: shows this list",
)


def decide_push(facts: Facts) -> list[Decision]:
    """Return the decisions about a push to a branch."""
    configuration = facts.configuration
    if not facts.sha:
        return [Nothing("the branch does not exist any more")]
    if not facts.uses(facts.branch):
        return [Nothing(_unused_branch(facts.branch))]
    if configuration is None:
        return [Nothing(f"{FILE_NAME} does not exist at {facts.sha}")]
    if isinstance(configuration, ConfigurationProblems):
        return _configuration_status(facts)
    chosen = jobs_for_push(configuration, facts.branch, facts.changed)
    found: list[Decision] = []
    for name in chosen.jobs:
        found += _start(facts, configuration, name, BY_EVENT)
    return found or [Nothing("a push to this branch starts no job")]


def decide_schedule(facts: Facts) -> list[Decision]:
    """Return the decisions about a planned minute of a schedule: the newest one that has come.

    A minute is decided once. Earlier ones that no tick has brought are left out, and so is this one while the
    schedule's last run is open.
    """
    planned, connection = facts.planned, facts.source.connection
    if planned is None or connection is None or connection.schedule_branch != facts.branch:
        return [Nothing("the connection does not name this branch for schedules")]
    known = facts.ledger.schedule(planned.job)
    if known is None:
        return [Nothing(f"{planned.job} has no schedule any more")]
    intent = f"{BY_SCHEDULE}{planned.minute:%Y-%m-%dT%H:%MZ}"
    if any(run.job == planned.job and run.intent == intent for run in facts.ledger.runs):
        # The event is processed again, and what it began may have been interrupted.
        return _start_planned(facts, planned, intent)
    minutes: tuple[datetime, ...] = ()
    if planned.minute > known.decided:
        minutes = due_minutes(known.cron, known.timezone, known.decided, planned.minute)
    if minutes[-1:] != (planned.minute,):
        return [Nothing("this planned minute was decided before, or is not planned any more")]
    if _has_changed(facts, planned.job, known):
        return [Nothing("the schedule has changed")]
    return [Pass(planned.job, planned.minute), *_newest_minute(facts, planned, minutes, intent)]


def _newest_minute(facts: Facts, planned: PlannedStart, minutes: tuple[datetime, ...], intent: str) -> list[Decision]:
    """Return the decisions about the minutes that have come since the last decision: the newest starts."""
    if planned.open_run is not None:
        reason = f"its run {planned.open_run} is still open"
        return [LeaveOut(planned.job, minutes, reason, facts.trigger_id, planned.open_run)]
    problem = _schedule_problem(facts, planned.job)
    if problem is not None:
        left_out = LeaveOut(planned.job, minutes, problem, facts.trigger_id)
        status = job_status(facts.commit, planned.job, CommitState.FAILURE, f"could not start: {problem}")
        return [left_out, Mark(status)] if facts.sha else [left_out]
    earlier = minutes[:-1]
    late = [LeaveOut(planned.job, earlier, _LATE, facts.trigger_id)] if earlier else []
    return [*late, *_start_planned(facts, planned, intent)]


def _has_changed(facts: Facts, job: str, known: KnownSchedule) -> bool:
    """Return whether the branch's configuration has no such schedule any more; the next tick reads it."""
    if facts.configuration is None or isinstance(facts.configuration, ConfigurationProblems):
        return False
    wanted = scheduled_jobs(facts.configuration).get(job)
    return wanted is None or not known.is_same(wanted.cron, wanted.timezone)


def _schedule_problem(facts: Facts, job: str) -> str | None:
    """Return why the branch's configuration starts nothing for a schedule, None if it does."""
    configuration, connection = facts.configuration, facts.source.connection
    if not facts.sha:
        return f"the branch {facts.branch[:80]} does not exist"
    if configuration is None:
        return f"{FILE_NAME} does not exist at {facts.sha[:12]}"
    if isinstance(configuration, ConfigurationProblems):
        return f"{FILE_NAME} is not valid at {facts.sha[:12]}"
    others = orders_beside_plans(configuration, job)
    if others and not (connection is not None and connection.schedules_may_apply):
        return f"{others[0]} is no plan, and the stack's connection lets schedules only plan (schedules_may_apply)"
    return None


def _start_planned(facts: Facts, planned: PlannedStart, intent: str) -> list[Decision]:
    configuration = facts.configuration
    if configuration is None or isinstance(configuration, ConfigurationProblems):
        return []
    if planned.job not in configuration.jobs:
        return []
    # No account of a code host has a colon in its name.
    actor = f"schedule:{planned.job}"
    return [
        replace(one, actor=actor, planned_for=planned.minute) if isinstance(one, Start) else one
        for one in _start(facts, configuration, planned.job, intent)
    ]


def decide_merge_group(facts: Facts) -> list[Decision]:
    """Return the decisions about a commit of a merge queue: the jobs of pull requests run at it.

    Only people who may write can add a pull request to a queue. The queue waits for a status until its own time-out, so
    a job that a comment starts before the merge gets its status here too.
    """
    configuration = facts.configuration
    if not facts.sha:
        return [Nothing("the merge group does not exist any more")]
    if not facts.uses(facts.queue_base):
        return [Nothing(_unused_branch(facts.queue_base))]
    if configuration is None:
        return [Nothing(f"{FILE_NAME} does not exist on {facts.queue_base}")]
    found = _configuration_status(facts)
    if isinstance(configuration, ConfigurationProblems):
        return found
    chosen, needed = (
        jobs_for_pull_request(configuration, facts.queue_base, None),
        jobs_before_merge(configuration, None),
    )
    found += [_nothing_to_plan(facts, job.name, job.reason) for job in chosen.untouched]
    for name in chosen.jobs:
        found += _start(facts, configuration, name, BY_EVENT)
    for name in (*needed.jobs, *(job.name for job in needed.untouched)):
        text = f"the pull requests of this merge group needed {name} before they were queued"
        found.append(Mark(job_status(facts.commit, name, CommitState.SUCCESS, text)))
    return found


def decide_pull_request(facts: Facts) -> list[Decision]:
    """Return the decisions about a pull request that was opened or has changed."""
    pull = pull_of(facts)
    if not pull.is_open:
        return [Nothing("the pull request is closed")]
    if not facts.uses(pull.base_branch):
        # Its head and who pushes it count when it gets another base branch, and nothing of the last one goes on.
        gone = [*_superseded(facts), *_settled(facts, [])]
        return [*_seen(facts), *gone, Nothing(_unused_branch(pull.base_branch))]
    found: list[Decision] = _superseded(facts)
    found += _configuration_status(facts)
    found += _changed_configuration(facts)
    found += _for_this_commit(facts)
    found += _settled(facts, found)
    return [*_seen(facts), *(found or [Nothing("this pull request starts no job")])]


def _seen(facts: Facts) -> list[Decision]:
    """Return the decision to record the newest commit, from which on approvals count."""
    pull = facts.pull
    if pull is None or facts.head_seen_at is None or not pull.is_open or not pull.head_sha:
        return []
    return [SeeHead(pull.head_sha, facts.head_seen_at, facts.pusher, facts.head_pushed_at)]


def decide_closed(facts: Facts) -> list[Decision]:
    """Return the decisions about a pull request that was merged or declined.

    Nothing of a declined one begins any more: an apply that waits would begin without anybody who looks. Another open
    one may have the same head commit, and a status of a commit speaks for the open ones.
    """
    pull = pull_of(facts)
    if pull.is_open:
        return [Nothing("the pull request is open again")]
    configuration = facts.configuration
    names = [run.job for run in facts.ledger.runs if run.sha == pull.head_sha]
    if configuration is not None and not isinstance(configuration, ConfigurationProblems):
        names += configuration.jobs
    # What a merged one has not applied may be applied yet.
    state = CommitState.PENDING if pull.is_merged else CommitState.ERROR
    statuses = [job_status(pull.head_sha, name, state, "the pull request was closed") for name in dict.fromkeys(names)]
    text = f"the pull request was {'merged' if pull.is_merged else 'closed'} without an approval"
    statuses.append(approval_status(pull.head_sha, CommitState.ERROR, text))
    is_wanted = Subject.APPROVAL.value in facts.ledger.notices
    withdrawn = [Settle(Paragraph("The pull request is closed, so no approval is wanted."), Subject.APPROVAL)]
    ended = [] if pull.is_merged else _ended(facts)
    return [*ended, Refresh(tuple(statuses)), *(withdrawn if is_wanted else []), *decide_after_merge(facts)]


def _ended(facts: Facts) -> list[Decision]:
    runs = tuple(run.run_id for run in facts.ledger.runs if run.cancel_reason is None)
    return [Cancel(runs, f"{SUPERSEDED} the end of the pull request")] if runs else []


def _settled(facts: Facts, found: list[Decision]) -> list[Decision]:
    """Return the decisions to replace the standing notices whose cause is gone, and the statuses that tell the same."""
    standing = {decision.subject for decision in found if isinstance(decision, Say)}
    gone = [subject for subject in Subject if subject.value in facts.ledger.notices and subject not in standing]
    text = f"Nothing of this holds at {facts.commit[:12]} any more."
    settled: list[Decision] = [Settle(Paragraph(text), subject) for subject in gone]
    if facts.ledger.head_sha != facts.commit:
        return settled
    marked = {decision.status.context for decision in found if isinstance(decision, Mark)}
    statuses = (unneeded_status(facts.commit, subject) for subject in gone)
    unneeded = [one for one in statuses if one is not None and one.context not in marked]
    return settled + [mark_approval(facts, one) if one.context == APPROVAL else Mark(one) for one in unneeded]


def _superseded(facts: Facts) -> list[Decision]:
    """Cancel runs for another commit or base branch, and runs of events for another configuration.

    A run that a command started is not cancelled because the base branch's configuration changed meanwhile.
    """
    pull = pull_of(facts)
    by_reason: dict[str, list[str]] = {}
    for run in facts.ledger.runs:
        if run.cancel_reason is not None:
            continue
        if run.sha != pull.head_sha:
            by_reason.setdefault(f"{SUPERSEDED} commit {pull.head_sha[:12]}", []).append(run.run_id)
        elif run.base not in {None, pull.base_branch}:
            by_reason.setdefault(f"{SUPERSEDED} the base branch {pull.base_branch}", []).append(run.run_id)
        elif run.intent == BY_EVENT and run.configuration not in {None, facts.configuration_sha256}:
            by_reason.setdefault(f"{SUPERSEDED} a changed {FILE_NAME}", []).append(run.run_id)
    return [Cancel(tuple(run_ids), reason) for reason, run_ids in by_reason.items()]


def decide_comment(facts: Facts) -> list[Decision]:
    """Return the decisions about the commands of a comment, in their order."""
    comment = facts.comment
    if comment is None:
        return [Nothing("the comment was deleted")]
    if comment.is_ours:
        return [Nothing("the engine wrote the comment")]
    if not comment.found.commands and not comment.found.problems:
        return [Nothing("the comment has no command")]
    refusal = _refusal(facts, comment)
    if refusal is not None:
        return [say(refusal)]
    found: list[Decision] = _seen(facts)
    if comment.found.problems:
        found.append(say("These lines are not commands:", *comment.found.problems))
    for index, command in enumerate(comment.found.commands):
        made = _once(facts, comment, command, f"comment:{comment.id}:{index}")
        facts = _after_command(facts, made)
        found += made
    # What is said about a comment is an answer, which replaces no standing notice.
    return [replace(decision, subject=None) if isinstance(decision, Say) else decision for decision in found]


def _after_command(facts: Facts, made: list[Decision]) -> Facts:
    """Return the facts for the next command of a comment.

    It applies no plan that one before it applies, and it runs the commit that one before it has approved.
    """
    plans = facts.plans
    for one in made:
        if isinstance(one, Start):
            applied = [project.saved.planned.sha256 for project in one.projects.values() if project.saved is not None]
            plans = plans.with_appliers(applied, Applier(one.intent, "another command of this comment"))
        elif isinstance(one, Approve):
            facts = facts.approved_by(one.by)
    return replace(facts, plans=plans)


def _refusal(facts: Facts, comment: CommentFacts) -> str | None:
    """Return why no command of a comment is run, None if they may be."""
    by = comment.author.login
    if comment.by_trusted_account:
        return f"{by} is one of the stack's trusted accounts, which may not use commands."
    if not comment.may_write and comment.permission_is_unknown:
        return (
            f"The code host does not tell this stack's token whether {by} may write to this repository, so the commands"
            f" of the comment were not run. The operator can name the account {comment.author.id} in the connection's"
            " writers, or store a token that may ask for permissions."
        )
    if not comment.may_write:
        return f"{by} may not write to this repository, so the commands of the comment were not run."
    if comment.edited:
        return f"{by}'s comment was edited, so its commands were not run. Write a new comment."
    if facts.received_at - comment.created_at > COMMENT_LIFE:
        return (
            f"{by}'s comment was more than an hour old when it arrived, so its commands were not run. Write a new"
            " comment."
        )
    if comment.created_at - facts.received_at > COMMENT_LIFE:
        # GitLab lets the owner of a project choose the time (Notes API). Such a comment would stay new for longer
        # than its commands are remembered.
        return f"{by}'s comment has a time in the future, so its commands were not run. Write a new comment."
    if comment.commit is not None and not pull_of(facts).head_sha.startswith(comment.commit):
        return f"{by}'s comment is about {comment.commit}, which is not the newest commit. Write a new comment."
    return None


def _once(facts: Facts, comment: CommentFacts, command: Command, intent: str) -> list[Decision]:
    """Return the decisions about a command, none if another event brought it before.

    Lambda may repeat the same event; then its effects, which may have been interrupted, are repeated.
    """
    if facts.ledger.was_processed(intent, by_another_than=facts.trigger_id):
        return [Nothing("the command was processed before")]
    day = timedelta(days=1)
    recent = [known for known in facts.ledger.commands if facts.received_at - known.at < day and known.intent != intent]
    if len(recent) >= MAX_COMMANDS:
        return [say(f"{PREFIX} {command.name} was not run: a pull request has at most {MAX_COMMANDS} commands a day.")]
    return [Remember(intent, facts.trigger_id), *_run_command(facts, comment, command, intent)]


def _run_command(facts: Facts, comment: CommentFacts, command: Command, intent: str) -> list[Decision]:
    if command.name == HELP:
        return [_help(facts)]
    if command.name == CANCEL:
        return _cancel(facts, comment, running=command.target == RUNNING)
    if command.name == UNLOCK:
        return unlock(facts, comment, command)
    # What started after a merge may wait for an answer.
    is_merged = facts.merge is not None or (command.answers_order and pull_of(facts).is_merged)
    if not pull_of(facts).is_open and not is_merged:
        return [say(f"{PREFIX} {command.name} starts nothing: the pull request is closed.")]
    if command.answers_order:
        return [_answer(facts, comment, command, intent)]
    return _start_command(facts, comment, command, intent)


def _start_command(facts: Facts, comment: CommentFacts, command: Command, intent: str) -> list[Decision]:
    """Return the decisions about a command that lets something start, or starts it."""
    if not facts.uses(pull_of(facts).base_branch):
        return [say(f"{PREFIX} {command.name} starts nothing: {_unused_branch(pull_of(facts).base_branch)}.")]
    if facts.merge is not None:
        return command_after_merge(facts, facts.merge, command, intent)
    if command.name == APPROVE:
        return _approve(facts, comment, command)
    if not facts.trusted:
        return _ask_for_approval(facts)
    if command.name == RERUN_FAILED:
        return _rerun(facts, intent)
    return _run(facts, command, intent)


def _run(facts: Facts, command: Command, intent: str) -> list[Decision]:
    configuration = facts.configuration
    pull = pull_of(facts)
    if configuration is None:
        return [say(f"Nothing was started: the branch {pull.base_branch} has no {FILE_NAME}.")]
    if isinstance(configuration, ConfigurationProblems):
        return [_unreadable(pull, configuration)]
    chosen = jobs_for_command(configuration, command.name)
    if not chosen.jobs:
        return [say(f"{PREFIX} {command.name} starts no job. Commands that do:", *_words(configuration))]
    found: list[Decision] = []
    for name in chosen.jobs:
        if _may_be_about_another(facts) and orders_beside_plans(configuration, name):
            text = f"the comment was written before {pull.head_sha} was known to be the newest commit"
            found.append(say(f"Nothing of the job {name} runs: {text}. Write a new comment."))
            continue
        found += _start(
            facts,
            configuration,
            name,
            intent,
            command=command.name,
            target=command.target,
            destroys=command.destroys,
        )
    return found


def _may_be_about_another(facts: Facts) -> bool:
    """Return whether a comment that names no commit may have been written when another commit was the head."""
    comment, pushed_at = facts.comment, facts.head_pushed_at
    return comment is not None and comment.commit is None and pushed_at is not None and comment.created_at < pushed_at


def _start(
    facts: Facts,
    configuration: Configuration,
    name: str,
    intent: str,
    *,
    command: str = "",
    target: str | None = None,
    destroys: bool = False,
) -> list[Decision]:
    try:
        job, expansion = configured(facts, configuration, name, command=command, target=target)
    except InputProblems as error:
        answer = Say(Paragraph(f"The job {name} could not start:", problems=error.problems), Subject.JOBS)
        if command:
            return [answer]
        status = job_status(facts.commit, name, CommitState.FAILURE, f"could not start: {error.message}")
        return [answer, mark_job(facts, status, COULD_NOT_START)]
    if job is None:
        if not command:
            skipped = [f"{order.name} {order.reason}" for order in expansion.left_out if order.is_skipped]
            notice = Say(Paragraph(f"The job {name} has no order to run:", tuple(skipped)), Subject.JOBS)
            return [notice, _nothing_to_plan(facts, name, _ALL_DELETED)]
        left_out = [f"{order.name} {order.reason}" for order in expansion.left_out]
        return [say(f"The job {name} has no order to run:", *left_out)]
    if destroys:
        made = destroy_job(configuration, name, job)
        if isinstance(made, str):
            return [say(f"Nothing of the job {name} runs: {made}.")]
        job = made
    chosen = with_saved_plans(facts, configuration, name, job, intent, is_named=target is not None)
    answers = [*plans_left_out(name, chosen), *mark_done(facts, name, chosen)]
    if chosen.job is None:
        return answers
    scope = None
    if facts.pull is not None and facts.base_branch:
        whole = target is None and not answers
        scope = with_merge(facts, chosen.job, scope_of(facts, facts.base_branch, whole=whole, target=target))
        scope = to_be_merged(facts, name, chosen.job, scope)
        shown = ticks(facts, configuration, name, [order.order_name or "" for order in chosen.job.orders])
        because = f"a plan to destroy, asked for by {facts.actor.login[:_LOGIN_CHARS]}" if destroys else None
        scope = scope.model_copy(update={"requirements": shown, "because": because})
    start = start_of(facts, name, intent, chosen.job, scope, expansion, chosen.projects)
    skipped = [f"{order.name} {order.reason}" for order in expansion.left_out if order.is_skipped]
    text = Paragraph(f"The job {name} runs without some of its orders:", tuple(skipped))
    return [*answers, Say(text, Subject.JOBS), start] if skipped else [*answers, start]


def decide_replan(facts: Facts) -> list[Decision]:
    """Return the decisions about a plan that an apply has made stale: the one that makes it again, or none.

    The comment that the plan is stale stays until there is a new one, and names the way to make it by hand.
    """
    pull, configuration = pull_of(facts), facts.configuration
    if facts.replan is None or not pull.is_open:
        return [Nothing("the pull request is closed")]
    if not facts.uses(pull.base_branch):
        return [Nothing(_unused_branch(pull.base_branch))]
    if configuration is None or isinstance(configuration, ConfigurationProblems):
        return [Nothing(f"{FILE_NAME} on {pull.base_branch} is missing or has problems")]
    if not facts.trusted:
        return [Nothing("the pull request's commit needs an approval")]
    again = planned_again(facts, configuration, pull, facts.replan)
    if isinstance(again, str):
        return [Nothing(again)]
    try:
        job, expansion = configured(facts, configuration, again.job, target=again.target)
    except InputProblems as error:
        return [Nothing(f"{again.target} cannot be planned again: {error.message}")]
    if job is None:
        return [Nothing(f"{again.target} has no order to run")]
    projects = with_saved_plans(facts, configuration, again.job, job).projects
    scope = with_merge(facts, job, scope_of(facts, pull.base_branch, whole=False, target=again.target))
    scope = to_be_merged(facts, again.job, job, scope.model_copy(update={"because": again.because}))
    return [start_of(facts, again.job, again.intent, job, scope, expansion, projects)]


def _for_this_commit(facts: Facts) -> list[Decision]:
    """Return the decisions about the pull request's current commit, without a command."""
    pull, configuration = pull_of(facts), facts.configuration
    if configuration is None:
        return _left(facts, ())
    if isinstance(configuration, ConfigurationProblems):
        return [_unreadable(pull, configuration)]
    chosen = jobs_for_pull_request(
        configuration, pull.base_branch, facts.changed, is_draft=pull.is_draft, labels=pull.labels
    )
    found = [_waiting_draft(facts, name) for name in chosen.drafts]
    found += [_nothing_to_plan(facts, job.name, job.reason) for job in chosen.untouched]
    found += _before_merge(facts, configuration)
    found += _left(facts, (*chosen.jobs, *chosen.drafts, *(job.name for job in chosen.untouched)))
    if not facts.trusted:
        return [*found, *_ask_for_approval(facts), _waiting_for_approval(facts)] if chosen.jobs else found
    for name in chosen.jobs:
        found += _start(facts, configuration, name, BY_EVENT)
    return found


def _nothing_to_plan(facts: Facts, job: str, reason: str) -> Decision:
    """Set the job's status, which may be a required check, to success: nothing of the pull request is the job's."""
    text = f"{NOTHING_TO_PLAN}: {reason}"
    status = job_status(facts.commit, job, CommitState.SUCCESS, text)
    return mark_job(facts, status, {}, whole=_has_no_run(facts, job))


def _has_no_run(facts: Facts, job: str) -> bool:
    """Return whether the present configuration has not run a job on this commit: what ran before says nothing then."""
    base = facts.base_branch or None
    return not any(
        run.job == job and run.is_for(facts.commit, base, facts.configuration_sha256) for run in facts.ledger.runs
    )


def _left(facts: Facts, jobs: Collection[str]) -> list[Decision]:
    """Return the statuses of jobs that an event has run on this commit, and that the base branch has no more.

    What ran for another base branch stays: a pull request could lose a failure by a visit to that branch.
    """
    base = facts.base_branch
    ran = [run for run in facts.ledger.runs if run.sha == facts.commit and run.base == base and run.intent == BY_EVENT]
    text = f"no pull request into {base} runs it any more"
    return [
        mark_job(facts, job_status(facts.commit, name, CommitState.SUCCESS, text), {}, whole=True)
        for name in dict.fromkeys(run.job for run in ran)
        if name not in jobs and _has_no_run(facts, name)
    ]


def _waiting_draft(facts: Facts, job: str) -> Decision:
    text = f"{job} starts when the draft is ready for review"
    status = job_status(facts.commit, job, CommitState.PENDING, text)
    has_no_run = _has_no_run(facts, job)
    return mark_job(facts, status, WAITS if has_no_run else {}, whole=has_no_run)


def _before_merge(facts: Facts, configuration: Configuration) -> list[Decision]:
    """Let the statuses of jobs that comments start before the merge wait for their orders."""
    needed = jobs_before_merge(configuration, facts.changed)
    found: list[Decision] = []
    reasons = {job.name: job.reason for job in needed.untouched} | dict.fromkeys(needed.jobs, _ALL_DELETED)
    for name, reason in reasons.items():
        orders = order_names(configuration, name, facts.changed, facts.deleted_folders)
        state, text = CommitState.PENDING, f"{len(orders)} of {len(orders)} orders to {name}"
        if not orders:
            why = reason if name not in needed.jobs or not reads_after_merge(configuration, name) else _AFTER_MERGE
            state, text = CommitState.SUCCESS, f"nothing to {name}: {why}"
        plans = {order: planner for order, planner in planned_by(configuration, name).items() if order in orders}
        found.append(mark_job(facts, job_status(facts.commit, name, state, text), {}, orders, plans))
    return found


def _answer(facts: Facts, comment: CommentFacts, command: Command, intent: str) -> Decision:
    written = WrittenCommand(command, comment.author, comment.created_at, intent)
    found = answer_to(facts.gates, pull_of(facts), written, facts.received_at)
    return say(found) if isinstance(found, str) else Answer(found.order, found.answer)


def _approve(facts: Facts, comment: CommentFacts, command: Command) -> list[Decision]:
    pull = pull_of(facts)
    if command.sha != pull.head_sha:
        return [say(f"{command.sha} was not approved: the newest commit is {pull.head_sha}. Review that one.")]
    base = pull.base_branch
    if command.branch != base and (command.branch is not None or base != facts.default_branch):
        return [
            Say(
                Paragraph(
                    f"{command.sha} was not approved: the base branch is {base}"
                    + (f", not {command.branch}. " if command.branch is not None else ", not the default branch. ")
                    + "If the commit may run there, approve it with the comment",
                    command=_approval(facts),
                )
            )
        ]
    by = comment.author.login
    approved = facts.approved_by(by)
    # No answer but a new fact about the commit: the status that waits for the approval would wait forever.
    status = approval_status(pull.head_sha, CommitState.SUCCESS, f"approved by {by}")
    return [
        Approve(pull.head_sha, base, facts.configuration_sha256, by),
        mark_approval(facts, status),
        Settle(Paragraph(f"{by} approved {pull.head_sha} for the branch {base}."), Subject.APPROVAL),
        say(
            f"{by} approved {pull.head_sha} for the branch {base}. It may run. A newer commit, another base branch or a"
            f" changed {FILE_NAME} on it needs a new approval."
        ),
        *_for_this_commit(approved),
    ]


def _approval(facts: Facts) -> str:
    """Return the comment that approves the commit; it names the base branch unless that is the default branch."""
    pull = pull_of(facts)
    command = f"{PREFIX} {APPROVE} {pull.head_sha}"
    return command if pull.base_branch == facts.default_branch else f"{command} {pull.base_branch}"


def _ask_for_approval(facts: Facts) -> list[Decision]:
    pull = pull_of(facts)
    origin = "comes from a fork" if pull.is_fork else f"is by {pull.author.login}, {_why_untrusted(facts)}"
    return [
        Say(
            Paragraph(
                f"Nothing runs and no secret is read, because this pull request {origin}. A person who may write to the"
                f" repository can review the whole commit and let it run for the branch {pull.base_branch} with the"
                " comment",
                command=_approval(facts),
            ),
            Subject.APPROVAL,
        )
    ]


def _why_untrusted(facts: Facts) -> str:
    if facts.author_is_unknown:
        return "of whom the code host does not tell this stack's token whether they may write to this repository"
    return "who may not write to this repository"


def _waiting_for_approval(facts: Facts) -> Decision:
    return mark_approval(facts, approval_status(facts.commit, CommitState.PENDING, WAITING_FOR_APPROVAL))


def _configuration_status(facts: Facts) -> list[Decision]:
    status = configuration_status(facts)
    return [] if status is None else [Mark(status)]


def _changed_configuration(facts: Facts) -> list[Decision]:
    if facts.head_problems is None:
        return []
    text = f"This pull request changes {FILE_NAME}. The change takes effect after merge."
    if facts.head_problems:
        text += " The changed file has problems:"
    return [Say(Paragraph(text, facts.head_problems), Subject.CONFIGURATION)]


def _unreadable(pull: PullRequest, problems: ConfigurationProblems) -> Decision:
    text = f"Nothing was started: {FILE_NAME} on the branch {pull.base_branch} has problems."
    return Say(Paragraph(text, problems=problems.problems), Subject.CONFIGURATION)


def _cancel(facts: Facts, comment: CommentFacts, *, running: bool) -> list[Decision]:
    # Of a run that is cancelled, the running orders may still be stopped.
    runs = tuple(run.run_id for run in facts.ledger.runs if running or run.cancel_reason is None)
    if not runs:
        return [say("This pull request has no run to cancel.")]
    if running:
        # What had started is known when the request is made; the notice says it then.
        return [Cancel(runs, f"cancelled by {comment.author.login}", running=True)]
    text = "The queued orders of this pull request's runs are cancelled. Running orders finish."
    return [Cancel(runs, f"cancelled by {comment.author.login}"), say(text)]


def _rerun(facts: Facts, intent: str) -> list[Decision]:
    pull = pull_of(facts)
    found: list[Decision] = []
    for rerun in facts.reruns:
        if rerun.sha != pull.head_sha:
            found.append(say(f"Nothing was run again: {rerun.run_id} was for an older commit."))
        elif rerun.base not in {None, pull.base_branch}:
            found.append(say(f"Nothing was run again: {rerun.run_id} was for another base branch."))
        elif rerun.configuration not in {None, facts.configuration_sha256}:
            found.append(say(f"Nothing was run again: {FILE_NAME} has changed since {rerun.run_id}."))
        elif not rerun.has_ended:
            found.append(say(f"Nothing was run again: {rerun.run_id} has not ended yet."))
        elif not rerun.unsuccessful:
            found.append(say(f"Nothing was run again: all orders of {rerun.run_id} succeeded."))
        else:
            found += _run_again(facts, rerun, intent)
    return found or [say("This pull request has no run to run again. Runs can be repeated for a day after their end.")]


def _run_again(facts: Facts, rerun: Rerun, intent: str) -> list[Decision]:
    """Return the start of what a run of this commit and configuration left undone, or why there is none."""
    pull, run_id = pull_of(facts), rerun.run_id
    if (command := _applies_reviewed(facts, rerun)) is not None:
        text = f"Nothing of {run_id} was run again: a reviewed plan is applied once. {PREFIX} {command}"
        return [say(f"{text} applies what no run has begun to apply, and says what to plan again.")]
    try:
        job = again(facts, rerun)
        chosen = _chosen_again(facts, rerun, job)
    except InputProblems as error:
        return [Say(Paragraph(f"{run_id} could not be run again:", problems=error.problems))]
    if chosen is None:
        # What the job requires is not known.
        text = f"the job {rerun.job_name} cannot be read from {FILE_NAME} of {pull.base_branch} any more"
        return [say(f"Nothing of {run_id} was run again: {text}.")]
    if chosen.unmet:
        return plans_left_out(rerun.job_name, chosen)
    return [
        Start(
            rerun.job_name,
            pull.head_sha,
            intent,
            job,
            pull.base_branch,
            facts.configuration_sha256,
            facts.actor.login,
            to_be_merged(
                facts,
                rerun.job_name,
                job,
                with_merge(facts, job, scope_of(facts, pull.base_branch, whole=False)),
            ),
            projects=dict(chosen.projects),
            account=facts.actor.id or None,
        )
    ]


def _applies_reviewed(facts: Facts, rerun: Rerun) -> str | None:
    """Return the command of a run's job, if it applies reviewed plans, which only commands start; None for another."""
    configuration = facts.configuration
    if configuration is None or isinstance(configuration, ConfigurationProblems):
        return None
    if rerun.job_name not in configuration.jobs:
        return None
    reviewed = {name for name, (_, is_reviewed) in applied_states(configuration, rerun.job_name).items() if is_reviewed}
    command = next(iter(configuration.jobs[rerun.job_name].on.command), None)
    return command if any(order.order_name in reviewed for order in rerun.job.orders) else None


def _chosen_again(facts: Facts, rerun: Rerun, job: Job) -> Chosen | None:
    """Return what of a job may run again, None if the configuration does not have the job any more."""
    configuration = facts.configuration
    if configuration is None or isinstance(configuration, ConfigurationProblems):
        return None
    if rerun.job_name not in configuration.jobs:
        return None
    return with_saved_plans(facts, configuration, rerun.job_name, job)


def _help(facts: Facts) -> Decision:
    configuration = facts.configuration
    own = () if configuration is None or isinstance(configuration, ConfigurationProblems) else _words(configuration)
    return say("Commands, each on its own line in a new comment:", *own, *_HELP)


def _words(configuration: Configuration) -> tuple[str, ...]:
    return tuple(
        f"{PREFIX} {word} [target]: runs {', '.join(names)}" for word, names in commands(configuration).items()
    )


def _unused_branch(branch: str) -> str:
    return f"this stack does not use the configuration of the branch {branch}"
