"""Checks the outputs and files that orders take of others: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import Problem
from iac_ci_common.ids import order_num
from iac_ci_common.limits import MAX_TAKEN_ORDERS
from iac_ci_common.order_outputs import can_be_taken, looks_like_reference, reference
from iac_ci_common.validation_messages import OWN_FILES, OWN_OUTPUT, not_a_dependency, saves_nothing, unknown_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iac_ci_common.models.job import Job, Order

FORM: Final = "must be one whole template, {{ orders.NAME.OUTPUT }}, without other text"

FIXED_VARIABLE: Final = (
    "cannot come from another order's output, because programs read this variable as a setting; use another name"
)

NOT_A_VARIABLE: Final = "is not in env_vars"


def output_problems(job: Job, numbers: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of everything that orders take; ``numbers`` are the orders' numbers by all their names."""
    for index, order in enumerate(job.orders):
        for variable, finding in variable_findings(order.env_vars, order.verbatim):
            yield Problem(f"orders[{index}].env_vars.{variable}", finding)
        taken = order.taken_outputs()
        for variable, found in taken.items():
            if message := _not_to_take(found.order, index, order, numbers, OWN_OUTPUT):
                yield Problem(f"orders[{index}].env_vars.{variable}", message)
        for position, restore in enumerate(order.restore):
            message = _not_to_take(restore.order, index, order, numbers, OWN_FILES)
            if message is None and not job.orders[int(numbers[restore.order]) - 1].save:
                message = saves_nothing(restore.order)
            if message is not None:
                yield Problem(f"orders[{index}].restore[{position}].order", message)
        names = {found.order for found in taken.values()} | {restore.order for restore in order.restore}
        if len(names) > MAX_TAKEN_ORDERS:
            yield Problem(f"orders[{index}]", f"takes from more than {MAX_TAKEN_ORDERS} orders")
        yield from _verbatim_problems(index, order)


def _not_to_take(name: str, index: int, order: Order, numbers: Mapping[str, str], own: str) -> str | None:
    """Return why an order cannot take something of the order ``name``, None if it can."""
    num = numbers.get(name)
    if num is None:
        return unknown_order(name)
    if num == order_num(index):
        return own
    if num not in {numbers.get(dependency) for dependency in order.dependencies}:
        return not_a_dependency(name)
    return None


def variable_findings(env_vars: Mapping[str, str], verbatim: list[str]) -> Iterator[tuple[str, str]]:
    """Yield variables whose template has another form, or which may not come from an output, and the problem."""
    for variable, text in env_vars.items():
        if variable in verbatim or not looks_like_reference(text):
            continue
        if reference(text) is None:
            yield variable, FORM
        if not can_be_taken(variable):
            yield variable, FIXED_VARIABLE


def _verbatim_problems(index: int, order: Order) -> Iterator[Problem]:
    for position, variable in enumerate(order.verbatim):
        if variable not in order.env_vars:
            yield Problem(f"orders[{index}].verbatim[{position}]", NOT_A_VARIABLE)
