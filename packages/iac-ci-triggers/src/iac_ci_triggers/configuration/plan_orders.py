"""Which orders of a configuration write plans, and which apply them: pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.models.saved_plan import OrderProject
from iac_ci_triggers.commands import DESTROY, PREFIX
from iac_ci_triggers.configuration.expansion import (
    NEVER_CHANGED,
    applied_order,
    copies,
    folder_of,
    project_of,
    reads_after_merge,
)
from iac_ci_triggers.configuration.templates import substitute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_triggers.configuration.expansion import Copy
    from iac_ci_triggers.configuration.models import Configuration


DEFAULT_WORKSPACE: Final = "default"


@dataclass(frozen=True, slots=True)
class PlannedState:
    """What an order plans: the project as people name it, folder and workspace, and the plan's file.

    ``own_name`` is the name of the order's project or else of the order, which is in the label if several projects have
    the same folder and workspace. ``planner`` is what makes the plan: a comment, or a new commit if no comment
    starts the order's job, ``destroyer`` the comment that makes one to destroy, None without one.
    ``replans``: the plan is made again by itself when an apply has made it stale.
    ``after_merge``: it is applied after the merge, where files that match ``reads`` are compared, None for all files.
    """

    order: str
    own_name: str
    label: str
    folder: str
    workspace: str
    file: str
    checks_workspace: bool
    planner: str
    destroyer: str | None = None
    replans: bool = False
    backend_config: tuple[str, ...] = ()
    after_merge: bool = False
    reads: tuple[str, ...] | None = None

    def project(self, repository: str, number: int | None) -> OrderProject:
        """Return the project; ``repository`` is ``host/path``, lower-case, ``number`` that of the pull request.

        Projects with the same folder, workspace and files of the backend share a state, and so the digest of their
        generations.
        """
        parts = [repository, self.folder, self.workspace, *self.backend_config]
        record = None if number is None else keys.plan_record(repository, number, _digest([*parts, self.order]))
        return OrderProject(
            key=_digest(parts),
            name=self.label,
            record=record,
            file=self.file,
            planner=self.planner,
            replans=self.replans,
        )


def planned_states(configuration: Configuration, job_name: str) -> dict[str, PlannedState]:
    """Return what the orders of a job plan, by the orders' names."""
    job = configuration.jobs[job_name]
    command = next(iter(job.on.command), None)
    states = [_state(copy, command) for copy in copies(job) if copy.template.plan is not None]
    labels = Counter(state.label for state in states)
    return {
        state.order: replace(state, label=f"{state.label} ({state.own_name})") if labels[state.label] > 1 else state
        for state in states
    }


def applied_states(configuration: Configuration, job_name: str) -> dict[str, tuple[PlannedState, bool]]:
    """Return what the orders of a job apply, by the orders' names, and whether it is the reviewed plan.

    A plan of the same job is made just before; that of another job is reviewed.
    """
    applies = list(_applies(configuration, job_name))
    if not applies:
        return {}
    own = planned_states(configuration, job_name)
    others: dict[str, PlannedState] = {}
    for name in configuration.jobs:
        if name != job_name:
            others = planned_states(configuration, name) | others
    after_merge = reads_after_merge(configuration, job_name)
    found: dict[str, tuple[PlannedState, bool]] = {}
    for copy, planner in applies:
        if planner in own:
            found[copy.name] = own[planner], False
        elif planner in others:
            state = replace(others[planner], after_merge=copy.name in after_merge, reads=after_merge.get(copy.name))
            found[copy.name] = state, True
    return found


def planning_jobs(configuration: Configuration) -> dict[str, str]:
    """Return the jobs whose orders write plans, by the orders' names; a reviewed plan is that of one job only."""
    return {
        copy.name: name
        for name, job in configuration.jobs.items()
        for copy in copies(job)
        if copy.template.plan is not None and copy.template.apply_plan is None
    }


def unnamed_states(configuration: Configuration) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return folders with the orders that may plan one state and count as several, because one names no workspace."""
    found: dict[tuple[str, tuple[str, ...]], dict[str, PlannedState]] = {}
    for name in configuration.jobs:
        for state in planned_states(configuration, name).values():
            found.setdefault((state.folder, state.backend_config), {})[state.order] = state
    return tuple(
        (folder, tuple(sorted(states)))
        for (folder, _), states in sorted(found.items())
        if len({state.workspace for state in states.values()}) > 1
        and any(state.workspace == state.order for state in states.values() if not state.checks_workspace)
    )


def _applies(configuration: Configuration, job_name: str) -> Iterator[tuple[Copy, str]]:
    for copy in copies(configuration.jobs[job_name]):
        planner = applied_order(copy)
        if planner is not None:
            yield copy, planner


def _state(copy: Copy, command: str | None) -> PlannedState:
    plan = copy.template.plan
    workspace = None if plan is None or plan.workspace is None else substitute(plan.workspace, copy.values)
    folder = folder_of(copy) or "."
    label = folder if workspace in {None, DEFAULT_WORKSPACE} else f"{folder} ({workspace})"
    own_name = project_of(copy) or copy.name
    return PlannedState(
        order=copy.name,
        own_name=own_name,
        label=label if project_of(copy) is not None or folder != "." else copy.name,
        folder=folder,
        workspace=_workspace_of(copy) if workspace is None else workspace,
        file="" if plan is None else plan.file,
        checks_workspace=workspace is not None,
        planner=_planner(copy, own_name, command),
        destroyer=None if command is None else f"{PREFIX} {command} {own_name} {DESTROY}",
        replans=plan is not None and plan.replan_when_stale,
        backend_config=()
        if plan is None
        else tuple(sorted(substitute(path, copy.values) for path in plan.backend_config)),
    )


def _workspace_of(copy: Copy) -> str:
    """Return what stands for the workspace of an order that names none: the order says which state it plans.

    All orders of projects in one folder may be of one state, those that look for drift too, so none has its own.
    """
    return copy.name if project_of(copy) is None else DEFAULT_WORKSPACE


def _planner(copy: Copy, own_name: str, command: str | None) -> str:
    if command is None:
        return "a new commit"
    # Without its name, the command leaves out what no pull request plans by itself.
    return f"{PREFIX} {command} {own_name}" if copy.paths == (NEVER_CHANGED,) else f"{PREFIX} {command}"


def _digest(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
