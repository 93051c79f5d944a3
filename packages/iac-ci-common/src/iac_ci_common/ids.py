"""The four identifiers of the engine: only this module makes, checks and parses them.

All of them become part of object keys, table keys, resource names and log lines, so values from outside go
through the ``check_*`` functions, which refuse slashes, dots and control characters.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Final

from iac_ci_common.limits import MAX_ORDERS

RUN_ORDER_NUM: Final = "0000"
"""The order number of the run itself."""

DRIFT_EVENT_NAME: Final = "_drift"
"""Name of the events about what drift runs found, by which the index lists them."""

JOB_EVENT_NAME: Final = "_job"
"""The ``order_name`` of events of the whole run; names of orders cannot begin with an underscore."""


_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{12}")
_TRACE_ID = re.compile(r"[0-9a-f]{16}")
_ORDER_NUM = re.compile(r"[0-9]{4}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def new_run_id(now: datetime) -> str:
    """Return a new run id: sortable and unguessable, the UTC second and 48 random bits."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"


def accepted_at(run_id: str) -> datetime:
    """Return the second in which a run got its id; raise ``ValueError`` for an id of no moment."""
    return datetime.strptime(check_run_id(run_id).partition("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


def last_in_second(run_id: str) -> str:
    """Return the id that sorts behind all others of the same second; raise ``ValueError`` for no run id."""
    return f"{check_run_id(run_id).partition('-')[0]}-{'f' * 12}"


def new_trace_id() -> str:
    """Return a new trace id: 64 random bits in hexadecimal, one for the whole run."""
    return secrets.token_hex(8)


def flow_id(username: str, trace_id: str, flow_label: str) -> str:
    """Return the flow id ``<username>:<trace_id>-<flow_label>``. Raise ``ValueError`` for a part that is not valid."""
    return f"{check_name(username, 'username')}:{check_trace_id(trace_id)}-{check_name(flow_label, 'flow_label')}"


def order_num(index: int) -> str:
    """Return the number of the order at ``index`` (from 0) of the job: ``0001``, ``0002``, … Raise ``ValueError``."""
    if not 0 <= index < MAX_ORDERS:
        raise ValueError(f"order index {index} is not between 0 and {MAX_ORDERS - 1}")
    return f"{index + 1:04d}"


def check_run_id(value: str) -> str:
    """Return ``value`` if it is a run id, else raise ``ValueError``."""
    return _check(_RUN_ID, value, "run id")


def check_trace_id(value: str) -> str:
    """Return ``value`` if it is a trace id, else raise ``ValueError``."""
    return _check(_TRACE_ID, value, "trace id")


def check_order_num(value: str) -> str:
    """Return ``value`` if it is an order number (``0000`` is the run itself), else raise ``ValueError``."""
    _check(_ORDER_NUM, value, "order number")
    if int(value) > MAX_ORDERS:
        raise ValueError(f"order number {value} is above {MAX_ORDERS}")
    return value


def check_name(value: str, field: str = "name") -> str:
    """Return ``value`` if it is a name: 1 to 128 letters, digits, ``_`` or ``-``, the first a letter or digit.

    ``field`` names the value in the error. Raises ``ValueError`` otherwise.
    """
    return _check(_NAME, value, field)


def _check(pattern: re.Pattern[str], value: str, kind: str) -> str:
    # fullmatch: `$` would accept a trailing newline.
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise ValueError(f"{value!r:.80} is not a valid {kind} ({pattern.pattern})")
    return value
