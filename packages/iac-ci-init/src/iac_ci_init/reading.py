"""Reads a request's body into a job: strictly, and with every problem at once."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import ValidationError

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.models.job import Job

MAX_PROBLEMS: Final = 200
"""Most problems that are listed; how many more there are is said."""


def read_job(body: bytes) -> Job:
    """Read a job; raise ``InputProblems`` with every problem that its parts show by themselves."""
    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise InputProblems([Problem("body", "is not UTF-8")]) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputProblems([Problem("body", f"is not JSON: {error.msg} at {where}")]) from None
    except RecursionError:
        raise InputProblems([Problem("body", "is nested too deeply")]) from None
    except ValueError as error:
        raise InputProblems([Problem("body", str(error)[:300])]) from None
    if not isinstance(content, dict):
        raise InputProblems([Problem("body", "is not a JSON object")])
    try:
        return Job.model_validate(content)
    except ValidationError as error:
        raise InputProblems(problems_of(error)) from None
    except RecursionError:
        raise InputProblems([Problem("body", "is nested too deeply")]) from None


def problems_of(error: ValidationError) -> list[Problem]:
    """Say pydantic's findings in the caller's terms. Values are not repeated: one may be a secret in a wrong place."""
    found = list(
        dict.fromkeys(
            Problem(_where(entry["loc"]), _what(entry["type"], entry["msg"]))
            for entry in error.errors(include_url=False, include_context=False, include_input=False)
        )
    )
    return limited(found)


def limited(problems: list[Problem]) -> list[Problem]:
    """Cut a list that nobody would read, and say so."""
    if len(problems) <= MAX_PROBLEMS:
        return problems
    return [*problems[:MAX_PROBLEMS], Problem("job", f"has {len(problems) - MAX_PROBLEMS} more problems")]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"holds the field {twice!r:.80} twice in one object")
    return dict(pairs)


def _constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is no JSON number")


def _where(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if part == "[key]":
            continue
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part[:80]}"
    return text or "job"


def _what(kind: str, message: str) -> str:
    known = {
        "extra_forbidden": "is no field that iac-ci knows",
        "missing": "is missing",
    }
    return known.get(kind, message.removeprefix("Value error, ").removeprefix("Assertion failed, "))[:400]
