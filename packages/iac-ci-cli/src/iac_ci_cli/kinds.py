"""What a file that ``validate`` reads may hold."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a file holds."""

    JOB = "job"
    CONFIGURATION = "configuration"
