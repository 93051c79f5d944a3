"""The state machine of orders and runs: pure tables, nothing else.

``queued → dispatching → running → succeeded | failed | timed_out | cancelled`` and ``queued → skipped | cancelled``.
A result may arrive before the row shows ``running`` (the worker can finish before the orchestrator records that it
started it), so ``dispatching`` may also change directly to a terminal state.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from iac_ci_common.errors import IllegalTransition


class OrderState(StrEnum):
    """The state of an order."""

    QUEUED = "queued"
    DISPATCHING = "dispatching"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class RunState(StrEnum):
    """The state of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


_ENDS: Final = frozenset({OrderState.SUCCEEDED, OrderState.FAILED, OrderState.TIMED_OUT, OrderState.CANCELLED})

TERMINAL: Final = _ENDS | {OrderState.SKIPPED}
"""States that an order never leaves."""

OPEN: Final = frozenset({OrderState.DISPATCHING, OrderState.RUNNING})
"""States in which a worker may exist."""

REPORTABLE: Final = _ENDS
"""States that a result may report."""

RUN_TERMINAL: Final = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED})
"""States that a run never leaves."""

ORDER_TRANSITIONS: Final = MappingProxyType(
    {
        OrderState.QUEUED: frozenset({OrderState.DISPATCHING, OrderState.SKIPPED, OrderState.CANCELLED}),
        OrderState.DISPATCHING: _ENDS | {OrderState.RUNNING, OrderState.QUEUED},
        OrderState.RUNNING: _ENDS | {OrderState.QUEUED},
        OrderState.SUCCEEDED: frozenset[OrderState](),
        OrderState.FAILED: frozenset[OrderState](),
        OrderState.TIMED_OUT: frozenset[OrderState](),
        OrderState.CANCELLED: frozenset[OrderState](),
        OrderState.SKIPPED: frozenset[OrderState](),
    }
)
"""The whole table of transitions of an order.

It is queued again if its worker ended and had not claimed it, or if its attempt failed and its author wants another.
"""

RUN_TRANSITIONS: Final = MappingProxyType(
    {
        RunState.QUEUED: RUN_TERMINAL | {RunState.RUNNING},
        RunState.RUNNING: RUN_TERMINAL,
        RunState.SUCCEEDED: frozenset[RunState](),
        RunState.FAILED: frozenset[RunState](),
        RunState.TIMED_OUT: frozenset[RunState](),
        RunState.CANCELLED: frozenset[RunState](),
    }
)
"""The whole table of transitions of a run."""


def check_order_transition(before: OrderState, after: OrderState) -> None:
    """Raise ``IllegalTransition`` unless an order may change from ``before`` to ``after``."""
    if after not in ORDER_TRANSITIONS[before]:
        raise IllegalTransition(f"an order cannot change from {before} to {after}")


def check_run_transition(before: RunState, after: RunState) -> None:
    """Raise ``IllegalTransition`` unless a run may change from ``before`` to ``after``."""
    if after not in RUN_TRANSITIONS[before]:
        raise IllegalTransition(f"a run cannot change from {before} to {after}")
