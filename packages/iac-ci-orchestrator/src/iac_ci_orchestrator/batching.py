"""Makes calls in rounds, so that a dispatch does not exceed AWS's request rates."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_common.errors import AtCapacity, IacCiError, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iac_ci_common.ports import Parallel

T = TypeVar("T")

ROUND: Final = 16
"""Calls in one round: as many as there are threads."""

_PAUSE_SECONDS: Final = 1.0
"""Shortest pause before failed calls are repeated; the longest is twice as long."""


def in_rounds(parallel: Parallel, calls: Sequence[Callable[[], T]]) -> list[T | IacCiError]:
    """Do the calls in rounds and return their answers; after a throttled call the remaining rounds are not made.

    The AWS client has already repeated a throttled call with jitter, for some seconds. More calls would increase the
    load that AWS refuses, also for other runs, and hold the run's lock beyond its lease. The answer of a call that was
    not made is the ``Throttled`` of the last one; it is ``AtCapacity`` only if nothing else was refused.
    """
    answers: list[T | IacCiError] = []
    for begin in range(0, len(calls), ROUND):
        answers += parallel.run(calls[begin : begin + ROUND])
        refused = [answer for answer in answers if isinstance(answer, Throttled)]
        if refused:
            left = len(calls) - len(answers)
            throttled = [answer for answer in refused if not isinstance(answer, AtCapacity)]
            untried = (
                Throttled("not tried, because AWS throttles requests; the orchestrator retries")
                if throttled
                else refused[-1]
            )
            answers += [untried] * left
            break
    return answers


def repeat_failed(
    parallel: Parallel, calls: Sequence[Callable[[], T]], answers: list[T | IacCiError], wait: Callable[[float], None]
) -> list[T | IacCiError]:
    """Repeat the calls that failed for a moment, once and after a second or two; return the answers of all calls.

    One of them is repeated first, and the others only if it succeeds: a service that still refuses gets one call more.
    Nothing is repeated that found no capacity, because that takes longer.
    """
    failed = [number for number, answer in enumerate(answers) if _failed_for_a_moment(answer)]
    if not failed:
        return answers
    wait(_PAUSE_SECONDS * (1 + random.random()))  # noqa: S311 - jitter
    answers = list(answers)
    for numbers in (failed[:1], failed[1:]):
        repeated = in_rounds(parallel, [calls[number] for number in numbers])
        for number, answer in zip(numbers, repeated, strict=True):
            answers[number] = answer
        if any(isinstance(answer, IacCiError) for answer in repeated):
            break
    return answers


def _failed_for_a_moment(answer: object) -> bool:
    return isinstance(answer, IacCiError) and answer.retry_is_safe and not isinstance(answer, AtCapacity)
