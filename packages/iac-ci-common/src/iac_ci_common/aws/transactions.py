"""TransactWriteItems, a hundred items a call, in which an item that no longer fits does not hold up the others."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import PortFailed, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_ITEMS: Final = 100
"""Items in one transaction (Amazon DynamoDB Developer Guide, "TransactWriteItems")."""

_PASSING: Final = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"}
)
"""Reasons that pass by themselves; all others (an item too large, a value of the wrong kind) come back every time
(Amazon DynamoDB API Reference, "TransactWriteItems")."""

_ATTEMPTS: Final = 8
_FIRST_WAIT_SECONDS: Final = 0.05

Group = list[dict[str, Any]]
"""Writes that happen together or not at all."""


def write(client: Any, groups: Sequence[Group], *, wait: Callable[[float], None] = time.sleep) -> list[int]:
    """Write all groups, as many as fit in one call together; return the indexes of those whose condition failed.

    A transaction is cancelled as a whole when one condition fails, so the refused groups are taken out and the rest is
    written again. Items that another transaction holds at this moment are waited for, with jitter; ``Throttled`` is
    raised when that does not end, and ``PortFailed`` where waiting cannot help.
    """
    refused: list[int] = []
    for batch in _batches(groups):
        refused += _write_batch(client, groups, batch, wait)
    return refused


def _batches(groups: Sequence[Group]) -> list[list[int]]:
    batches: list[list[int]] = []
    room = 0
    for index, group in enumerate(groups):
        if len(group) > room:
            batches.append([])
            room = MAX_ITEMS
        batches[-1].append(index)
        room -= len(group)
    return batches


def _write_batch(client: Any, groups: Sequence[Group], batch: list[int], wait: Callable[[float], None]) -> list[int]:
    refused: list[int] = []
    left = batch
    attempt = 0
    while left:
        reasons = _try(client, [entry for index in left for entry in groups[index]])
        if reasons is None:
            return refused
        failed = _groups_with(groups, left, reasons, "ConditionalCheckFailed")
        if failed:
            refused += failed
            left = [index for index in left if index not in failed]
            continue
        lasting = sorted(set(reasons) - _PASSING)
        if lasting:
            raise PortFailed(f"a transaction of {len(left)} writes was refused: {', '.join(lasting)}")
        attempt += 1
        if attempt == _ATTEMPTS:
            raise Throttled(
                f"a transaction of {len(left)} writes was cancelled {attempt} times: {sorted(set(reasons))}"
            )
        wait(_FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter
    return refused


def _try(client: Any, entries: Group) -> list[str] | None:
    """Write one transaction; None if it was written, else the reason for each entry."""
    from botocore.exceptions import ClientError

    with aws_errors(f"writing {len(entries)} items together"):
        try:
            # botocore sends the same ClientRequestToken with each of its own retries, so an answer that was lost
            # does not turn into a failed condition.
            client.transact_write_items(TransactItems=entries)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "TransactionCanceledException":
                raise
            reasons: Any = error.response.get("CancellationReasons", [])
            return [str(reason.get("Code", "None")) for reason in reasons]
    return None


def _groups_with(groups: Sequence[Group], left: list[int], reasons: list[str], code: str) -> list[int]:
    found: list[int] = []
    position = 0
    for index in left:
        size = len(groups[index])
        if code in reasons[position : position + size]:
            found.append(index)
        position += size
    return found
