"""The schedules of a configuration in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_triggers.configuration import next_minutes, orders_beside_plans, scheduled_jobs

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_triggers.configuration import Configuration


def schedule_words(configuration: Configuration, now: datetime) -> list[str]:
    """Return a line for each schedule: its next three times on its own clock, and what it needs of the operator."""
    lines = []
    for job, schedule in scheduled_jobs(configuration).items():
        minutes = next_minutes(schedule.cron, schedule.timezone, now)
        shown = ", ".join(f"{minute:%a %Y-%m-%d %H:%M}" for minute in minutes) or "never"
        line = f"schedule of {job}: {schedule.cron} ({schedule.timezone}); next: {shown}"
        others = orders_beside_plans(configuration, job) if job in configuration.jobs else ()
        if others:
            line += f"; {others[0]} is no plan, so the stack's connection must have schedules_may_apply"
        lines.append(line)
    if lines:
        lines.append("schedules run only on the branch that the stack's connection names (schedule_branch)")
    return lines


__all__ = ["schedule_words"]
