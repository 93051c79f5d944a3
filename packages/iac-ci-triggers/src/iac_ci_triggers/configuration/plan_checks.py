"""Checks of orders that write plans and apply them: pure. Findings have their path in the file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from iac_ci_triggers.configuration.expansion import applied_order, copies
from iac_ci_triggers.configuration.plan_orders import planned_states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_triggers.configuration.checks import Found
    from iac_ci_triggers.configuration.models import Configuration, ConfiguredJob
    from iac_ci_triggers.configuration.plan_orders import PlannedState


def plan_findings(configuration: Configuration) -> Iterator[Found]:
    """Yield what is wrong with ``apply_plan`` and ``plan``, for jobs whose single fields are valid."""
    plans = {name: planned_states(configuration, name) for name in configuration.jobs}
    for name, job in configuration.jobs.items():
        for path, problem in _replan_findings(job):
            yield ("jobs", name, *path), problem
        for path, problem in _merge_findings(job, plans[name]):
            yield ("jobs", name, *path), problem
        if any(order.apply_plan is not None for order in job.orders):
            for path, problem in _job_findings(job, name, plans):
                yield ("jobs", name, *path), problem


def _replan_findings(job: ConfiguredJob) -> Iterator[Found]:
    if job.on.pull_request is not None:
        return
    for index, order in enumerate(job.orders):
        if order.plan is not None and order.plan.replan_when_stale:
            path = ("orders", index, "plan", "replan_when_stale")
            yield path, "only a command plans this; add pull_request to the job's on, or remove it"


def _merge_findings(job: ConfiguredJob, own: dict[str, PlannedState]) -> Iterator[Found]:
    reported: set[int] = set()
    for copy in copies(job):
        if copy.template.after_merge is False or copy.index in reported:
            continue
        reported.add(copy.index)
        planner = applied_order(copy)
        if planner is None or planner in own:
            yield ("orders", copy.index, "after_merge"), "is for an order that applies the reviewed plan of another job"
        elif not job.on.command:
            yield ("orders", copy.index, "after_merge"), "needs a command in the job's on, which applies what is left"
        patterns = copy.template.after_merge
        for number, text in enumerate(patterns if isinstance(patterns, list) else ()):
            if "{{" in text:
                yield ("orders", copy.index, "after_merge", number), "cannot contain a template"


def _job_findings(job: ConfiguredJob, name: str, plans: dict[str, dict[str, PlannedState]]) -> Iterator[Found]:
    reported: set[int] = set()
    elsewhere = Counter(order for other, orders in plans.items() if other != name for order in orders)
    for copy in copies(job):
        planner = applied_order(copy)
        if planner is None or copy.index in reported:
            continue
        path = ("orders", copy.index, "apply_plan")
        if planner in plans[name]:
            problem = None if planner in copy.dependencies else f"{planner} is not in depends_on"
        elif planner not in elsewhere:
            problem = f"{planner} names no order with `plan` in this job or in another one"
        elif elsewhere[planner] > 1:
            problem = f"{planner} is an order with `plan` of several jobs; rename it in all but one"
        elif any((job.on.push, job.on.pull_request, job.on.schedule)):
            problem = "applies a reviewed plan, which only a command can start; remove push, pull_request and schedule"
        else:
            problem = None
        if problem is not None:
            reported.add(copy.index)
            yield path, problem
