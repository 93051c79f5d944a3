"""Independent calls in threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Threads:
    """Runs calls in up to ``workers`` threads; a single call runs in the caller's thread."""

    def __init__(self, workers: int = 16) -> None:
        """Set the largest number of threads; ``run`` starts them."""
        self._workers = workers

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T | IacCiError]:
        """Do all calls and return each one's value or ``IacCiError``, in their order. Other exceptions are raised."""
        if len(calls) < 2:
            return [_caught(call) for call in calls]
        with ThreadPoolExecutor(min(self._workers, len(calls))) as pool:
            return list(pool.map(_caught, calls))


def _caught(call: Callable[[], T]) -> T | IacCiError:
    try:
        return call()
    except IacCiError as error:
        return error
