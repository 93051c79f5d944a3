"""Puts the text of plans together, masked, in the order in which people should see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.limits import PLAN_TEXT_BYTES
from iac_ci_common.models.plan_text import PlannedResource, PlanText
from iac_ci_plans.blocks import RISKY, as_diff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iac_ci_plans.blocks import Block
    from iac_ci_plans.steps import Step
    from iac_ci_plans.unit import Log

_REACH_CHARS: Final = 1024
"""How much is left out before a cut: the beginning of a secret cannot be found without its end."""

_LAST: Final = ("outputs",)
_MAX_ADDRESS_CHARS: Final = 500


def plan_text(steps: Sequence[Step], log: Log, mask: Callable[[str], str]) -> PlanText | None:
    """Return the text of the steps, None if there is neither a resource nor a warning."""
    several = len({step.unit for step in steps}) > 1
    blocks = [(step, block) for step in _shown(steps) for block in step.blocks]
    blocks.sort(key=lambda pair: (pair[1].action not in RISKY, pair[1].action in _LAST))
    room = PLAN_TEXT_BYTES
    resources: list[PlannedResource] = []
    left_out = log.room.left_out
    for step, block in blocks:
        unit = f"[{_readable(step.unit)}] " if several and step.unit else ""
        resource = _resource(block, unit, mask)
        room -= len(resource.text.encode()) + len(resource.address.encode()) + 100
        if room < 0:
            left_out += 1
            continue
        resources.append(resource)
    warnings = tuple(_one_line(mask(_readable(text))) for text in log.warnings)
    if not resources and not warnings and not left_out:
        return None
    return PlanText(resources=tuple(resources), left_out=left_out, warnings=warnings)


def _shown(steps: Sequence[Step]) -> list[Step]:
    """Return the steps without an apply's own copy of a plan that was printed before."""
    shown: list[Step] = []
    for step in steps:
        again = step.mark and any(one.unit == step.unit and one.mark == step.mark for one in shown)
        if not (again and (step.applied is not None or step.done)):
            shown.append(step)
    return shown


def _resource(block: Block, unit: str, mask: Callable[[str], str]) -> PlannedResource:
    text = mask(_printable(block.text()))
    if block.cut:
        text = text[:-_REACH_CHARS] if len(text) > _REACH_CHARS else ""
        text = text[: text.rfind("\n") + 1] + "… (the rest of this resource is not shown)"
    address = _one_line(mask(_readable(block.address)))[:_MAX_ADDRESS_CHARS]
    return PlannedResource(address=f"{unit}{address}", action=block.action, text=as_diff(text))


def _readable(data: bytes) -> str:
    return _printable(data.decode("utf-8", "replace"))


def _one_line(text: str) -> str:
    return text.replace("\n", " ")


def _printable(text: str) -> str:
    """Replace control characters, which JSON would write with six bytes each."""
    return "".join(char if char >= " " or char in "\n\t" else "\ufffd" for char in text)
