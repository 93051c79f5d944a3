"""The jobs of a configuration that schedules start, and which of them only plan: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_triggers.configuration.expansion import copies
from iac_ci_triggers.configuration.project_jobs import DRIFT

if TYPE_CHECKING:
    from iac_ci_triggers.configuration.models import Configuration, Schedule


def scheduled_jobs(configuration: Configuration) -> dict[str, Schedule]:
    """Return the schedules of a configuration by their jobs, also of ``drift``, whose job projects give."""
    found = {name: job.on.schedule for name, job in configuration.jobs.items() if job.on.schedule is not None}
    return found if configuration.drift is None else {**found, DRIFT: configuration.drift}


def orders_beside_plans(configuration: Configuration, job_name: str) -> tuple[str, ...]:
    """Return the orders of a job that may change infrastructure: all but those that write a plan and apply none."""
    return tuple(
        copy.name
        for copy in copies(configuration.jobs[job_name])
        if copy.template.plan is None or copy.template.apply_plan is not None
    )


__all__ = ["orders_beside_plans", "scheduled_jobs"]
