"""What an event starts: pure. Facts in, a list of frozen decisions out; the same in gives the same out.

What is privileged is the base branch's: its configuration says what runs, with which secrets and roles. The pull
request gives the code, and that only where somebody who may write has written it, or has approved that very commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConfigurationProblems, InputProblems
from iac_ci_triggers.commands import APPROVE, CANCEL, HELP, PREFIX, RERUN_FAILED, UNLOCK
from iac_ci_triggers.configuration import (
    FILE_NAME,
    commands,
    jobs_for_command,
    jobs_for_pull_request,
    jobs_for_push,
)
from iac_ci_triggers.decisions import Approve, Cancel, Decision, Mark, Nothing, Say, Start, Wake
from iac_ci_triggers.jobs import again, configured
from iac_ci_triggers.notice import Paragraph
from iac_ci_vcs.provider import CommitState, CommitStatus

if TYPE_CHECKING:
    from iac_ci_triggers.commands import Command
    from iac_ci_triggers.configuration import Configuration
    from iac_ci_triggers.facts import CommentFacts, Facts
    from iac_ci_vcs.provider import PullRequest

CONTEXT: Final = "iac-ci"
"""Context of the status of what is no run: an approval that is missing, a configuration that cannot be read."""

BY_EVENT: Final = "event"
"""Intent of what no comment asked for: once for a commit."""

_HELP: Final = (
    f"{PREFIX} {CANCEL}: cancels what has not started of this pull request's runs; what runs is left to end",
    f"{PREFIX} {RERUN_FAILED}: runs again what did not succeed of the newest run",
    f"{PREFIX} {UNLOCK}: has this pull request's runs looked at again, should one be stuck",
    f"{PREFIX} {APPROVE} <full commit>: lets that one commit of somebody who may not write run",
    f"{PREFIX} {HELP}: shows this",
)


def decide_push(facts: Facts) -> list[Decision]:
    """Decide about a branch that moved."""
    configuration = facts.configuration
    if not facts.sha:
        return [Nothing("the branch is gone")]
    if not facts.source.heeds(facts.branch):
        return [Nothing(_unheeded(facts.branch))]
    if configuration is None:
        return [Nothing(f"there is no {FILE_NAME} at {facts.sha}")]
    if isinstance(configuration, ConfigurationProblems):
        return [Mark(_status(facts.sha, CommitState.FAILURE, f"{FILE_NAME} has problems: {configuration.message}"))]
    chosen = jobs_for_push(configuration, facts.branch, facts.changed)
    found: list[Decision] = []
    for name in chosen.jobs:
        found += _start(facts, configuration, name, BY_EVENT)
    return found or [Nothing("no job is started by a push to this branch")]


def decide_pull_request(facts: Facts) -> list[Decision]:
    """Decide about a pull request that was opened or has changed."""
    pull = _pull(facts)
    if not pull.is_open:
        return [Nothing("the pull request is closed")]
    if not facts.source.heeds(pull.base_branch):
        return [Nothing(_unheeded(pull.base_branch))]
    outdated = [run.run_id for run in facts.ledger.runs if run.sha != pull.head_sha and run.cancel_reason is None]
    found: list[Decision] = []
    if outdated:
        found.append(Cancel(tuple(outdated), f"superseded by commit {pull.head_sha[:12]}"))
    found += _changed_configuration(facts)
    found += _for_this_commit(facts)
    return found or [Nothing("no job is started by this pull request")]


def decide_comment(facts: Facts) -> list[Decision]:
    """Decide about the commands of a comment, in their order."""
    comment = facts.comment
    if comment is None:
        return [Nothing("the comment is gone")]
    if comment.is_ours:
        return [Nothing("the comment is the engine's own")]
    if not comment.found.commands and not comment.found.problems:
        return [Nothing("the comment holds no command")]
    by = comment.author.login
    if not comment.may_write:
        return [_say(f"{by} may not write to this repository, so the commands of that comment were not followed.")]
    if comment.edited:
        return [_say(f"{by}'s comment was edited, so its commands were not followed: write a new one.")]
    found: list[Decision] = []
    if comment.found.problems:
        found.append(_say("Not understood:", *comment.found.problems))
    for place, command in enumerate(comment.found.commands):
        found += _obey(facts, comment, command, f"comment:{comment.id}:{place}")
    return found


def _obey(facts: Facts, comment: CommentFacts, command: Command, intent: str) -> list[Decision]:
    if command.name == HELP:
        return [_help(facts)]
    if command.name == CANCEL:
        return _cancel(facts, comment)
    if command.name == UNLOCK:
        return _unlock(facts)
    if not _pull(facts).is_open:
        return [_say(f"{PREFIX} {command.name} starts nothing: the pull request is closed.")]
    if not facts.source.heeds(_pull(facts).base_branch):
        return [_say(f"{PREFIX} {command.name} starts nothing: {_unheeded(_pull(facts).base_branch)}.")]
    if command.name == APPROVE:
        return _approve(facts, comment, command)
    if not facts.trusted:
        return _ask_for_approval(_pull(facts))
    if command.name == RERUN_FAILED:
        return _rerun(facts, intent)
    return _run(facts, command, intent)


def _run(facts: Facts, command: Command, intent: str) -> list[Decision]:
    configuration = facts.configuration
    pull = _pull(facts)
    if configuration is None:
        return [_say(f"Nothing was started: the branch {pull.base_branch} has no {FILE_NAME}.")]
    if isinstance(configuration, ConfigurationProblems):
        return _unreadable(pull, configuration)
    chosen = jobs_for_command(configuration, command.name)
    if not chosen.jobs:
        return [_say(f"No job is started by {PREFIX} {command.name}.", *_words(configuration))]
    found: list[Decision] = []
    for name in chosen.jobs:
        found += _start(facts, configuration, name, intent, command=command.name, target=command.target)
    return found


def _start(
    facts: Facts, configuration: Configuration, name: str, intent: str, *, command: str = "", target: str | None = None
) -> list[Decision]:
    sha = facts.pull.head_sha if facts.pull is not None else facts.sha
    try:
        job, expansion = configured(facts, configuration, name, command=command, target=target)
    except InputProblems as error:
        why = f"could not start: {error.message}"
        return [
            Say(Paragraph(f"The job {name} could not start:", problems=error.problems)),
            Mark(_status(sha, CommitState.FAILURE, why, f"{CONTEXT}/{name}")),
        ]
    if job is None:
        if not command:
            return []
        left_out = [f"{order.name} {order.reason}" for order in expansion.left_out]
        return [_say(f"The job {name} has nothing to run:", *left_out)]
    return [Start(name, sha, intent, job)]


def _for_this_commit(facts: Facts) -> list[Decision]:
    """Decide what runs for the pull request as it is, without anybody's command."""
    pull, configuration = _pull(facts), facts.configuration
    if configuration is None:
        return []
    if isinstance(configuration, ConfigurationProblems):
        return _unreadable(pull, configuration)
    chosen = jobs_for_pull_request(configuration, pull.base_branch, facts.changed)
    if not facts.trusted:
        return _ask_for_approval(pull) if chosen.jobs else []
    found: list[Decision] = []
    for name in chosen.jobs:
        found += _start(facts, configuration, name, BY_EVENT)
    return found


def _approve(facts: Facts, comment: CommentFacts, command: Command) -> list[Decision]:
    pull = _pull(facts)
    if command.sha != pull.head_sha:
        return [_say(f"{command.sha} was not approved: the pull request is at {pull.head_sha} now. Read that first.")]
    by = comment.author.login
    approved = facts.approved_by(by)
    status = _status(pull.head_sha, CommitState.SUCCESS, f"approved by {by}")
    return [
        Approve(pull.head_sha, by),
        Mark(status),
        _say(f"{by} approved {pull.head_sha}: it may run. Another commit needs another approval."),
        *_for_this_commit(approved),
    ]


def _ask_for_approval(pull: PullRequest) -> list[Decision]:
    whose = "comes from a fork" if pull.is_fork else f"is {pull.author.login}'s, who may not write to this repository"
    return [
        Say(
            Paragraph(
                f"Nothing runs, and no secret is read: this pull request {whose}. Somebody who may write can let"
                " this one commit run, once they have read all of it, by the comment",
                command=f"{PREFIX} {APPROVE} {pull.head_sha}",
            )
        ),
        Mark(_status(pull.head_sha, CommitState.PENDING, "waits for an approval of this commit")),
    ]


def _changed_configuration(facts: Facts) -> list[Decision]:
    if facts.head_problems is None:
        return []
    says = f"This pull request changes {FILE_NAME}. What it says there counts once it is merged."
    if facts.head_problems:
        says += " It could not be read as it is:"
    return [_say(says, *facts.head_problems)]


def _unreadable(pull: PullRequest, problems: ConfigurationProblems) -> list[Decision]:
    said = f"Nothing was started: {FILE_NAME} on the branch {pull.base_branch} has problems."
    status = _status(pull.head_sha, CommitState.FAILURE, f"{FILE_NAME} on {pull.base_branch} has problems")
    return [Say(Paragraph(said, problems=problems.problems)), Mark(status)]


def _cancel(facts: Facts, comment: CommentFacts) -> list[Decision]:
    runs = tuple(run.run_id for run in facts.ledger.runs if run.cancel_reason is None)
    if not runs:
        return [_say("There is no run of this pull request to cancel.")]
    said = "What has not started of this pull request's runs is cancelled; what runs is left to end."
    return [Cancel(runs, f"cancelled by {comment.author.login}"), _say(said)]


def _unlock(facts: Facts) -> list[Decision]:
    runs = tuple(run.run_id for run in facts.ledger.runs)
    said = (
        "The runs of this pull request are looked at again; a lock that a dead process held is taken over by that."
        if runs
        else "There is no run of this pull request."
    )
    return [
        *([Wake(runs)] if runs else []),
        _say(f"{said} A lock of Terraform's state is Terraform's own: terraform force-unlock removes it."),
    ]


def _rerun(facts: Facts, intent: str) -> list[Decision]:
    pull = _pull(facts)
    found: list[Decision] = []
    for rerun in facts.reruns:
        if rerun.sha != pull.head_sha:
            found.append(_say(f"{rerun.run_id} was about another commit than the newest; nothing was run again."))
        elif not rerun.has_ended:
            found.append(_say(f"{rerun.run_id} has not ended yet; nothing was run again."))
        elif not rerun.unsuccessful:
            found.append(_say(f"All orders of {rerun.run_id} succeeded; nothing was run again."))
        else:
            try:
                found.append(Start(rerun.job_name, pull.head_sha, intent, again(facts, rerun)))
            except InputProblems as error:
                found.append(Say(Paragraph(f"{rerun.run_id} could not be run again:", problems=error.problems)))
    return found or [_say("There is no run of this pull request to run again; a day after its end it is forgotten.")]


def _help(facts: Facts) -> Decision:
    configuration = facts.configuration
    own = () if configuration is None or isinstance(configuration, ConfigurationProblems) else _words(configuration)
    return _say("Commands, each on a line of its own in a new comment:", *own, *_HELP)


def _words(configuration: Configuration) -> tuple[str, ...]:
    return tuple(
        f"{PREFIX} {word} [target]: runs {', '.join(names)}" for word, names in commands(configuration).items()
    )


def _unheeded(branch: str) -> str:
    return f"{branch} is none of the branches whose configuration counts in this stack"


def _say(title: str, *lines: str) -> Say:
    return Say(Paragraph(title, tuple(lines)))


def _status(sha: str, state: CommitState, said: str, context: str = CONTEXT) -> CommitStatus:
    return CommitStatus(commit=sha, context=context, state=state, description=said[:140])


def _pull(facts: Facts) -> PullRequest:
    if facts.pull is None:
        raise ValueError("a decision about a pull request needs one")
    return facts.pull
