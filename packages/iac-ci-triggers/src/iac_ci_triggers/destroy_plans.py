"""Decides how a project is planned to be destroyed: pure. Such a plan is reviewed and applied as any other.

It is asked for by a comment alone, for one project at a time, and never made again by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_triggers.commands import DESTROY
from iac_ci_triggers.configuration import applied_states, planned_states

if TYPE_CHECKING:
    from iac_ci_common.models.job import Job, Order
    from iac_ci_triggers.configuration import Configuration

ARGUMENTS: Final = "TF_CLI_ARGS_plan"
"""The variable whose words Terraform and OpenTofu add to the arguments of their command `plan`."""

_SHOWN: Final = 5


def destroy_job(configuration: Configuration, name: str, job: Job) -> Job | str:
    """Return the job whose plan is one to destroy, or why it has none."""
    planned, applied = planned_states(configuration, name), applied_states(configuration, name)
    planning = [order for order in job.orders if order.order_name in planned]
    if not planning or any(order.order_name in applied for order in job.orders):
        shown = ", ".join(order.order_name or "" for order in job.orders[:_SHOWN])
        return f"{DESTROY} is for a command that only plans, and whose plan the engine reads; this is about {shown}"
    if len(planning) > 1:
        shown = ", ".join(planned[order.order_name or ""].own_name for order in planning[:_SHOWN])
        more = f" and {len(planning) - _SHOWN} more" if len(planning) > _SHOWN else ""
        return f"{DESTROY} is for one project at a time, and the target names {shown}{more}"
    state = planned[planning[0].order_name or ""]
    if not _is_reviewed(configuration, name, state.order):
        return f"no job applies the reviewed plan of {state.label}, so a plan to destroy it would be applied by nothing"
    if ARGUMENTS in planning[0].secrets:
        return f"{ARGUMENTS} of {state.label} is a secret, which {DESTROY} cannot be added to"
    return job.model_copy(
        update={"orders": [_destroying(order) if order is planning[0] else order for order in job.orders]}
    )


def plans_to_destroy(order: Order) -> bool:
    """Return whether an order is asked for a plan to destroy."""
    return DESTROY in order.env_vars.get(ARGUMENTS, "").split()


def _destroying(order: Order) -> Order:
    arguments = f"{order.env_vars.get(ARGUMENTS, '')} {DESTROY}".strip()
    return order.model_copy(update={"env_vars": order.env_vars | {ARGUMENTS: arguments}})


def _is_reviewed(configuration: Configuration, name: str, planner: str) -> bool:
    return any(
        reviewed and state.order == planner
        for other in configuration.jobs
        if other != name
        for state, reviewed in applied_states(configuration, other).values()
    )


__all__ = ["ARGUMENTS", "destroy_job", "plans_to_destroy"]
