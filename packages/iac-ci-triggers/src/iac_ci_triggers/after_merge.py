"""Decides what is applied, and what is planned again, after a pull request was merged: pure.

The base branch's newest commit is compared with what was planned, by content: how the host has merged does not matter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConfigurationProblems, InputProblems
from iac_ci_triggers.apply_requirements import ticks
from iac_ci_triggers.commands import APPROVE, DESTROY, PREFIX, RERUN_FAILED
from iac_ci_triggers.configuration import (
    FILE_NAME,
    applied_states,
    jobs_for_command,
    planning_jobs,
    reads_after_merge,
)
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.decisions import Decision, Nothing, Say, SeeMerge
from iac_ci_triggers.jobs import configured
from iac_ci_triggers.notice import Paragraph, Subject
from iac_ci_triggers.saved_plans import with_saved_plans
from iac_ci_triggers.starts import mark_done, plans_left_out, pull_of, say, scope_of, start_of, with_merge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from iac_ci_common.models.job import Order
    from iac_ci_triggers.commands import Command
    from iac_ci_triggers.configuration import Configuration
    from iac_ci_triggers.facts import Facts, MergeFacts
    from iac_ci_vcs.provider import PullRequest

AFTER_MERGE: Final = "merged"
"""Intent of what a merge starts: a pull request is merged once, so its jobs start once."""

_BECAUSE_CHARS: Final = 512


def decide_after_merge(facts: Facts) -> list[Decision]:
    """Return the decisions about a merge: reviewed plans that are applied, and projects that are planned instead."""
    merge, configuration, pull = facts.merge, facts.configuration, facts.pull
    is_broken = isinstance(configuration, ConfigurationProblems)
    if pull is None or not pull.is_merged or (merge is None and not is_broken):
        return []
    if not facts.uses(pull.base_branch):
        return [Nothing(f"this stack does not use the configuration of the branch {pull.base_branch}")]
    if isinstance(configuration, ConfigurationProblems):
        text = f"Nothing is applied after the merge: {FILE_NAME} on {pull.base_branch} has problems. Repair it there."
        return [Say(Paragraph(text, problems=configuration.problems), Subject.AFTER_MERGE)]
    return _decide(facts, merge, configuration, pull) if merge is not None else []


def _decide(facts: Facts, merge: MergeFacts, configuration: Configuration | None, pull: PullRequest) -> list[Decision]:
    if merge.seen is None:
        return [_notice(f"Nothing is applied after the merge into {pull.base_branch}: {merge.unknown}.")]
    found: list[Decision] = [SeeMerge(merge.seen)]
    if configuration is None:
        return [*found, _notice(f"Nothing is applied after the merge: {pull.base_branch} has no {FILE_NAME}.")]
    labels: dict[str, set[str]] = {}
    for name in configuration.jobs:
        try:
            decisions, stale = _merged_job(facts, merge, configuration, name)
        except InputProblems as error:
            text = f"Nothing of the job {name} is applied after the merge, because it could not start:"
            found.append(Say(Paragraph(text, problems=error.problems), Subject.AFTER_MERGE))
            continue
        found += decisions
        for planner, label in stale:
            labels.setdefault(planner, set()).add(label)
    found += [Say(_gone(facts, merge), Subject.AFTER_MERGE)] if merge.gone else []
    return [*found, *_planned_instead(facts, merge, configuration, labels)]


def _merged_job(
    facts: Facts, merge: MergeFacts, configuration: Configuration, name: str
) -> tuple[list[Decision], list[tuple[str, str]]]:
    """Return the decisions about the plans of this pull request that a job applies, and what is to be planned instead.

    The latter are the planning orders and the names of their projects.
    """
    reads = reads_after_merge(configuration, name)
    if not reads:
        return [], []
    planned = frozenset(order for order, key in _records(facts, configuration, name) if key in facts.plans.records)
    job, expansion = configured(facts, configuration, name, also=planned & reads.keys())
    wanted = [order.order_name or "" for order in job.orders] if job is not None else []
    wanted = [order for order in wanted if order in reads]
    if job is None or not wanted:
        return [], []
    applied = applied_states(configuration, name)
    orders = with_needed(job.orders, wanted, without=applied.keys() - reads.keys())
    chosen = with_saved_plans(facts, configuration, name, job.model_copy(update={"orders": orders}), AFTER_MERGE)
    found: list[Decision] = [*mark_done(facts, name, chosen)]
    if chosen.job is not None:
        labels = sorted({one.name for order, one in chosen.projects.items() if order in applied})
        scope = with_merge(facts, chosen.job, scope_of(facts, facts.base_branch, whole=False))
        scope = scope.model_copy(update={"because": _because(facts, merge, "applied", labels)})
        found.append(start_of(facts, name, AFTER_MERGE, chosen.job, scope, expansion, chosen.projects))
    stale = [(applied[order][0].order, chosen.labels[order]) for order in sorted(chosen.stale)]
    if chosen.refused or chosen.unmet:
        left_out = plans_left_out(name, replace(chosen, done={}))
        found += [replace(one, subject=Subject.AFTER_MERGE) if isinstance(one, Say) else one for one in left_out]
        word = configuration.jobs[name].on.command[0]
        text = "Then review the new plan and apply it with the comment" if stale else "Apply it later with the comment"
        found.append(Say(Paragraph(text, command=f"{PREFIX} {word}"), Subject.AFTER_MERGE))
    return found, stale


def _planned_instead(
    facts: Facts, merge: MergeFacts, configuration: Configuration, labels: Mapping[str, Collection[str]]
) -> list[Decision]:
    """Return the starts that plan projects at the base branch's commit: one of each planning job, for all that apply.

    ``labels`` are the names of the projects by the orders that plan them.
    """
    jobs = planning_jobs(configuration)
    by_job: dict[str, list[str]] = {}
    for planner in labels:
        by_job.setdefault(jobs[planner], []).append(planner)
    found: list[Decision] = []
    for name, planners in by_job.items():
        because = _because(facts, merge, "planned", sorted({label for one in planners for label in labels[one]}))
        try:
            found += _plan_start(facts, configuration, name, planners, AFTER_MERGE, because)
        except InputProblems as error:
            text = f"The job {name} could not start after the merge:"
            found.append(Say(Paragraph(text, problems=error.problems), Subject.AFTER_MERGE))
    return found


def _plan_start(
    facts: Facts, configuration: Configuration, name: str, planners: Collection[str], intent: str, because: str | None
) -> list[Decision]:
    """Return the start of some planning orders of a job at the base branch's commit."""
    at_base = facts.after_merge
    job, expansion = configured(at_base, configuration, name, also=planners)
    orders = with_needed(job.orders, planners) if job is not None else []
    if job is None or not orders:
        return [say(f"The job {name} has no order to run.")]
    job = job.model_copy(update={"orders": orders})
    chosen = with_saved_plans(at_base, configuration, name, job)
    found: list[Decision] = []
    if because is None:
        # A person asks for it, and the requirements are those of a comment; the engine plans what is in the base.
        found = plans_left_out(name, chosen)
        if chosen.job is None:
            return found
        job = chosen.job
    shown = ticks(at_base, configuration, name, [order.order_name or "" for order in job.orders])
    scope = scope_of(at_base, facts.base_branch, whole=False)
    scope = scope.model_copy(update={"because": because, "requirements": shown})
    return [*found, start_of(at_base, name, intent, job, scope, expansion, chosen.projects)]


def command_after_merge(facts: Facts, merge: MergeFacts, command: Command, intent: str) -> list[Decision]:
    """Return the decisions about a command on a merged pull request: it plans or applies what was left then."""
    configuration, pull = facts.configuration, pull_of(facts)
    closed = f"{PREFIX} {command.name} starts nothing: the pull request is merged"
    if command.name in {APPROVE, RERUN_FAILED}:
        return [say(f"{closed}.")]
    if command.destroys:
        return [say(f"{closed}, and {DESTROY} is for open ones. Open another one, and write the command there.")]
    if merge.seen is None:
        return [say(f"{closed}, and {merge.unknown}. Write the command again later.")]
    if configuration is None or isinstance(configuration, ConfigurationProblems):
        return [say(f"{closed}, and {FILE_NAME} on {pull.base_branch} is missing or has problems.")]
    found: list[Decision] = []
    planning = planning_jobs(configuration)
    for name in jobs_for_command(configuration, command.name).jobs:
        applies = reads_after_merge(configuration, name)
        planners = _planners_after_merge(configuration, planning, name)
        try:
            if applies:
                found += _apply_command(facts, configuration, name, command, intent)
            elif planners:
                found += _plan_command(facts, configuration, name, planners, command, intent)
        except InputProblems as error:
            found.append(Say(Paragraph(f"The job {name} could not start:", problems=error.problems)))
    found += [Say(_gone(facts, merge))] if merge.gone else []
    return found or [say(f"{closed}, and the command is about nothing that is applied after the merge.")]


def _planners_after_merge(configuration: Configuration, planning: Mapping[str, str], name: str) -> frozenset[str]:
    """Return the orders of a job whose plans are applied after the merge."""
    return frozenset(
        state.order
        for other in configuration.jobs
        for order, (state, _) in applied_states(configuration, other).items()
        if order in reads_after_merge(configuration, other) and planning.get(state.order) == name
    )


def _plan_command(
    facts: Facts, configuration: Configuration, name: str, planners: Collection[str], command: Command, intent: str
) -> list[Decision]:
    """Plan the command's target or, without one, what the pull request changes, at the base branch's commit."""
    job, _ = configured(facts.after_merge, configuration, name, command=command.name, target=command.target)
    wanted = [order.order_name or "" for order in job.orders] if job is not None else []
    wanted = [order for order in wanted if order in planners]
    if not wanted:
        return [say(f"The job {name} has no order to run: the command names nothing that is applied after the merge.")]
    return _plan_start(facts, configuration, name, wanted, intent, None)


def _apply_command(
    facts: Facts, configuration: Configuration, name: str, command: Command, intent: str
) -> list[Decision]:
    at_base = facts.after_merge
    also = frozenset(order for order, key in _records(facts, configuration, name) if key in facts.plans.records)
    job, expansion = configured(at_base, configuration, name, command=command.name, target=command.target, also=also)
    if job is None:
        return [say(f"The job {name} has no order to run.")]
    chosen = with_saved_plans(at_base, configuration, name, job, intent, is_named=command.target is not None)
    answers = [*plans_left_out(name, chosen), *mark_done(at_base, name, chosen)]
    if chosen.job is None:
        return answers
    scope = scope_of(at_base, facts.base_branch, whole=False, target=command.target)
    scope = with_merge(at_base, chosen.job, scope)
    return [*answers, start_of(at_base, name, intent, chosen.job, scope, expansion, chosen.projects)]


def with_needed(orders: Sequence[Order], names: Collection[str], *, without: Collection[str] = ()) -> list[Order]:
    """Return some orders and all that they need, except those of ``without``, on which none of them waits then."""
    by_name = {known: order for order in orders for known in (order.order_name, order.queue_id) if known is not None}
    chosen: set[str] = set()
    waiting = [name for name in names if name in by_name]
    while waiting:
        order = by_name[waiting.pop()]
        if order.order_name is None or order.order_name in chosen:
            continue
        chosen.add(order.order_name)
        waiting += [name for name in order.dependencies if name in by_name and name not in without]
    return [
        order.model_copy(update={"dependencies": [name for name in order.dependencies if name in chosen]})
        for order in orders
        if order.order_name in chosen
    ]


def _records(facts: Facts, configuration: Configuration, name: str) -> Iterator[tuple[str, str | None]]:
    """Yield the orders of a job that apply plans, with the keys of the plans in this pull request."""
    repository = repository_key(facts.source.repository) or ""
    for order, (state, _) in applied_states(configuration, name).items():
        yield order, state.project(repository, pull_of(facts).number).record


def _gone(facts: Facts, merge: MergeFacts) -> Paragraph:
    """Return what to say of projects with plans that the base branch does not have any more."""
    shown = ", ".join(merge.gone[:3]) + (f" and {len(merge.gone) - 3} more" if len(merge.gone) > 3 else "")
    at = f"{pull_of(facts).base_branch} at {merge.newest[:12]}"
    return Paragraph(
        f"This pull request planned {shown}, and {at} has no such project: nothing of it is applied. If the project was"
        " moved or renamed there, plan it by its new name, review that plan and apply it."
    )


def _because(facts: Facts, merge: MergeFacts, verb: str, labels: Sequence[str]) -> str:
    pull = pull_of(facts)
    shown = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")
    text = f"{verb} because pull request {pull.number} was merged into {pull.base_branch} at {merge.newest[:12]}"
    return f"{text}: {shown}"[:_BECAUSE_CHARS]


def _notice(text: str) -> Say:
    return Say(Paragraph(text), Subject.AFTER_MERGE)


__all__ = ["AFTER_MERGE", "command_after_merge", "decide_after_merge", "with_needed"]
