"""Plays one world from the first request to the last poll."""

from __future__ import annotations

import os
import random as random_module
import secrets
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

from iac_ci_common.limits import WORKER_LAMBDA_SECONDS
from iac_ci_common.models.rows import OrderRow
from iac_ci_common.models.work import Work
from iac_ci_vcs.testing import MemoryRepositories
from simulation.approvers import answer
from simulation.checks import BOUND_SECONDS, Checks, Violation
from simulation.client import GATEWAY_SECONDS, OPERATOR_SECONDS, SECRET, Client, cancel, swap_outputs, wake
from simulation.faults import Faults, for_few_calls
from simulation.functions import installed
from simulation.generator import WorldPlan, draw_world
from simulation.graphs import REPOSITORY
from simulation.groups import COMMITS
from simulation.mutations import Mutation, switched_off
from simulation.repository import Repository
from simulation.scheduler import Scheduler
from simulation.thief import Thief
from simulation.workers import worker
from simulation.world import World

AFTERWARDS_SECONDS = 500.0
"""How long after the last bound the world goes on, so that what comes late still comes."""

_MEMORY = "/dev/shm"
"""A file system in memory (Linux): the workers' small folders would otherwise take half of the time."""


@dataclass
class Outcome:
    """What came of one world; ``seed`` is None if the world was not drawn from a seed."""

    seed: int | None
    profile: str
    orders: int
    steps: int
    seconds: float
    violations: list[Violation] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    trace: list[str] | None = None

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.profile}, {self.orders} orders, {self.steps} steps, {len(self.faults)} faults"
        return "\n".join([head, *(f"  {violation}" for violation in self.violations)])


def simulate(
    seed: int,
    *,
    mutation: Mutation | None = None,
    profile: str | None = None,
    size: int | None = None,
    trace: bool = False,
) -> Outcome:
    """Draw the world of a seed and play it; the same seed always plays the same."""
    plan = draw_world(random_module.Random(f"seed {seed}"), size=size, profile=profile)
    return play(plan, mutation=mutation, trace=trace, seed=seed)


def play(
    plan: WorldPlan,
    *,
    mutation: Mutation | None = None,
    trace: bool = False,
    seed: int | None = None,
    at_end: Callable[[World], None] = lambda world: None,
) -> Outcome:
    """Play a world; the same plan always plays the same. ``seed`` is only passed on to the outcome.

    ``at_end`` sees the world when all is over.
    """
    faults = Faults(plan.stream("faults"), plan.profile, plan.single_fault)
    scheduler = Scheduler()
    world = World(plan.stream("world"), faults, scheduler, mutation)
    if trace:
        world.trace = []
    world.bus_weather = Faults(plan.stream("bus"), for_few_calls(plan.profile), None)
    checks = Checks(world)
    world.quotas = plan.quotas
    world.applies, world.group_plan, world.watchdogs_died_at = plan.applies, plan.groups, plan.watchdogs_die_at
    world.is_disturbed = plan.cancel_at is not None or plan.watchdogs_die_at is not None
    trees = MemoryRepositories({(REPOSITORY, commit): {"main.tf": b"# nothing\n"} for commit in COMMITS})
    if plan.repository is not None:
        world.repository = Repository(world, plan.repository, trees, plan.stream("repository"))
    world.merges = tuple(plan.submissions) if plan.merges else ()
    stories = {name: submission.story for name, submission in plan.submissions.items()}
    with _determined(plan), _folders_in_memory(), switched_off(mutation), installed(world, trees):
        engine = worker(world, checks, stories)
        world.worker_door = lambda order, execution: (
            engine.run(order, call=execution, seconds_left=WORKER_LAMBDA_SECONDS)
            if isinstance(order, Work)
            else engine.run_build(order, call=execution)
        )
        sessions = plan.stream("sessions")
        world.session_has_ended = lambda: bool(plan.session_ends) and sessions.random() < plan.session_ends
        thief = Thief(world, checks, plan.stream("thief"), replays=plan.replays, early_begins=plan.early_begins)
        world.traded, world.build_started = thief.traded, thief.build_started
        if plan.swaps:
            world.row_written = _swapping(world, world.row_written)
        for name, submission in plan.submissions.items():
            client = Client(world, checks, submission, plan.stream(f"client {name}"), name)
            scheduler.after(submission.delay, client.submit)
        if plan.cancel_at is not None:
            scheduler.after(plan.cancel_at, lambda: cancel(world, stop=plan.stop, names_orders=plan.names_orders))
            if plan.stop and plan.asks_again:
                again = partial(cancel, world, stop=True, names_orders=plan.names_orders, again=True)
                scheduler.after(plan.cancel_at + plan.asks_again, again)
        if plan.repository is not None and world.repository is not None:
            for act in plan.repository.acts:
                scheduler.after(act.at, partial(world.repository.do, act))
        for attempt in plan.answers:
            scheduler.after(attempt.at, partial(answer, world, SECRET, attempt, checks.answered))
        if plan.watchdogs_die_at is not None:
            scheduler.after(plan.watchdogs_die_at, world.watchdogs_die)
            scheduler.after(plan.watchdogs_die_at + OPERATOR_SECONDS, lambda: wake(world))
        # A client asks four times, so its run may be accepted that much later.
        horizon = 4 * GATEWAY_SECONDS + plan.last_deadline + BOUND_SECONDS + OPERATOR_SECONDS + AFTERWARDS_SECONDS
        try:
            scheduler.run(lambda: False, horizon)
        finally:
            scheduler.close()
        mended = plan.watchdogs_die_at + OPERATOR_SECONDS if plan.watchdogs_die_at is not None else None
        at_end(world)
        checks.at_end(last_fault=max(faults.last, world.bus_weather.last, mended or 0.0), mended=mended)
    return Outcome(
        seed,
        plan.profile.name,
        plan.orders,
        scheduler.steps,
        scheduler.time,
        checks.violations,
        faults.drawn,
        world.trace,
    )


def _swapping(world: World, seen: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    swapped: set[tuple[str, str]] = set()

    def row_written(before: Any, after: Any) -> None:
        seen(before, after)
        if isinstance(after, OrderRow):
            swap_outputs(world, after, swapped)

    return row_written


@contextmanager
def _determined(plan: WorldPlan) -> Iterator[None]:
    """Take every random number that the engine draws from the plan."""
    random = plan.stream("engine")
    state = random_module.getstate()
    random_module.seed(plan.chance)
    try:
        with (
            patch.object(secrets, "token_hex", lambda count=32: f"{random.getrandbits(8 * count):0{2 * count}x}"),
            patch.object(uuid, "uuid4", lambda: uuid.UUID(int=random.getrandbits(128), version=4)),
        ):
            yield
    finally:
        random_module.setstate(state)


@contextmanager
def _folders_in_memory() -> Iterator[None]:
    """Let the workers make their folders in memory where that is possible."""
    if os.access(_MEMORY, os.W_OK | os.X_OK):
        with patch.object(tempfile, "tempdir", _MEMORY):
            yield
    else:
        yield
