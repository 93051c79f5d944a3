"""The trace context of a run and its orders in the form of W3C Trace Context; pure."""

from __future__ import annotations

import hashlib
from typing import Final

from iac_ci_common.ids import RUN_ORDER_NUM, check_order_num, check_run_id, check_trace_id

_VERSION: Final = "00"
_SAMPLED: Final = "01"


def w3c_trace_id(trace_id: str) -> str:
    """Return the trace id of a run with the 32 digits of W3C: 16 zeros before its own 16.

    The recommendation describes this for systems with shorter ids ("Handling trace-id for compliant platforms with
    shorter internal identifiers").
    """
    return check_trace_id(trace_id).zfill(32)


def span_id(run_id: str, order_num: str = RUN_ORDER_NUM) -> str:
    """Return the id of an order's span, or of the run's: 16 digits of the SHA-256 of ``<run_id>/<order_num>``."""
    return hashlib.sha256(f"{check_run_id(run_id)}/{check_order_num(order_num)}".encode()).hexdigest()[:16]


def traceparent(trace_id: str, run_id: str, order_num: str = RUN_ORDER_NUM) -> str:
    """Return the header ``traceparent`` of what an order, or the run, calls. Raise ``ValueError`` for other ids."""
    return f"{_VERSION}-{w3c_trace_id(trace_id)}-{span_id(run_id, order_num)}-{_SAMPLED}"
