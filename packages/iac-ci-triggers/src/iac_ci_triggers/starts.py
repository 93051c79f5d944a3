"""Builds the starts of jobs, what is said of orders that do not run, and statuses without a run: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iac_ci_common import ids
from iac_ci_common.errors import ConfigurationProblems
from iac_ci_common.models.commit_job import JobPart
from iac_ci_common.models.rows import JobScope
from iac_ci_common.states import OrderState
from iac_ci_triggers.apply_requirements import unmet_text
from iac_ci_triggers.commit_statuses import job_status
from iac_ci_triggers.configuration import jobs_before_merge, order_names, planned_by
from iac_ci_triggers.decisions import Decision, Mark, Say, Start
from iac_ci_triggers.notice import Paragraph
from iac_ci_vcs.provider import CommitState
from iac_ci_vcs.reporting.folded_status import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_common.models.job import Job
    from iac_ci_common.models.saved_plan import OrderProject
    from iac_ci_triggers.configuration import Expansion
    from iac_ci_triggers.facts import Facts
    from iac_ci_triggers.saved_plans import Chosen
    from iac_ci_vcs.provider import CommitStatus, PullRequest


def start_of(
    facts: Facts,
    name: str,
    intent: str,
    job: Job,
    scope: JobScope | None,
    expansion: Expansion,
    projects: Mapping[str, OrderProject],
) -> Start:
    """Return the start of a job at the commit of the facts."""
    run = {order.order_name for order in job.orders}
    not_run = tuple(order for order in expansion.whole if order not in run)
    base, digest = facts.base_branch or None, facts.configuration_sha256
    # The tick may have found the pull request open before its webhook arrived: such a run counts.
    not_before = (facts.ledger.closed_at or facts.received_at) if facts.reopened else None
    return Start(
        name,
        facts.commit,
        intent,
        job,
        base,
        digest,
        facts.actor.login,
        scope,
        not_run,
        not_before,
        dict(projects),
        account=facts.actor.id or None,
        at_base=facts.at_base,
    )


def plans_left_out(job: str, chosen: Chosen) -> list[Decision]:
    """Return what to say about plans that are not applied."""
    found: list[Decision] = []
    nothing = "Nothing" if chosen.job is None else "Not everything"
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, verdicts in chosen.unmet.items():
        groups.setdefault(tuple(verdict.text for verdict in verdicts), []).append(name)
    for texts, names in groups.items():
        why = unmet_text(chosen.labels, names if len(groups) == 1 and chosen.job is None else (), names)
        found.append(say(f"{nothing} of the job {job} runs, because {why}:", *texts))
    if chosen.refused:
        found.append(say(f"{nothing} of the job {job} is applied:", *chosen.refused.values()))
    if chosen.done:
        found.append(
            say("Nothing is left to apply:" if chosen.job is None else "Nothing is left here:", *chosen.done.values())
        )
    return found


def mark_done(facts: Facts, job: str, chosen: Chosen) -> list[Decision]:
    """Set in the job's status the orders that have nothing left to do: a run before may have failed there."""
    if not chosen.done:
        return []
    states = {name: OrderState.SUCCEEDED.value if name in chosen.applied else NOTHING for name in chosen.done}
    status = job_status(facts.commit, job, CommitState.SUCCESS, f"nothing is left to {job}")
    return [mark_job(facts, status, states)]


def scope_of(facts: Facts, base: str, *, whole: bool, target: str | None = None) -> JobScope:
    """Return what a run is of its job."""
    configuration = facts.configuration
    waiting: tuple[str, ...] = ()
    if configuration is not None and not isinstance(configuration, ConfigurationProblems):
        waiting = jobs_before_merge(configuration, None).jobs
    return JobScope(
        base=base,
        whole=whole,
        target=target,
        before_merge=waiting,
        configuration=facts.configuration_sha256,
    )


def to_be_merged(facts: Facts, name: str, job: Job, scope: JobScope) -> JobScope:
    """Return the scope of a run of an open pull request that is merged when everything is applied, if it is to be.

    It names the orders that apply plans of the job and that the pull request's event has not named: those of projects
    that it does not change, or that only a command plans.
    """
    configuration = facts.configuration
    if (
        configuration is None
        or isinstance(configuration, ConfigurationProblems)
        or not configuration.merge_when_applied
    ):
        return scope
    planners = {f"{name}/{order.order_name}" for order in job.orders}
    appliers: dict[str, str] = {}
    for other in scope.before_merge:
        named = set(order_names(configuration, other, facts.changed, facts.deleted_folders))
        found = planned_by(configuration, other).items()
        left = {order: planner for order, planner in found if planner in planners and order not in named}
        appliers |= {f"{other}/{order}": planner for order, planner in left.items()}
    return scope.model_copy(update={"merge_when_applied": True, "appliers": appliers})


def with_merge(facts: Facts, job: Job, scope: JobScope) -> JobScope:
    """Return the scope with the commit that code of the job is merged into, and how far the head is behind it."""
    merged = next((order for order in job.orders if order.merge_into is not None), None)
    into = merged.merge_into if merged is not None else None
    behind = facts.merge_state.behind if facts.merge_state is not None and into == facts.base_sha else None
    return scope.model_copy(
        update={
            "merge_into": into,
            "merge_commit": merged.merge_commit if merged is not None else None,
            "behind": behind,
        }
    )


def mark_job(
    facts: Facts,
    status: CommitStatus,
    orders: Mapping[str, str],
    not_run: tuple[str, ...] = (),
    plans: Mapping[str, str] | None = None,
    *,
    whole: bool = False,
) -> Decision:
    """Return the decision to set the status of a job that has no run; for a push, the commit has no other status.

    With ``whole``, the states of orders of older runs count no more.
    """
    pull = facts.pull
    if pull is None:
        return Mark(status)
    part = JobPart(
        pull.number, pull.base_branch, facts.trigger_id, orders, whole, not_run=not_run, planned_by=plans or {}
    )
    return Mark(status, part)


def mark_approval(facts: Facts, status: CommitStatus) -> Decision:
    """Return the decision to set the status about an approval, which is for one pull request and its base branch.

    Ids of events sort by seconds. Of two in one second, the one that waits for an approval counts.
    """
    if status.state is CommitState.SUCCESS:
        return mark_job(facts, status, {status.context: OrderState.SUCCEEDED.value})
    last = replace(facts, trigger_id=ids.last_in_second(facts.trigger_id))
    return mark_job(last, status, {status.context: OrderState.QUEUED.value})


def say(title: str, *lines: str) -> Say:
    """Return the decision to answer a comment."""
    return Say(Paragraph(title, tuple(lines)))


def pull_of(facts: Facts) -> PullRequest:
    """Return the pull request of the event."""
    if facts.pull is None:
        raise ValueError("the facts have no pull request")
    return facts.pull


__all__ = [
    "mark_approval",
    "mark_done",
    "mark_job",
    "plans_left_out",
    "pull_of",
    "say",
    "scope_of",
    "start_of",
    "to_be_merged",
    "with_merge",
]
