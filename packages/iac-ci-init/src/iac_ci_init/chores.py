"""Regular tasks within a budget of requests and time: fair over their subjects, and continued where they stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_common.ports import Clock, Logger


@dataclass(frozen=True, slots=True)
class Budget:
    """What all tasks of one tick may use together."""

    requests: int = 30
    time: timedelta = timedelta(seconds=60)


TICK_BUDGET: Final = Budget()
"""The budget of a tick: a fifth of the function's time-out, so that a slow service does not end it."""


class AllowanceSpent(IacCiError):
    """A task has used its share of the budget; its next turn comes with a later tick."""


class Allowance:
    """The share of one task; it is asked before each request."""

    def __init__(self, requests: int, until: datetime, clock: Clock) -> None:
        """Allow so many requests, and none after ``until``."""
        self._left, self._until, self._clock = requests, until, clock
        self.spent = 0

    @property
    def left(self) -> int:
        """Return how many requests may follow, as far as time allows."""
        return self._left

    def spend(self) -> None:
        """Count one request that follows now; raise ``AllowanceSpent`` if it may not be made."""
        if self._left <= 0 or self._clock.now() >= self._until:
            raise AllowanceSpent("the share of the tick's budget is spent")
        self._left -= 1
        self.spent += 1


class Chore(Protocol):
    """A regular task. Working on a subject again, also at the same time in another process, must do no harm."""

    @property
    def name(self) -> str:
        """The task's name, without a slash."""
        ...

    def subjects(self, now: datetime) -> Sequence[str]:
        """Return the subjects, each of which has its own turn, for example repositories."""
        ...

    def work(self, subject: str, allowance: Allowance) -> None:
        """Work on one subject; ask ``allowance`` before each request."""
        ...


class Round(NamedTuple):
    """What one tick did: the tasks that it began, and the requests that they made."""

    begun: tuple[str, ...]
    requests: int


def run_round(
    chores: Sequence[Chore],
    after: str | None,
    *,
    clock: Clock,
    logger: Logger,
    begin: Callable[[str], None],
    budget: Budget = TICK_BUDGET,
) -> Round:
    """Work on every subject once, in the circle that begins behind ``after``, until the budget is spent.

    Each turn may use an equal share of what is left, at least one request, so that no subject uses up the others'.
    ``begin`` is called with a task before its turn: what ends the process in this turn does not come first again.
    Errors of a turn are logged and end that turn only.
    """
    until = clock.now() + budget.time
    turns = sorted(
        ((f"{chore.name}/{subject}", chore, subject) for chore in chores for subject in chore.subjects(clock.now())),
        key=lambda turn: turn[0],
    )
    turns = [turn for turn in turns if after is None or turn[0] > after] + [
        turn for turn in turns if after is not None and turn[0] <= after
    ]
    begun: list[str] = []
    spent = 0
    for index, (label, chore, subject) in enumerate(turns):
        if spent >= budget.requests or clock.now() >= until:
            break
        allowance = Allowance(max(1, (budget.requests - spent) // (len(turns) - index)), until, clock)
        begin(label)
        begun.append(label)
        try:
            chore.work(subject, allowance)
        except AllowanceSpent:
            logger.info("regular task continues later", task=label)
        except IacCiError as error:
            logger.warning("regular task failed", task=label, error=error.message)
        spent += allowance.spent
    return Round(tuple(begun), spent)
