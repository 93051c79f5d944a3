"""Draws what people and the tick do with a repository on a code host: pushes, comments, merges, schedules."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from simulation.graphs import happens

TICK_SECONDS = 900.0
_TICKS = 4

Kind = Literal["open", "push", "apply", "merge", "push to main", "tick"]


@dataclass(frozen=True)
class Act:
    """At ``at`` seconds a person does something with a pull request, or the tick comes."""

    at: float
    kind: Kind
    number: int = 0


@dataclass(frozen=True)
class RepositoryPlan:
    """What happens to a repository with one project.

    ``on_merge``: reviewed plans are applied after the merge, not after a comment. ``overlaps``: runs of the schedule
    may take longer than the time between two planned minutes.
    """

    acts: tuple[Act, ...]
    on_merge: bool = False
    overlaps: bool = False

    @property
    def until(self) -> float:
        """Return when the last run that this starts has ended, however late it begins."""
        return max(act.at for act in self.acts) + 2 * TICK_SECONDS + 3600.0


def draw_repository(random: Random) -> RepositoryPlan:
    """Draw pull requests on one project, each with its pushes, comments and perhaps its merge, and ticks."""
    on_merge = happens(random, 0.5)
    acts: list[Act] = []
    for number in range(1, random.randint(1, 3) + 1):
        acts.append(Act(random.uniform(0.0, 30.0), "open", number))
        acts += [Act(random.uniform(30.0, 400.0), "push", number) for _ in range(random.choice((0, 0, 1, 2)))]
        acts += [Act(random.uniform(60.0, 700.0), "apply", number) for _ in range(random.choice((0, 1, 1, 2)))]
        if happens(random, 0.7 if on_merge else 0.3):
            merged = random.uniform(80.0, 500.0)
            acts.append(Act(merged, "merge", number))
            if happens(random, 0.4):
                # A push so shortly before, or after, that its plan and the merge's apply meet.
                acts.append(Act(merged + random.uniform(-20.0, 5.0), "push", number))
    acts += [Act(random.uniform(30.0, 600.0), "push to main") for _ in range(random.choice((0, 0, 1)))]
    first = random.uniform(0.0, 60.0)
    for tick in range(_TICKS):
        if happens(random, 0.15):
            continue
        late = random.uniform(0.0, 600.0) if happens(random, 0.2) else 0.0
        times = 2 if happens(random, 0.3) else 1
        acts += [Act(first + tick * TICK_SECONDS + late + again * 0.2, "tick") for again in range(times)]
    return RepositoryPlan(tuple(sorted(acts, key=lambda act: act.at)), on_merge, happens(random, 0.3))


__all__ = ["TICK_SECONDS", "Act", "RepositoryPlan", "draw_repository"]
