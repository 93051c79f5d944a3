"""Decides whether a plan is made again that an apply has made stale: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.project_states import may_apply
from iac_ci_triggers.configuration import FILE_NAME, jobs_for_pull_request, planned_states
from iac_ci_triggers.connections import repository_key

if TYPE_CHECKING:
    from iac_ci_common.models.saved_plan import Replan
    from iac_ci_triggers.configuration import Configuration, PlannedState
    from iac_ci_triggers.facts import Facts
    from iac_ci_vcs.provider import PullRequest

_BECAUSE_CHARS = 512


@dataclass(frozen=True, slots=True)
class PlanAgain:
    """The job and its target that make a plan again, what they are started for, once, and why."""

    job: str
    target: str
    intent: str
    because: str


def planned_again(facts: Facts, configuration: Configuration, pull: PullRequest, replan: Replan) -> PlanAgain | str:
    """Return what makes a stale plan again, or why it is not made again.

    Only a job that the pull request starts by itself makes it, at the pull request's head, and once for an apply.
    """
    record = facts.plans.records.get(replan.plan)
    if record is None:
        return "the pull request has no plan of the project any more"
    if record.saved.planned.destroys:
        return "the plan is one to destroy, which a comment alone makes"
    if record.commit != pull.head_sha:
        return "the pull request has another commit, whose own event plans it"
    if may_apply(facts.plans.states.get(keys.project_state(replan.project)), record.saved.generation):
        return "the project was planned again meanwhile"
    found = _planned(facts, configuration, pull, replan.plan)
    if found is None:
        return "the pull request starts no job that plans the project"
    job, state = found
    if not state.replans:
        return f"{FILE_NAME} on {pull.base_branch} has no replan_when_stale for the project any more"
    whose = f" of pull request {replan.applied_by_pull_request}" if replan.applied_by_pull_request is not None else ""
    because = f"planned again because run {replan.applied_by}{whose} applied {state.label}"
    intent = f"replan:{replan.applied_by}:{replan.applied_by_order}:{state.order}"
    return PlanAgain(job, state.own_name, intent, because[:_BECAUSE_CHARS])


def _planned(
    facts: Facts, configuration: Configuration, pull: PullRequest, plan: str
) -> tuple[str, PlannedState] | None:
    """Return the job that the pull request starts and its order that makes the plan with this key."""
    chosen = jobs_for_pull_request(
        configuration, pull.base_branch, facts.changed, is_draft=pull.is_draft, labels=pull.labels
    )
    repository = repository_key(facts.source.repository) or ""
    for name in chosen.jobs:
        for state in planned_states(configuration, name).values():
            if state.project(repository, pull.number).record == plan:
                return name, state
    return None


__all__ = ["PlanAgain", "planned_again"]
