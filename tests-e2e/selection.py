"""What `.ci/run` leaves to `.ci/full`, which sets ``IAC_CI_FULL=1``: more of what is alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest

FULL = bool(os.environ.get("IAC_CI_FULL"))


def only_in_full(values: Iterable[Any], left: Callable[[Any], bool]) -> list[Any]:
    """Return ``values`` for ``parametrize``; `.ci/run` leaves out those for which ``left`` holds."""
    return [pytest.param(value, marks=pytest.mark.full) if left(value) else value for value in values]
