"""Hands orders over as fast as AWS takes them, and no faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_common.errors import IacCiError, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iac_ci_common.ports import Parallel

T = TypeVar("T")

ROUND: Final = 16
"""Calls made side by side before their answers are looked at: as many as there are threads."""


def in_rounds(parallel: Parallel, calls: Sequence[Callable[[], T]]) -> list[T | IacCiError]:
    """Do the calls in rounds; once AWS asks for fewer requests, the rounds that are left are not made now.

    Each call has by then been repeated with jitter by the AWS client, over some seconds. To go on would only add to
    what AWS is refusing, here and for every other run, and hold the run's lock beyond its lease. The calls that were
    not made are answered with ``Throttled``, as if they had been refused too.
    """
    answers: list[T | IacCiError] = []
    for begin in range(0, len(calls), ROUND):
        answers += parallel.run(calls[begin : begin + ROUND])
        if any(isinstance(answer, Throttled) for answer in answers):
            left = len(calls) - len(answers)
            answers += [Throttled("not tried: AWS asked for fewer requests")] * left
            break
    return answers
