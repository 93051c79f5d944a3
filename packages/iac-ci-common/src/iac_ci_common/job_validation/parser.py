"""Reads a request's body into a job: strictly, and as far as it goes, so that every problem is told at once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from iac_ci_common import limits
from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.models.job import Job, Order

MAX_PROBLEMS: Final = 200
"""Most problems that are listed; that there are more is said."""

MAX_FIELDS: Final = 1000
"""Most fields of one object: no part of a job takes more, and a million wrong ones would not fit into memory."""

_PASSES: Final = 3
"""How often one part is mended and read again: some problems show only when others are gone."""

_STAND_INS: Final = {
    "username": "stand-in",
    "job_timeout": limits.MAX_JOB_SECONDS,
    "cmds": ["true"],
    "timeout": 1,
    "git_repo": "https://stand-in.invalid/code",
    "commit_hash": "0" * 40,
    "s3_location": "s3://stand-in/code",
    "git_folder": "stand-in",
}
"""What a wrong field is taken for while the rest is checked; fields that are not here are taken as not given."""

_ITEMS: Final = {
    "cmds": "true",
    "dependencies": "stand-in",
    "ssm_paths": "/stand-in",
    "secret_manager_paths": "stand-in",
}
"""The same for items of lists, whose places must not move."""


@dataclass(slots=True)
class Draft:
    """A job as far as it can be read.

    ``problems`` are those that its parts show by themselves. ``job`` has stand-ins where they are, so that the whole
    can be checked too; None if there is nothing to check. ``mended`` says where the stand-ins are, ``nameless``
    whether an order's name is among them.
    """

    job: Job | None = None
    problems: list[Problem] = field(default_factory=list)
    mended: set[str] = field(default_factory=set)
    nameless: bool = False


def read_job(body: bytes) -> Job:
    """Read a job; raise ``InputProblems`` with every problem that its parts show by themselves."""
    draft = read_draft(body)
    if draft.problems or draft.job is None:
        raise InputProblems(limited(draft.problems))
    return draft.job


def read_draft(body: bytes) -> Draft:
    """Read a job as far as it goes; raise ``InputProblems`` if the body is no JSON object."""
    draft = Draft()
    content = _parse(body, draft)
    try:
        _read_parts(content, draft)
    except RecursionError:
        raise InputProblems([Problem("body", "is nested too deeply")]) from None
    return draft


def limited(problems: list[Problem]) -> list[Problem]:
    """Cut a list that nobody would read, and say so."""
    found = list(dict.fromkeys(problems))
    if len(found) <= MAX_PROBLEMS:
        return found
    return [*found[:MAX_PROBLEMS], Problem("job", f"has more problems; these are the first {MAX_PROBLEMS}")]


def _parse(body: bytes, draft: Draft) -> dict[str, Any]:
    """Parse JSON that means one thing only: a field that comes twice, or NaN, is noted, and the rest read on."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > MAX_FIELDS:
            raise ValueError(f"holds an object of more than {MAX_FIELDS} fields")
        if len(content := dict(pairs)) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            _note(draft, *(f"holds the field {name!r:.80} twice in one object" for name in counts if counts[name] > 1))
        return content

    def constant(name: str) -> None:
        _note(draft, f"holds {name}, which is no JSON number")

    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=members, parse_constant=constant)
    except UnicodeDecodeError:
        raise InputProblems([Problem("body", "is not UTF-8")]) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputProblems([Problem("body", f"is not JSON: {error.msg} at {where}")]) from None
    except RecursionError:
        raise InputProblems([Problem("body", "is nested too deeply")]) from None
    except ValueError as error:
        # Also Python's own, which refuses to read numbers of thousands of digits.
        raise InputProblems([Problem("body", str(error)[:300])]) from None
    if not isinstance(content, dict):
        raise InputProblems([*draft.problems, Problem("body", "is not a JSON object")])
    return content


def _note(draft: Draft, *problems: str) -> None:
    if len(draft.problems) <= MAX_PROBLEMS:
        draft.problems += [Problem("body", what) for what in problems]


def _read_parts(content: dict[str, Any], draft: Draft) -> None:
    """Read order after order, so that no more problems are kept than are told, and then the job around them."""
    given = content.get("orders")
    readable: list[Order] | None = None
    if isinstance(given, list) and given:
        readable = []
        for index, order in enumerate(given[: limits.MAX_ORDERS]):
            readable.append(_read_order(order, index, draft))
            if len(draft.problems) > MAX_PROBLEMS:
                return
        draft.nameless |= len(given) > limits.MAX_ORDERS
    around = dict(content)
    for _ in range(_PASSES):
        whole = readable + given[limits.MAX_ORDERS :] if readable is not None and isinstance(given, list) else given
        try:
            job = Job.model_validate(around if whole is None else around | {"orders": whole})
        except ValidationError as error:
            for location, problem in _problems_of(error):
                draft.problems.append(problem)
                if location[:1] == ("orders",):
                    given = readable
                else:
                    draft.mended.add(problem.where)
                    _mend(around, location)
            if readable is None:
                return
        else:
            draft.job = job
            return


def _read_order(content: Any, index: int, draft: Draft) -> Order:
    here = ("orders", index)
    for _ in range(_PASSES if isinstance(content, dict) else 1):
        try:
            return Order.model_validate(content)
        except ValidationError as error:
            for location, problem in _problems_of(error, here):
                draft.problems.append(problem)
                if location:
                    draft.mended.add(problem.where)
                    # An unknown field may be a name that was misspelt.
                    known = location[0] in Order.model_fields
                    draft.nameless |= not known or location[0] in {"order_name", "queue_id"}
                if isinstance(content, dict):
                    _mend(content, location)
    # Nothing to go by: another order stands in, and what would be said of it is not.
    draft.mended.add(_where(here))
    draft.nameless = True
    return Order(cmds=["true"], timeout=1)


def _mend(content: dict[str, Any], location: tuple[int | str, ...]) -> None:
    """Put a stand-in where the problem is, or take the field away."""
    if not location:
        # The one problem that a whole order shows: its target is named twice.
        content.pop("use_lambda", None)
        content.pop("execution_target", None)
        return
    name, inner = str(location[0]), location[1:]
    value = content.get(name)
    if inner and isinstance(value, list) and isinstance(inner[0], int) and name in _ITEMS:
        value[inner[0]] = _ITEMS[name]
    elif inner and isinstance(value, dict):
        value.pop(inner[0], None)
    elif name in _STAND_INS:
        content[name] = _STAND_INS[name]
    else:
        content.pop(name, None)


def _problems_of(
    error: ValidationError, prefix: tuple[int | str, ...] = ()
) -> list[tuple[tuple[int | str, ...], Problem]]:
    """Say pydantic's findings in the caller's terms. Values are not repeated: one may be a secret in a wrong place."""
    return [
        (entry["loc"], Problem(_where(prefix + entry["loc"]), _what(entry["type"], entry["msg"])))
        for entry in error.errors(include_url=False, include_context=False, include_input=False)
    ]


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
