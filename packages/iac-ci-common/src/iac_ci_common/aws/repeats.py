"""Repeats calls of AWS that are refused for a moment and that botocore itself does not repeat.

botocore's standard retries know throttling, lost connections and faults of a service. They do not know a write that met
another one, and a permission that is on its way.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.new_permissions import may_be_on_the_way

if TYPE_CHECKING:
    from collections.abc import Callable

_CONFLICTS: Final = frozenset(
    {
        # Two conditional writes of one object at once (Amazon S3 API Reference, "PutObject").
        "ConditionalRequestConflict",
        # A write of an item that a transaction holds (Amazon DynamoDB Developer Guide, "Error handling").
        "TransactionConflictException",
    }
)

_CONFLICT_ATTEMPTS: Final = 6
_CONFLICT_SECONDS: Final = 0.05

_DENIED_SECONDS: Final = (1.0, 2.0, 4.0, 5.0)
"""Pauses between calls that miss a permission: 12 seconds in all, so that the endpoint still answers within its 29."""


def pause_before_repeating(code: str, attempt: int, *, jitter: Callable[[], float] = random.random) -> float | None:
    """Return how many seconds to wait before the call is repeated; None if it is not repeated.

    ``attempt`` is the number of calls so far, from 1.
    """
    if code in _CONFLICTS and attempt < _CONFLICT_ATTEMPTS:
        return _CONFLICT_SECONDS * 2.0**attempt * (0.5 + jitter() / 2)
    if attempt <= len(_DENIED_SECONDS) and may_be_on_the_way(code):
        return _DENIED_SECONDS[attempt - 1]
    return None


def add_repeats(client: Any) -> None:
    """Let a client repeat such calls, besides those that botocore repeats."""

    def needs_retry(response: Any, attempts: int, **_: object) -> float | None:
        code = str(response[1].get("Error", {}).get("Code", "")) if response is not None else ""
        return pause_before_repeating(code, attempts)

    # The event with which botocore asks whether, and after which pause, a call is repeated; the first answer counts.
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"needs-retry.{service}", needs_retry, unique_id="iac-ci-repeats")
