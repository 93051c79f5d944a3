"""Checks whether a stack accepts a job: pure. All problems are reported at once, in a fixed order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.initial_rows import order_name
from iac_ci_common.job_validation.json_body import parse_body
from iac_ci_common.job_validation.output_rules import FIXED_VARIABLE, FORM, NOT_A_VARIABLE
from iac_ci_common.job_validation.parser import JobDraft, limited, read_job_draft
from iac_ci_common.job_validation.problem_paths import enclosing_paths
from iac_ci_common.job_validation.rules import problems
from iac_ci_common.validation_messages import IS_ABOUT, NEVER_HOLDS, TAKES_FROM, UNKNOWN_ORDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iac_ci_common.job_validation.rules import Rules
    from iac_ci_common.models.job import Job

_CAUSES: Final = (
    (TAKES_FROM, "dependencies"),
    (IS_ABOUT, "dependencies"),
    (NOT_A_VARIABLE, "env_vars"),
    (FORM, "verbatim"),
    (FIXED_VARIABLE, "verbatim"),
)
"""Beginnings of messages about an order, each with another field of it whose stand-in may cause the problem."""

_ORDER = re.compile(r"[^\[\].]+\[([0-9]+)\]")


def check_job(body: bytes, rules: Rules, also: Sequence[Problem] = (), *, code: str | None = None) -> Job:
    """Return the job of a request's body.

    ``also`` are problems of the rest of the request. ``code`` is the ``s3_location`` for orders that name no code, if
    a folder is sent with the job. Raises ``InputProblems`` with all problems of the body, its fields and the whole job:
    first the job's, then each order's.
    """
    content, found = parse_body(body)
    if code is not None:
        fill_code(content, code)
    return _checked(content, rules, [*also, *found])


def check_fields(fields: Mapping[str, Any], rules: Rules) -> Job:
    """Return the job of fields that the engine built; ``orders`` may contain ``Order``.

    Raises ``InputProblems`` as ``check_job`` does.
    """
    return _checked(dict(fields), rules, [])


def fill_code(content: dict[str, Any], location: str) -> list[int]:
    """Set ``s3_location`` in every order that runs and names no code, unless the job names a repository.

    Returns the indexes of those orders.
    """
    orders = content.get("orders")
    if "git_repo" in content or not isinstance(orders, list):
        return []
    filled = [
        index
        for index, order in enumerate(orders)
        if isinstance(order, dict) and not {"git_repo", "s3_location", "approval"} & order.keys()
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
    """Return the index of the order that a problem is about, -1 for problems of the job."""
    match = _ORDER.match(problem.where)
    return int(match[1]) if match else -1


def _is_real(problem: Problem, draft: JobDraft) -> bool:
    """Return whether the input has a problem of the whole job, not a stand-in that replaces an unreadable value."""
    if draft.has_unknown_names and problem.what.startswith(UNKNOWN_ORDER):
        return False
    if (cause := next((field for start, field in _CAUSES if problem.what.startswith(start)), None)) is not None:
        field = f"orders[{_order_of(problem)}].{cause}"
        if any(field in enclosing_paths(path) for path in draft.replaced):
            return False
    if problem.what.startswith(NEVER_HOLDS) and _has_replaced_commands(problem, draft):
        return False
    return not any(path in draft.replaced for path in enclosing_paths(problem.where))


def _has_replaced_commands(condition: Problem, draft: JobDraft) -> bool:
    """Return whether commands of the order that a condition names could not be read."""
    name = condition.where.rpartition(".")[2]
    orders = draft.job.orders if draft.job is not None else []
    beginnings = tuple(
        f"orders[{index}].cmds"
        for index, order in enumerate(orders)
        if name in {order_name(order, index), order.queue_id}
    )
    return any(path.startswith(beginnings) for path in draft.replaced)


def _as_written(problem: Problem, draft: JobDraft) -> Problem:
    """Return a problem with its path in the input, which may use a synonym for a field's name."""
    for path in reversed(enclosing_paths(problem.where)):
        if path in draft.renamed:
            return Problem(draft.renamed[path] + problem.where[len(path) :], problem.what)
    return problem
