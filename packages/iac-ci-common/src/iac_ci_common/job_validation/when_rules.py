"""Checks the conditions under which orders run: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import Problem
from iac_ci_common.ids import order_num
from iac_ci_common.job_validation.problem_paths import problem_path
from iac_ci_common.models.commands import may_change
from iac_ci_common.validation_messages import OWN_CONDITION, needs_a_dependency, never_changed, unknown_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iac_ci_common.models.job import Job


def when_problems(job: Job, numbers: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of every ``when``; ``numbers`` are the orders' numbers by all their names."""
    for index, order in enumerate(job.orders):
        dependencies = {numbers.get(name) for name in order.dependencies} if order.when else set()
        for name in order.when:
            num = numbers.get(name)
            if num is None:
                message = unknown_order(name)
            elif num == order_num(index):
                message = OWN_CONDITION
            elif num not in dependencies:
                message = needs_a_dependency(name)
            elif not any(map(may_change, job.orders[int(num) - 1].cmds)):
                message = never_changed(name)
            else:
                continue
            yield Problem(problem_path(("orders", index, "when", name)), message)
