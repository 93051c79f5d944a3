"""Puts the files with the longest tests first, so that no core is idle at the end.

`pytest -n` gives one file after the other to the process that is done. A file's duration is estimated from what its
tests say themselves: a time-out is at least ten times the duration of its test; what starts processes takes seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

_TIMES: Final = 10
_STARTS_PROCESSES: Final = 5.0
_ANOTHER: Final = 0.1
_MARKS: Final = ("local_cloud", "docker", "slow")
_FIXTURE: Final = "terraform"


def longest_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the tests file by file, the longest file first; the tests of a file keep their sequence."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    in_sequence = sorted(files.values(), key=lambda tests: sum(map(estimate, tests)), reverse=True)
    return [item for tests in in_sequence for item in tests]


def estimate(item: pytest.Item) -> float:
    """Return about how many seconds a test takes."""
    own = item.get_closest_marker("timeout")
    if own is not None and own.args:
        return float(own.args[0]) / _TIMES
    starts = any(item.get_closest_marker(mark) for mark in _MARKS) or _FIXTURE in getattr(item, "fixturenames", ())
    return _STARTS_PROCESSES if starts else _ANOTHER
