"""TransactWriteItems in calls of a hundred items, in which a failed condition of one group does not stop the others."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import PortFailed, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_ITEMS: Final = 100
"""Most items in one transaction (Amazon DynamoDB Developer Guide, "TransactWriteItems")."""

_TRANSIENT: Final = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"}
)
"""Reasons after which a retry can succeed; all others (an item too large, a value of the wrong type) repeat
(Amazon DynamoDB API Reference, "TransactWriteItems")."""

_ATTEMPTS: Final = 8
_FIRST_WAIT_SECONDS: Final = 0.05

Group = list[dict[str, Any]]
"""Writes that happen together or not at all."""


def write(
    client: Any,
    groups: Sequence[Group],
    *,
    condition: dict[str, Any] | None = None,
    whole: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> list[int]:
    """Write all groups, as many as fit into one call; return the indexes of the groups whose condition failed.

    DynamoDB cancels the whole transaction if one condition fails, so the refused groups are removed and the others are
    written again. With ``whole``, all groups of that call and of those after it are refused instead. With
    ``condition``, a check of another item, all groups are refused while it fails. If another transaction holds an item,
    the call waits and retries, with jitter. Raises ``Throttled`` after the last retry, and ``PortFailed`` if a retry
    cannot succeed.
    """
    refused: list[int] = []
    common = [condition] if condition is not None else []
    for batch in _batches(groups, MAX_ITEMS - len(common)):
        if whole and refused:
            refused += batch
        else:
            refused += _write_batch(client, groups, batch, common, wait, whole=whole)
    return refused


def _batches(groups: Sequence[Group], most: int) -> list[list[int]]:
    batches: list[list[int]] = []
    free = 0
    for index, group in enumerate(groups):
        if len(group) > free:
            batches.append([])
            free = most
        batches[-1].append(index)
        free -= len(group)
    return batches


def _write_batch(
    client: Any, groups: Sequence[Group], batch: list[int], common: Group, wait: Callable[[float], None], *, whole: bool
) -> list[int]:
    refused: list[int] = []
    left = batch
    attempt = 0
    while left:
        reasons = _try(client, [*(entry for index in left for entry in groups[index]), *common])
        if reasons is None:
            return refused
        if common and reasons[-1] == "ConditionalCheckFailed":
            return refused + left
        failed = _groups_with(groups, left, reasons, "ConditionalCheckFailed")
        if failed and whole:
            return batch
        if failed:
            refused += failed
            left = [index for index in left if index not in failed]
            continue
        permanent = sorted(set(reasons) - _TRANSIENT)
        if permanent:
            raise PortFailed(f"a transaction of {len(left)} writes was refused: {', '.join(permanent)}")
        attempt += 1
        if attempt == _ATTEMPTS:
            raise Throttled(
                f"a transaction of {len(left)} writes was cancelled {attempt} times: {sorted(set(reasons))}"
            )
        wait(_FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter
    return refused


def _try(client: Any, entries: Group) -> list[str] | None:
    """Write one transaction; return None if it was written, else the reason for each entry."""
    from botocore.exceptions import ClientError

    with aws_errors(f"writing {len(entries)} items together"):
        try:
            # botocore sends the same ClientRequestToken with each of its retries, so a lost answer does not become
            # a failed condition.
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
