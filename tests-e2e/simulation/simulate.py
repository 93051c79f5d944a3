"""Plays one seed from the first request to the last poll."""

from __future__ import annotations

import random as random_module
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from simulation.checks import BOUND_SECONDS, Checks, Violation
from simulation.client import GATEWAY_SECONDS, Client, cancel
from simulation.faults import Faults, draw_profile
from simulation.functions import installed
from simulation.graphs import Story, draw_story
from simulation.mutations import Mutation
from simulation.scheduler import Scheduler
from simulation.workers import worker
from simulation.world import World

AFTERWARDS_SECONDS = 500.0
"""How long after the last bound the world goes on, so that what comes late still comes."""


@dataclass
class Outcome:
    """What came of one seed."""

    seed: int
    profile: str
    orders: int
    steps: int
    seconds: float
    violations: list[Violation] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    trace: list[str] | None = None
    digest: str = ""

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.profile}, {self.orders} orders, {self.steps} steps, {len(self.faults)} faults"
        return "\n".join([head, *(f"  {violation}" for violation in self.violations)])


def simulate(
    seed: int,
    *,
    mutation: Mutation | None = None,
    profile: str | None = None,
    size: int | None = None,
    story: Story | None = None,
    trace: bool = False,
) -> Outcome:
    """Play one seed; the same seed always plays the same."""
    random = random_module.Random(f"story {seed}")
    story = story or draw_story(random, size=size)
    weather = draw_profile(random, story.job["job_timeout"], name=profile)
    faults = Faults(random_module.Random(f"faults {seed}"), weather, story.size)
    scheduler = Scheduler()
    world = World(seed, faults, scheduler, mutation)
    if trace:
        world.trace = []
    checks = Checks(world)
    stories: dict[str, Story] = {"run1": story}
    if size is None and story.size < 10 and random.random() < 0.1:
        stories |= {f"run{number}": draw_story(random, size=random.randint(1, 6)) for number in (2, 3)}
    with _determined(seed), _switched_off(mutation), installed(world):
        engine = worker(world, checks, stories)
        world.worker_door = lambda work, execution: engine.run(work, call=execution)
        clients = [Client(world, checks, each, random, name) for name, each in stories.items()]
        for client in clients:
            scheduler.after(random.uniform(0.0, 5.0), client.submit)
        if random.random() < 0.1:
            scheduler.after(random.uniform(0.0, story.job["job_timeout"]), lambda: cancel(world))
        last_deadline = max(each.job["job_timeout"] for each in stories.values())
        # A client asks four times, so its run may be accepted that much later.
        horizon = 4 * GATEWAY_SECONDS + last_deadline + BOUND_SECONDS + AFTERWARDS_SECONDS
        try:
            scheduler.run(lambda: False, horizon)
        finally:
            scheduler.close()
        checks.at_end(last_fault=faults.last)
    return Outcome(
        seed,
        weather.name,
        sum(each.size for each in stories.values()),
        scheduler.steps,
        scheduler.time,
        checks.violations,
        faults.drawn,
        world.trace,
    )


@contextmanager
def _determined(seed: int) -> Iterator[None]:
    """Take every random number that the engine draws from the seed."""
    random = random_module.Random(f"engine {seed}")
    random_module.seed(seed)
    with (
        patch.object(secrets, "token_hex", lambda count=32: f"{random.getrandbits(8 * count):0{2 * count}x}"),
        patch.object(uuid, "uuid4", lambda: uuid.UUID(int=random.getrandbits(128), version=4)),
    ):
        yield


@contextmanager
def _switched_off(mutation: Mutation | None) -> Iterator[None]:
    if mutation == "redo of dispatching":
        with patch("iac_ci_orchestrator.decide._is_stale", lambda order, now: False):
            yield
    elif mutation == "own claims only":
        with patch("iac_ci_watchdog.act.Watchdog._is_anothers", lambda watchdog, died: False):
            yield
    elif mutation == "conditional transitions":
        with patch("iac_ci_common.testing.runs.holds", lambda transition, current: True):
            yield
    else:
        yield
