"""Reads ``.iac-ci.yml`` and tells everything that is wrong with it at once, each with its line."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import ValidationError

from iac_ci_common.errors import ConfigurationProblems, Problem
from iac_ci_triggers.configuration.checks import job_findings
from iac_ci_triggers.configuration.messages import what
from iac_ci_triggers.configuration.models import (
    Configuration,
    ConfiguredJob,
    ConfiguredOrder,
    PullRequestTrigger,
    PushTrigger,
    Settings,
    Triggers,
)
from iac_ci_triggers.configuration.yaml_document import Finding, line_of, plain, read_document, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_triggers.configuration.yaml_document import Node, Part

MAX_PROBLEMS: Final = 200
"""Most problems that are listed; that there are more is said."""

_FIELDS: Final = sorted(
    {
        name
        for model in (
            Configuration,
            Settings,
            ConfiguredOrder,
            ConfiguredJob,
            Triggers,
            PullRequestTrigger,
            PushTrigger,
        )
        for name in model.model_fields
    }
)


def read_configuration(text: bytes) -> Configuration:
    """Read a configuration; raises ``ConfigurationProblems`` with every problem, in the order of their lines.

    Nothing is asked of anybody: whether a secret exists or a role may be taken shows when a run is prepared.
    """
    document = read_document(text)
    findings = list(document.findings)
    configuration = None
    if document.root is not None and document.is_whole:
        configuration = _validated(document.root, findings)
    if findings or configuration is None:
        raise ConfigurationProblems(_listed(findings))
    return configuration


def _validated(root: Node, findings: list[Finding]) -> Configuration | None:
    content = plain(root)
    configuration = None
    defaults: Settings | None = None
    jobs: dict[str, ConfiguredJob] = {}
    try:
        configuration = Configuration.model_validate(content)
        defaults, jobs = configuration.defaults, configuration.jobs
    except ValidationError as error:
        findings.extend(_findings(error, root))
        if isinstance(content, dict):
            defaults, jobs = _sound_parts(cast("dict[str, Any]", content))
    if defaults is not None:
        for name, job in jobs.items():
            for path, problem in job_findings(job, defaults):
                findings.append(_located(root, ("jobs", name, *path), problem))
    return configuration


def _sound_parts(content: dict[str, Any]) -> tuple[Settings | None, dict[str, ConfiguredJob]]:
    """Read what can be read of a configuration that is wrong elsewhere, so that it can be checked all the same."""
    jobs: dict[str, ConfiguredJob] = {}
    try:
        given = content.get("defaults")
        defaults = Settings.model_validate({} if given is None else given)
    except ValidationError:
        return None, jobs
    candidates = content.get("jobs")
    for name, job in candidates.items() if isinstance(candidates, dict) else ():
        try:
            jobs[name] = ConfiguredJob.model_validate(job)
        except ValidationError:
            continue  # told already
    return defaults, jobs


def _findings(error: ValidationError, root: Node) -> Iterator[Finding]:
    for entry in error.errors(include_url=False):
        path = tuple(part for part in entry["loc"] if part != "[key]")
        problem = what(entry)
        if entry["type"] == "extra_forbidden":
            problem += _hint(str(path[-1])[:64])
        yield _located(root, path, problem)


def _hint(name: str) -> str:
    near = get_close_matches(name, _FIELDS, 1, 0.75)
    if not near:
        return ""
    return " here" if near[0] == name else f"; is {near[0]} meant?"


def _located(root: Node, path: tuple[Part, ...], problem: str) -> Finding:
    line, _ = line_of(root, path)
    return Finding(line, shown_path(path), problem)


def _listed(findings: list[Finding]) -> list[Problem]:
    found = sorted(set(findings))
    problems = [
        Problem(f"line {entry.line}" + (f": {entry.path}" if entry.path else ""), entry.what)
        for entry in found[:MAX_PROBLEMS]
    ]
    if len(found) > MAX_PROBLEMS:
        problems.append(Problem(f"line {found[MAX_PROBLEMS].line}", f"and {len(found) - MAX_PROBLEMS} more problems"))
    return problems
