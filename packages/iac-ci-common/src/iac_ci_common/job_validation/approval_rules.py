"""Checks an order that waits for an approval: pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import Problem
from iac_ci_common.ids import order_num
from iac_ci_common.job_validation.problem_paths import problem_path
from iac_ci_common.validation_messages import OWN_CONDITION, needs_a_dependency, overrides_an_approval, unknown_order

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from pydantic import BaseModel

    from iac_ci_common.draft import Location
    from iac_ci_common.models.job import Job, Order

NOT_FOR_AN_APPROVAL: Final = "is not for an order with approval, which runs nothing; remove it"

NOBODY: Final = "names nobody who could answer; set by, or api"

LIKE_A_COMMIT: Final = "looks like a commit, which /iac-ci approve takes for one; use another name"

_ALLOWED: Final = frozenset({"order_name", "queue_id", "approval", "dependencies", "when"})
_COMMIT: Final = re.compile(r"[0-9a-fA-F]{7,64}")
_WHOLE: Final = (40, 64)


def looks_like_commit(text: str) -> bool:
    """Return whether people write such a text for a commit: all of its digits, or the first ones with a figure."""
    if _COMMIT.fullmatch(text) is None:
        return False
    return len(text) in _WHOLE or any(letter.isdigit() for letter in text)


def other_fields(order: BaseModel, allowed: Container[str]) -> Iterator[str]:
    """Yield the fields, except those ``allowed``, that have another value than their default."""
    for name, field in type(order).model_fields.items():
        if name not in allowed and getattr(order, name) != field.get_default(call_default_factory=True):
            yield name


def approval_findings(order: Order) -> Iterator[tuple[Location, str]]:
    """Yield the problems of an order that waits for an approval, each with its path below the order."""
    for name in other_fields(order, _ALLOWED):
        yield (name,), NOT_FOR_AN_APPROVAL
    if order.approval is not None and not order.approval.by and not order.approval.api:
        yield ("approval",), NOBODY
    if order.order_name is not None and looks_like_commit(order.order_name):
        yield ("order_name",), LIKE_A_COMMIT


def override_problems(job: Job, numbers: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of what approvals override; ``numbers`` are the orders' numbers by all their names."""
    for index, order in enumerate(job.orders):
        overrides = order.approval.overrides if order.approval is not None else []
        dependencies = {numbers.get(name) for name in order.dependencies} if overrides else set()
        for position, name in enumerate(overrides):
            num = numbers.get(name)
            if num is None:
                message = unknown_order(name)
            elif num == order_num(index):
                message = OWN_CONDITION
            elif num not in dependencies:
                message = needs_a_dependency(name)
            elif job.orders[int(num) - 1].approval is not None:
                message = overrides_an_approval(name)
            else:
                continue
            yield Problem(problem_path(("orders", index, "approval", "overrides", position)), message)
