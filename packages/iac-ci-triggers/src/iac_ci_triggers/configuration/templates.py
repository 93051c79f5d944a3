"""Replaces ``{{ … }}`` by values: names from one list, text for text, and nothing is ever evaluated.

Values come from whoever opened the pull request. They are put in once, so that a value that looks like a template
stays as it is, and only where no shell reads them: into environment variables. Commands read those.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from iac_ci_common.models.base import Shape
from iac_ci_triggers.configuration.models import ENGINE_PREFIX
from iac_ci_triggers.event import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MATRIX: Final = "matrix."

UNKNOWN_AXIS: Final = f"names {MATRIX}"
"""How the problem of a template begins whose axis the matrix does not have."""

VARIABLES: Final = {
    "pr.number": "PR_NUMBER",
    "sha": "SHA",
    "branch": "BRANCH",
    "base_branch": "BASE_BRANCH",
    "actor": "ACTOR",
    "command": "COMMAND",
    "target": "TARGET",
    "job": "JOB",
}
"""Every template but the matrix's, and the variable that holds the same; see ``variable``."""

_TEMPLATE: Final = re.compile(r"\{\{[ \t]*([A-Za-z_][A-Za-z0-9_.-]{0,127})[ \t]*\}\}")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")


class TemplateValues(Shape):
    """What is known when a job starts; what does not apply (the pull request of a push) is empty text."""

    pr_number: Annotated[int, Field(gt=0)] | None = None
    sha: Line = ""
    branch: Line = ""
    base_branch: Line = ""
    actor: Line = ""
    command: Line = ""
    target: Line = ""

    def named(self, job: str) -> dict[str, str]:
        """Return every value by its template's name, with the job that starts."""
        return {
            "pr.number": "" if self.pr_number is None else str(self.pr_number),
            "sha": self.sha,
            "branch": self.branch,
            "base_branch": self.base_branch,
            "actor": self.actor,
            "command": self.command,
            "target": self.target,
            "job": job,
        }


def matrix_values(combination: Mapping[str, str]) -> dict[str, str]:
    """Return a combination's values by their templates' names."""
    return {f"{MATRIX}{axis}": value for axis, value in combination.items()}


def variable(name: str) -> str:
    """Return the environment variable that holds what a template stands for."""
    if name.startswith(MATRIX):
        return f"{ENGINE_PREFIX}MATRIX_{name.removeprefix(MATRIX).upper()}"
    return f"{ENGINE_PREFIX}{VARIABLES[name]}"


def template_problems(text: str, allowed: frozenset[str], matrix: frozenset[str]) -> Iterator[str]:
    """Return what is wrong with the templates of a text; ``matrix`` are the names that the job's matrix gives.

    ``allowed`` are the others that may stand there.
    """
    told: set[str] = set()
    for name in _TEMPLATE.findall(text):
        if name in told or name in matrix or name in allowed:
            continue
        told.add(name)
        if name.startswith(MATRIX):
            axes = ", ".join(sorted(matrix)) or "none"
            yield f"{UNKNOWN_AXIS}{name.removeprefix(MATRIX)}, which this job's matrix does not have; it has {axes}"
        elif name in VARIABLES:
            yield f"cannot hold {name}, which comes from the pull request; only matrix values stand here"
        else:
            yield f"names {name}, which is unknown; known are {', '.join((*VARIABLES, *sorted(matrix)))}"
    if "{{" in _TEMPLATE.sub("", text):
        yield "has {{ that begins no template: write {{ name }}"


def command_problems(command: str) -> Iterator[str]:
    """Return which templates stand in a command, where a shell would read their values as commands."""
    for name in dict.fromkeys(_TEMPLATE.findall(command)):
        if name in VARIABLES or name.startswith(MATRIX):
            yield f'holds the template {name}; commands get no templates, use "${variable(name)}" in its place'


def substitute(text: str, values: Mapping[str, str], change: Callable[[str], str] = str) -> str:
    """Put values in place of templates, each as ``change`` gives it; names without a value stay."""

    def value(found: re.Match[str]) -> str:
        return change(values[found[1]]) if found[1] in values else found[0]

    return _TEMPLATE.sub(value, text)


def for_name(value: str) -> str:
    """Make text fit for a name: what names cannot hold becomes ``-``."""
    return _NOT_IN_NAMES.sub("-", value)
