"""Whether a request's body is a job that this stack accepts: pure. Everything that is wrong is told at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.job_validation.parser import Draft, limited, read_draft
from iac_ci_common.job_validation.rules import UNKNOWN_DEPENDENCY, Rules, problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.job import Job

_STEP = re.compile(r"\.|(?=\[)")


def check_job(body: bytes, rules: Rules, also: Sequence[Problem] = ()) -> Job:
    """Read and check a job; raise ``InputProblems`` with what is wrong in its parts, in the whole, and ``also``."""
    draft = read_draft(body)
    found = [*also, *draft.problems]
    if draft.job is not None:
        found += [problem for problem in problems(draft.job, rules) if _is_real(problem, draft)]
    if found or draft.job is None:
        raise InputProblems(limited(found))
    return draft.job


def _is_real(problem: Problem, draft: Draft) -> bool:
    """Return whether a problem of the whole is the caller's, not one of a stand-in."""
    if draft.nameless and problem.what.endswith(UNKNOWN_DEPENDENCY):
        return False
    where = ""
    for step in _STEP.split(problem.where):
        where += step if step.startswith("[") or not where else f".{step}"
        if where in draft.mended:
            return False
    return True
