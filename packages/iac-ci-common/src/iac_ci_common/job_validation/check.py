"""Whether a job is one that a stack accepts: pure. Everything that is wrong is reported at once, in one order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.job_validation.json_body import parse_body
from iac_ci_common.job_validation.parser import JobDraft, limited, read_job_draft
from iac_ci_common.job_validation.places import places
from iac_ci_common.job_validation.rules import problems
from iac_ci_common.validation_messages import UNKNOWN_ORDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.job_validation.rules import Rules
    from iac_ci_common.models.job import Job

_ORDER = re.compile(r"[^\[\].]+\[([0-9]+)\]")


def check_job(body: bytes, rules: Rules, also: Sequence[Problem] = (), *, code: str | None = None) -> Job:
    """Return the job of a request's body.

    ``also`` are problems of the request around it; ``code`` is the ``s3_location`` of orders that name no code, where
    a folder is sent with the job. Raises ``InputProblems`` with everything that is wrong in the body, its parts and
    the whole: what concerns the job first, then order by order.
    """
    content, found = parse_body(body)
    if code is not None:
        fill_code(content, code)
    return _checked(content, rules, [*also, *found])


def check_fields(fields: Mapping[str, Any], rules: Rules) -> Job:
    """Return the job of fields that the engine itself put together; ``orders`` may hold ``Order``.

    Raises ``InputProblems`` as ``check_job`` does.
    """
    return _checked(dict(fields), rules, [])


def fill_code(content: dict[str, Any], location: str) -> list[int]:
    """Set ``s3_location`` in every order that has no code of its own, unless the job names a repository.

    Returns the indexes of those orders.
    """
    orders = content.get("orders")
    if "git_repo" in content or not isinstance(orders, list):
        return []
    filled = [
        index
        for index, order in enumerate(orders)
        if isinstance(order, dict) and not {"git_repo", "s3_location"} & order.keys()
    ]
    for index in filled:
        orders[index]["s3_location"] = location
    return filled


def _checked(content: dict[str, Any], rules: Rules, found: list[Problem]) -> Job:
    draft = read_job_draft(content, found)
    every = list(draft.problems)
    if draft.job is not None:
        every += [_as_written(problem, draft) for problem in problems(draft.job, rules) if _is_real(problem, draft)]
    if every or draft.job is None:
        raise InputProblems(limited(sorted(every, key=_order_of)))
    return draft.job


def _order_of(problem: Problem) -> int:
    """Return the index of the order that a problem is about, -1 for the job's own; the sort keeps what is equal."""
    found = _ORDER.match(problem.where)
    return int(found[1]) if found else -1


def _is_real(problem: Problem, draft: JobDraft) -> bool:
    """Return whether a problem of the whole is the sender's, not one of a stand-in."""
    if draft.nameless and problem.what.startswith(UNKNOWN_ORDER):
        return False
    return not any(place in draft.mended for place in places(problem.where))


def _as_written(problem: Problem, draft: JobDraft) -> Problem:
    """Return a problem at the place that the sender wrote, who may have used another word for a field."""
    for place in reversed(places(problem.where)):
        if place in draft.renamed:
            return Problem(draft.renamed[place] + problem.where[len(place) :], problem.what)
    return problem
