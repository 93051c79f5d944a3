"""The outputs of other orders that an order takes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TakenOutputs:
    """Variables with outputs of other orders, and the values among them that are to be masked."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    secret: tuple[str, ...] = field(default=(), repr=False)
