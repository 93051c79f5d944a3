"""Replaces templates ``{{ name }}`` by values: names are from a fixed list, values are text, nothing is evaluated.

The author of a pull request chooses the values. They are substituted once, so that a value that looks like a template
is not replaced, and only in environment variables, which no shell parses. Commands use these variables.
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

UNKNOWN_AXIS: Final = "has a template with an axis"
"""Beginning of the message about a template with an unknown axis of the matrix."""

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
"""Every template except the matrix's, and its environment variable; see ``variable``."""

_TEMPLATE: Final = re.compile(r"\{\{[ \t]*([A-Za-z_][A-Za-z0-9_.-]{0,127})[ \t]*\}\}")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")


class TemplateValues(Shape):
    """The templates' values for a start of a job; values that do not apply (a push's pull request) are empty."""

    pr_number: Annotated[int, Field(gt=0)] | None = None
    sha: Line = ""
    branch: Line = ""
    base_branch: Line = ""
    actor: Line = ""
    command: Line = ""
    target: Line = ""

    def named(self, job: str) -> dict[str, str]:
        """Return every value, and the name of the job, by the template's name."""
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
    """Return the environment variable with a template's value."""
    if name.startswith(MATRIX):
        return f"{ENGINE_PREFIX}MATRIX_{name.removeprefix(MATRIX).upper()}"
    return f"{ENGINE_PREFIX}{VARIABLES[name]}"


def template_problems(text: str, allowed: frozenset[str], matrix: frozenset[str]) -> Iterator[str]:
    """Yield the problems of a text's templates; ``matrix`` are the names of the job's matrix.

    ``allowed`` are the other names that the text may contain.
    """
    names = (name for name in _TEMPLATE.findall(text) if name not in matrix and name not in allowed)
    yield from dict.fromkeys(_template_problem(name, matrix) for name in names)
    if "{{" in _TEMPLATE.sub("", text):
        yield "has {{ without a template; write {{ name }}"


def _template_problem(name: str, matrix: frozenset[str]) -> str:
    """Return the problem of a template; only a known name is repeated, because another may be a secret."""
    if name.startswith(MATRIX):
        return f"{UNKNOWN_AXIS} that this job's matrix does not have; it has {', '.join(sorted(matrix)) or 'none'}"
    if name in VARIABLES:
        return f"cannot contain {name}, which comes from the pull request; only matrix values are allowed"
    return f"has a template with an unknown name; known names are {', '.join((*VARIABLES, *sorted(matrix)))}"


def command_problems(command: str) -> Iterator[str]:
    """Yield the problems of templates in a command, where a shell would run their values."""
    for name in dict.fromkeys(_TEMPLATE.findall(command)):
        if name in VARIABLES or name.startswith(MATRIX):
            yield f'contains the template {name}, which commands do not support; use "${variable(name)}" instead'


def substitute(text: str, values: Mapping[str, str], change: Callable[[str], str] = str) -> str:
    """Return text with templates replaced by ``change(value)``; names without a value stay."""

    def value(found: re.Match[str]) -> str:
        return change(values[found[1]]) if found[1] in values else found[0]

    return _TEMPLATE.sub(value, text)


def for_name(value: str) -> str:
    """Return text as part of a name: other characters than letters, digits, ``_`` and ``-`` become ``-``."""
    return _NOT_IN_NAMES.sub("-", value)
