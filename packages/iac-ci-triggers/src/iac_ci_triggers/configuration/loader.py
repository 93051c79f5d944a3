"""Parses ``.iac-ci.yml`` and reports all its problems at once, each with its line."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from iac_ci_common.draft import Draft, read_partially
from iac_ci_common.errors import ConfigurationProblems, Problem
from iac_ci_common.job_validation.rules import shared_statuses
from iac_ci_common.validation_messages import IS_ABOUT, NEVER_HOLDS, NO_VALUE, TAKES_FROM, UNKNOWN_ORDER
from iac_ci_triggers.configuration.checks import (
    defaults_findings,
    job_findings,
    takes_from_defaults,
    without_combination,
)
from iac_ci_triggers.configuration.models import CONFIGURATION_STATUS, Configuration, Statuses
from iac_ci_triggers.configuration.plan_checks import plan_findings
from iac_ci_triggers.configuration.project_checks import project_findings
from iac_ci_triggers.configuration.stand_ins import stand_in
from iac_ci_triggers.configuration.templates import UNKNOWN_AXIS
from iac_ci_triggers.configuration.yaml_document import Finding, line_of, plain, read_document, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iac_ci_common.draft import Location
    from iac_ci_triggers.configuration.yaml_document import Node, Part

_OF_WORKFLOWS: Final = ("is not one of the workflows", "is used by no project")
"""Beginnings of findings that are uncertain where a workflow, or a project that names one, is not valid."""

_OF_PROJECTS: Final = ("is for projects", "are for projects")
"""Beginnings of findings that are uncertain where ``projects`` is not valid."""

_OF_DEPENDENCIES: Final = (TAKES_FROM, IS_ABOUT)
"""Beginnings of findings that are uncertain where ``depends_on`` of the same order is not valid."""

_CANNOT_MERGE: Final = (
    "is not possible on this code host: asked to merge, it merges whatever commit is the newest by then; remove it"
)

_KEPT: Final = 4
"""Number of configurations that stay in memory: those of one event, and a few of the events before it."""

MAX_PROBLEMS: Final = 200
"""Most problems that are listed; one more states how many there are."""


def read_configuration(text: bytes, *, can_merge: bool = True) -> Configuration:
    """Return a configuration; raise ``ConfigurationProblems`` with every problem, sorted by line.

    ``can_merge`` says that the code host merges one commit of a pull request and no other.
    No service is called: a missing secret or a role that cannot be assumed is found when a run is prepared.
    The same text is read once while it is among the last few: one event reads the file of the base branch and that of
    the pull request, which mostly are the same.
    """
    return _read_text(text, can_merge)


@functools.lru_cache(maxsize=_KEPT)
def _read_text(text: bytes, can_merge: bool) -> Configuration:
    document = read_document(text)
    findings = list(document.findings)
    configuration = None
    if document.root is not None and document.is_whole:
        configuration = _validated(document.root, findings)
        if configuration is not None and configuration.merge_when_applied and not can_merge:
            findings.append(_located(document.root, ("merge_when_applied",), _CANNOT_MERGE))
    if findings or configuration is None:
        raise ConfigurationProblems(_listed(findings))
    return configuration


def _bad_names(jobs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each job's name that cannot stand in a status, and why."""
    names = list(jobs)
    for name in names:
        if name.lower() == CONFIGURATION_STATUS:
            yield name, "is the name of a status of the engine; use another name"
    yield from ((names[index], problem) for index, problem in shared_statuses(names, "job"))


def _validated(root: Node, findings: list[Finding]) -> Configuration | None:
    draft = _read(plain(root))
    findings.extend(_located(root, path, problem) for path, problem in draft.findings)
    if draft.value is None:
        return None
    defaults = dict(_defaults(root, draft, findings))
    findings.extend(_located(root, ("jobs", name), problem) for name, problem in _bad_names(draft.value.jobs))
    for name, job in draft.value.jobs.items():
        uncertain = _uncertain(draft, name)
        below = [location[2:] for location in draft.uncertain if location[:2] == ("jobs", name)]
        without_dependencies = {path[:2] for path in below if path[2:3] == ("depends_on",)}
        has_statuses = draft.value.statuses is Statuses.ORDERS
        for path, problem in job_findings(job, draft.value.defaults, order_statuses=has_statuses):
            location: Location = ("jobs", name, *path)
            is_reported = (
                len(path) > 2 and path[2:] in defaults and takes_from_defaults(job.orders[int(path[1])], path[2:])
            )
            if problem.startswith(_OF_DEPENDENCIES) and path[:2] in without_dependencies:
                continue
            if not (is_reported or draft.is_about_a_stand_in(location) or problem.startswith(uncertain)):
                findings.append(_located(root, draft.written(location), _shown(draft, location, problem)))
    if ("projects",) not in draft.replaced and not (draft.value.jobs or draft.value.projects):
        problem = "is empty" if "jobs" in draft.value.model_fields_set else "is missing"
        findings.append(_located(root, ("jobs",), f"{problem}; a configuration has jobs, projects or both"))
    for path, problem in project_findings(draft.value):
        is_reported = path[0] == "projects" and path[2:] in defaults and _takes(draft.value, path)
        if not (is_reported or draft.is_about_a_stand_in(path) or problem.startswith(_of_rule(draft, path))):
            findings.append(_located(root, draft.written(path), _shown(draft, path, problem)))
    if not any(draft.uncertain):
        findings.extend(_located(root, path, problem) for path, problem in plan_findings(draft.value))
    return draft.value


def _read(content: object) -> Draft[Configuration]:
    draft = read_partially(Configuration, content, stand_in)
    for location in () if draft.value is None else _without_value(draft.value):
        draft.findings.append((draft.written(location), NO_VALUE))
        draft.replaced[location] = None
    return draft


def _without_value(value: Any, location: Location = ()) -> Iterator[Location]:
    """Yield the location of each field that is written without a value, which would count as left out."""
    if value is None:
        yield location
    elif isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            if name in value.model_fields_set:
                yield from _without_value(getattr(value, name), (*location, info.alias or name))
    elif isinstance(value, dict | list):
        for part, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _without_value(item, (*location, part))


def _shown(draft: Draft[Configuration], location: Location, problem: str) -> str:
    """Return a message without the combination of the matrix if that is not the input's."""
    matrix: Location = (*location[:2], "matrix")
    return without_combination(problem) if any(changed[:3] == matrix for changed in draft.uncertain) else problem


def _takes(configuration: Configuration, path: Location) -> bool:
    """Return whether a value of a project is that of ``defaults``."""
    value = getattr(configuration.projects[int(path[1])], str(path[2]), None)
    return path[-1] not in value if isinstance(value, dict) else value is None


def _of_rule(draft: Draft[Configuration], path: Location) -> tuple[str, ...]:
    """Return the beginnings of findings that a stand-in in the same project, or for a workflow, may have caused."""
    uncertain: set[str] = set()
    for location in draft.uncertain:
        match location:
            case ("workflows",) | ("workflows", _):
                uncertain |= set(_OF_WORKFLOWS)
            case ("projects",) | ("projects", _) | ("projects", _, "workflow"):
                uncertain |= {_OF_WORKFLOWS[1], *_OF_PROJECTS}
            case ("jobs",) | ("jobs", _) | ("jobs", _, "on", *_) if path == ("merge_when_applied",):
                uncertain |= set(_OF_PROJECTS)
            case ("projects", index, "matrix", *_) if path[:2] == ("projects", index):
                uncertain.add(UNKNOWN_AXIS)
            case ("projects", index, "find" | "folder") if path == ("projects", index):
                uncertain.add("needs find or folder")
    return tuple(uncertain)


def _defaults(
    root: Node, draft: Draft[Configuration], findings: list[Finding]
) -> Iterator[tuple[tuple[Part, ...], str]]:
    """Add the findings about ``defaults`` and yield them; orders that take such a value have the same problem."""
    if draft.value is None:
        return
    uncertain = any(
        location[0] in {"jobs", "projects"} and (len(location) < 3 or location[2] == "matrix")
        for location in draft.uncertain
    )
    matrices = [*(job.matrix for job in draft.value.jobs.values()), *(rule.matrix for rule in draft.value.projects)]
    axes = [axis for matrix in matrices for axis in matrix]
    for path, problem in defaults_findings(draft.value.defaults, axes):
        location: Location = ("defaults", *path)
        if draft.is_about_a_stand_in(location) or (uncertain and problem.startswith(UNKNOWN_AXIS)):
            continue
        findings.append(_located(root, draft.written(location), problem))
        yield path, problem


def _uncertain(draft: Draft[Configuration], job: str) -> tuple[str, ...]:
    """Return the beginnings of findings that a stand-in in this job may have caused."""
    uncertain: set[str] = set()
    for location in draft.uncertain:
        match location:
            case ("jobs", name, "orders") | ("jobs", name, "orders", _) if name == job:
                uncertain.add(UNKNOWN_ORDER)
            case ("jobs", name, "orders", _, "name") if name == job:
                uncertain.add(UNKNOWN_ORDER)
            case ("jobs", name, "orders", _, "cmds", *_) if name == job:
                uncertain.add(NEVER_HOLDS)
            case ("jobs", name, "matrix", *_) if name == job:
                uncertain |= {UNKNOWN_ORDER, UNKNOWN_AXIS}
    return tuple(uncertain)


def _located(root: Node, path: tuple[Part, ...], problem: str) -> Finding:
    line, _ = line_of(root, path)
    return Finding(line, shown_path(path), problem)


def _listed(findings: list[Finding]) -> list[Problem]:
    found = sorted(set(findings))
    problems = [
        Problem(f"line {entry.line}" + (f": {entry.path}" if entry.path else ""), entry.message)
        for entry in found[:MAX_PROBLEMS]
    ]
    if len(found) > MAX_PROBLEMS:
        problems.append(Problem(f"line {found[MAX_PROBLEMS].line}", f"and {len(found) - MAX_PROBLEMS} more problems"))
    return problems
