"""Checks of the entries of ``projects`` and ``workflows``: pure. Findings have their path in the file."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from iac_ci_projects import Tool
from iac_ci_triggers.configuration.checks import job_findings, requirement_findings
from iac_ci_triggers.configuration.models import (
    AppliedOn,
    AppliedPlan,
    ConfiguredJob,
    ConfiguredOrder,
    Settings,
    Triggers,
)
from iac_ci_triggers.configuration.project_jobs import DRIFT, JOB_SECONDS, PLAN, PROJECT_JOBS, folder_pattern_problem
from iac_ci_triggers.configuration.templates import MATRIX, command_problems, matrix_values, template_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_triggers.configuration.checks import Found
    from iac_ci_triggers.configuration.models import Configuration, ProjectRule, Workflow
    from iac_ci_triggers.configuration.yaml_document import Part

_NO_TEMPLATES: Final = ("find", "watch")
_MOST_NAMED: Final = 5


def project_findings(configuration: Configuration) -> Iterator[Found]:
    """Yield the problems of projects and workflows whose single fields are valid."""
    if configuration.projects:
        for name in configuration.jobs:
            if name.lower() in PROJECT_JOBS or (name.lower() == DRIFT and configuration.drift is not None):
                yield ("jobs", name), "is the name of a job that projects give; use another name"
    elif configuration.workflows:
        yield ("workflows",), "are for projects, and there are none; add projects or remove them"
    if configuration.drift is not None and not configuration.projects:
        yield ("drift",), "is for projects, and there are none; add projects, or write a job with on.schedule"
    yield from ((("merge_when_applied",), problem) for problem in _when_applied_problems(configuration))
    used = {rule.workflow for rule in configuration.projects}
    for name, workflow in configuration.workflows.items():
        if name not in used and configuration.projects:
            yield ("workflows", name), "is used by no project; name it in one or remove it"
        yield from ((("workflows", name, *path), problem) for path, problem in _workflow_findings(workflow))
    for index, rule in enumerate(configuration.projects):
        findings = chain(
            _way_findings(rule, configuration),
            _replan_findings(rule, configuration),
            _merge_findings(rule, configuration),
            _template_findings(rule),
        )
        for path, problem in chain(findings, _order_findings(rule, configuration.defaults)):
            yield ("projects", index, *path), problem


def _when_applied_problems(configuration: Configuration) -> Iterator[str]:
    """Yield why nothing could be applied before the merge that is to follow."""
    if not configuration.merge_when_applied:
        return
    if not configuration.projects and not any(job.on.before_merge for job in configuration.jobs.values()):
        yield "is for projects and jobs with before_merge, and there are none; add them or remove it"
    after = [
        f"projects[{index}]"
        for index, rule in enumerate(configuration.projects)
        if rule.apply is not None and rule.apply.on is AppliedOn.MERGE
    ]
    after += [
        f"jobs.{name}"
        for name, job in configuration.jobs.items()
        if any(order.after_merge is not False for order in job.orders)
    ]
    if after:
        shown = ", ".join(after[:_MOST_NAMED]) + (", …" if len(after) > _MOST_NAMED else "")
        yield f"merges what is applied, and {shown} is applied after the merge; choose one of the two"


def _workflow_findings(workflow: Workflow) -> Iterator[Found]:
    for word in PROJECT_JOBS:
        for number, command in enumerate(getattr(workflow, word)):
            if not command.strip():
                yield (word, number), "is empty"
            for problem in command_problems(command):
                yield (word, number), problem


def _way_findings(rule: ProjectRule, configuration: Configuration) -> Iterator[Found]:
    """Yield what contradicts itself in a rule, or names what is not there."""
    if (rule.find is None) == (rule.folder is None):
        yield (), "needs find or folder: one of the two"
    if rule.assume_role is not None:
        yield ("assume_role",), "is not for projects; they have role: {plan: …, apply: …}"
    if rule.workflow is not None and rule.workflow not in configuration.workflows:
        known = ", ".join(list(configuration.workflows)[:20]) or "none"
        yield ("workflow",), f"is not one of the workflows; they are {known}"
    if rule.tool is Tool.TERRAGRUNT and rule.workflow is None:
        for field in ("workspace", "var_files", "backend_config"):
            if getattr(rule, field):
                yield (field,), "is not passed on to terragrunt; write it into terragrunt.hcl, or use a workflow"
    for number, pattern in enumerate(rule.depends_on):
        if (problem := folder_pattern_problem(pattern)) is not None:
            yield ("depends_on", number), problem
    if rule.matrix and not (rule.workspace or rule.var_files or rule.backend_config):
        yield ("matrix",), "needs a workspace, var_files or backend_config, or its projects are one and the same"


def _replan_findings(rule: ProjectRule, configuration: Configuration) -> Iterator[Found]:
    """Yield why a plan would not be made again by itself."""
    if not rule.replan_when_stale:
        return
    if not rule.autoplan:
        yield ("replan_when_stale",), "needs autoplan: without it only a command plans the project"
    workflow = configuration.workflows.get(rule.workflow or "")
    if rule.tool is Tool.TERRAGRUNT or (workflow is not None and not workflow.saves_plan):
        yield ("replan_when_stale",), "is for plans that the engine reads, of terraform and opentofu; remove it"


def _merge_findings(rule: ProjectRule, configuration: Configuration) -> Iterator[Found]:
    """Yield why no reviewed plan could be applied after the merge."""
    if rule.apply is None or rule.apply.on is not AppliedOn.MERGE:
        return
    workflow = configuration.workflows.get(rule.workflow or "")
    if rule.tool is Tool.TERRAGRUNT or (workflow is not None and not workflow.saves_plan):
        yield ("apply", "on"), "merge is for plans that the engine reads, of terraform and opentofu; remove it"
    if rule.apply.plan is AppliedPlan.FRESH:
        yield ("apply", "on"), "merge is for reviewed plans; remove plan: fresh, or write a job with on.push"


def _template_findings(rule: ProjectRule) -> Iterator[Found]:
    """Yield the problems of templates in the fields that only projects have."""
    fixed: list[Found] = [
        ((field, n), text) for field in _NO_TEMPLATES for n, text in enumerate(getattr(rule, field) or ())
    ]
    for path, text in [*fixed, (("folder",), rule.folder or "")]:
        if "{{" in text:
            yield path, "cannot contain a template"
    for path, problem in requirement_findings(rule.apply.require) if rule.apply is not None else ():
        yield ("apply", "require", *path), problem
    axes = frozenset(matrix_values(dict.fromkeys(rule.matrix, "")))
    for path, text in _texts(rule):
        if "{{" in text:
            for problem in template_problems(text, frozenset(), axes):
                yield path, problem


def _texts(rule: ProjectRule) -> Iterator[Found]:
    """Yield the texts that may contain templates of the matrix and that only projects have."""
    if rule.workspace is not None:
        yield ("workspace",), rule.workspace
    for field in ("var_files", "backend_config", "depends_on"):
        for number, text in enumerate(getattr(rule, field)):
            yield (field, number), text


def _order_findings(rule: ProjectRule, defaults: Settings) -> Iterator[Found]:
    """Yield the problems of the orders that a rule gives for a folder, with their paths in the rule."""
    roles = (None, None) if rule.role is None else (rule.role.plan, rule.role.apply)
    names = "".join(f"-{{{{ {MATRIX}{axis} }}}}" for axis in rule.matrix)
    settings = {name: getattr(rule, name) for name in Settings.model_fields if name != "assume_role"}
    orders = [
        ConfiguredOrder(name=f"{word}-folder{names}", cmds=["true"]).model_copy(
            update={**settings, "assume_role": role, "idempotent": True, "retry": rule.retry if word == PLAN else None}
        )
        for word, role in zip(PROJECT_JOBS, roles, strict=True)
    ]
    job = ConfiguredJob(on=Triggers(command=["stand-in"]), matrix=rule.matrix, job_timeout=JOB_SECONDS, orders=orders)
    seen: set[Found] = set()
    for path, problem in job_findings(job, defaults):
        found = _in_rule(path), problem
        if found not in seen:
            seen.add(found)
            yield found


def _in_rule(path: tuple[Part, ...]) -> tuple[Part, ...]:
    if path[:1] != ("orders",):
        return path
    inner = path[2:]
    if inner[:1] == ("assume_role",):
        return ("role", PROJECT_JOBS[int(path[1])])
    return ("matrix",) if inner[:1] in {("name",), ()} else inner


__all__ = ["project_findings"]
