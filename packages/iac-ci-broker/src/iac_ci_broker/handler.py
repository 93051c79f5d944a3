"""The Lambda handler: a worker invokes it with a trade and waits for the answer."""

from __future__ import annotations

from typing import Any

from iac_ci_common.initialisation import build_early
from iac_ci_common.models.trade import Trade
from iac_ci_common.tick import is_tick


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer a trade; a refusal is an answer. Errors are raised, and the worker sends the same trade again."""
    del context
    if is_tick(event):
        # It only keeps the function active.
        return {"active": True}
    from iac_ci_broker.wiring import broker

    return broker().trade(Trade.from_stored(event)).model_dump(mode="json", exclude_none=True)


def _build() -> None:
    from iac_ci_broker.wiring import broker

    broker()


build_early(_build)
