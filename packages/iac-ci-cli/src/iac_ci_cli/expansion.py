"""Writes the jobs that projects stand for, as people write jobs in ``.iac-ci.yml``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from iac_ci_cli.schedule_words import schedule_words
from iac_ci_cli.state_words import state_words
from iac_ci_triggers.configuration import PROJECT_JOBS, TemplateValues, expand, with_project_jobs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_cli.checkout import Changes
    from iac_ci_common.tree import Tree
    from iac_ci_triggers.configuration import Configuration, ProjectJobs


@dataclass(frozen=True, slots=True)
class Expanded:
    """A configuration with jobs in place of projects, and what the reader should know.

    ``left_out`` are orders and folders with the reason why they do not run, ``remarks`` about files that cannot be
    read and states that are not known, ``schedules`` about when jobs start by themselves.
    """

    configuration: Mapping[str, Any]
    left_out: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    schedules: tuple[str, ...] = ()


def expanded(configuration: Configuration, tree: Tree, changes: Changes | None) -> Expanded:
    """Return the configuration's jobs with those of its projects; with ``changes`` only the orders that these start.

    Raises ``ConfigurationProblems``.
    """
    removed, changed = ((), ()) if changes is None else (changes.removed, changes.changed)
    found = with_project_jobs(configuration, tree, removed, changed)
    chosen, left_out = (found.configuration, []) if changes is None else _started(found, changes)
    fields = chosen.model_dump(mode="json", exclude_defaults=True, exclude={"jobs"})
    jobs = {name: job.model_dump(mode="json", exclude_defaults=True) for name, job in chosen.jobs.items() if job.orders}
    return Expanded(
        {"version": chosen.version, **fields, "jobs": jobs},
        (*found.left_out, *left_out),
        (*found.remarks, *(f"not known: {line}" for line in state_words(found.configuration))),
        tuple(schedule_words(chosen, datetime.now(UTC))),
    )


def _started(found: ProjectJobs, changes: Changes) -> tuple[Configuration, list[tuple[str, str]]]:
    """Return the jobs of projects with the orders that run, and the other orders with the reason."""
    configuration = found.configuration
    jobs = {}
    left_out: list[tuple[str, str]] = []
    for name in PROJECT_JOBS:
        if name not in configuration.jobs:
            continue
        made = expand(configuration, name, TemplateValues(), changes.changed, None, found.deleted)
        after = {order.order_name: order.dependencies for order in made.orders}
        orders = [
            order.model_copy(update={"depends_on": after[order.name]})
            for order in configuration.jobs[name].orders
            if order.name in after
        ]
        jobs[name] = configuration.jobs[name].model_copy(update={"orders": orders})
        left_out += [(f"{name}: {order.name}", order.reason) for order in made.left_out]
    return configuration.model_copy(update={"jobs": jobs}), left_out


__all__ = ["Expanded", "expanded"]
