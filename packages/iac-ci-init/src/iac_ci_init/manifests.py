"""The parts of manifests that name other orders: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.initial_rows import dependency_numbers, order_name
from iac_ci_common.models.commands import SUCCESS, ok_codes
from iac_ci_common.models.manifest import ManifestFiles, ManifestOutput, ManifestPlan

if TYPE_CHECKING:
    from iac_ci_common.models.job import Job, Order


def manifest_outputs(job: Job, order: Order) -> dict[str, ManifestOutput]:
    """Return the outputs that the variables of an order take."""
    taken = order.taken_outputs()
    if not taken:
        return {}
    names = _named(job)
    return {
        variable: ManifestOutput(order_num=names[found.order][0], order_name=names[found.order][1], output=found.output)
        for variable, found in taken.items()
    }


def manifest_codes(order: Order) -> tuple[tuple[int, ...], ...] | None:
    """Return the exit codes that are a success of each command, None if 0 is for every one."""
    codes = tuple(map(ok_codes, order.cmds))
    return None if all(found == SUCCESS for found in codes) else codes


def manifest_plan(order: Order) -> ManifestPlan | None:
    """Return the plan that an order's commands write, None if they write none."""
    plan = order.plan
    if plan is None:
        return None
    return ManifestPlan(file=plan.file, tool=plan.tool, workspace=plan.workspace, json_file=plan.json_file)


def manifest_files(job: Job, order: Order) -> tuple[ManifestFiles, ...]:
    """Return the files of other orders that an order restores."""
    if not order.restore:
        return ()
    names = _named(job)
    return tuple(
        ManifestFiles(
            order_num=names[wanted.order][0],
            order_name=names[wanted.order][1],
            files=tuple(wanted.files),
            folder=wanted.folder,
            overwrite=wanted.overwrite,
        )
        for wanted in order.restore
    )


def _named(job: Job) -> dict[str, tuple[str, str]]:
    """Return number and name of the order that each name or queue id means."""
    numbers = dependency_numbers(job.orders)
    return {name: (num, order_name(job.orders[int(num) - 1], int(num) - 1)) for name, num in numbers.items()}
