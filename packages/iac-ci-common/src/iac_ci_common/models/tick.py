"""Where the regular tasks of init stopped."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import StoredShape


class TickPosition(StoredShape):
    """``tmp/tick/position.json``: the next tick goes on after this task."""

    after: str = Field(description="Name and subject of the task that was begun last, as `name/subject`.")
