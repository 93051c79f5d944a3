"""Makes calls in rounds, so that a dispatch does not exceed AWS's request rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_common.errors import AtCapacity, IacCiError, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iac_ci_common.ports import Parallel

T = TypeVar("T")

ROUND: Final = 16
"""Calls in one round: as many as there are threads."""


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
