"""New permissions: IAM's changes reach every service only after a while.

A service may answer ``AccessDenied`` for a permission that a role already has (AWS IAM User Guide, "Troubleshoot IAM",
"Changes that I make are not always immediately visible"). Terraform creates or changes roles and functions within the
same minutes, so the first calls of a new or upgraded stack may meet it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Final

CHANGED_AT: Final = "IAC_CI_PERMISSIONS_CHANGED_AT"
"""The environment variable with the time at which the stack's policies were created or changed last."""

ON_THE_WAY: Final = timedelta(minutes=10)
"""How long after a change permissions may be on their way. IAM names no limit; usually it is seconds."""

_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "403"})


def may_be_on_the_way(code: str, now: datetime | None = None) -> bool:
    """Return whether an error code may only mean that a new permission has not reached the service yet."""
    if code not in _DENIED:
        return False
    try:
        changed_at = datetime.fromisoformat(os.environ.get(CHANGED_AT, ""))
    except ValueError:
        return False
    if changed_at.tzinfo is None:
        return False
    return timedelta() <= (now or datetime.now(UTC)) - changed_at < ON_THE_WAY
