"""Finds orders that cannot end while their run lives, because of the orders that must end before them: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import limits
from iac_ci_common.initial_rows import target
from iac_ci_common.models.job import ExecutionTarget

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iac_ci_common.models.job import Order


def longest_seconds(order: Order) -> int:
    """Return the seconds that all attempts of an order may take: their time-outs, and the grace where they are stopped.

    A build without ``stop_grace`` has the default one. On Lambda all is over at the function's end. A time-out that is
    too long for its target is another problem, and counts as the longest.
    """
    if order.approval is not None:
        # It may take no time at all, and never longer than the run lives.
        return 0
    attempts = 1 if order.retry is None else order.retry.attempts
    if target(order) is ExecutionTarget.LAMBDA:
        return attempts * min(order.timeout + (order.stop_grace or 0), limits.WORKER_LAMBDA_SECONDS)
    grace = limits.DEFAULT_STOP_GRACE_SECONDS if order.stop_grace is None else order.stop_grace
    # An attempt that is stopped has no successor.
    return attempts * min(order.timeout, limits.MAX_CODEBUILD_ORDER_SECONDS) + grace


def too_long_chains(
    seconds: Mapping[str, int], dependencies: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, list[str], int]]:
    """Yield orders whose chain of dependencies may take longer than a run lives, each with the chain and its seconds.

    ``seconds`` are the orders' longest times. Of a chain, the first order that does not fit is reported. Orders
    of a cycle and unknown ones are other problems, which are reported elsewhere.
    """
    waits_for = {name: {one for one in dependencies[name] if one in seconds and one != name} for name in seconds}
    dependents: dict[str, list[str]] = {name: [] for name in seconds}
    for name, names in waits_for.items():
        for one in names:
            dependents[one].append(name)
    open_dependencies = {name: len(names) for name, names in waits_for.items()}
    ready = [name for name, number in open_dependencies.items() if not number]
    total: dict[str, int] = {}
    before: dict[str, str | None] = {}
    for name in ready:  # grows while it is walked
        latest = max(sorted(waits_for[name]), key=total.__getitem__, default=None)
        before[name] = latest
        total[name] = seconds[name] + (0 if latest is None else total[latest])
        if total[name] > limits.MAX_JOB_SECONDS >= total[name] - seconds[name]:
            yield name, _chain(name, before), total[name]
        for dependent in dependents[name]:
            open_dependencies[dependent] -= 1
            if not open_dependencies[dependent]:
                ready.append(dependent)


def _chain(name: str, before: Mapping[str, str | None]) -> list[str]:
    found: list[str] = []
    at: str | None = name
    while at is not None:
        found.append(at)
        at = before[at]
    return found[::-1]


__all__ = ["longest_seconds", "too_long_chains"]
