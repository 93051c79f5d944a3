"""Whoever sends the job: waits for an answer as long as API Gateway lets it, and asks again if it got none."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from iac_ci_common import keys, signature
from iac_ci_common.errors import ConditionFailed, NotFound
from iac_ci_common.identity_context import scope_of
from iac_ci_common.models.rows import OrderRow
from iac_ci_common.states import OPEN
from simulation.checks import Accepted, Checks
from simulation.generator import Submission
from simulation.scheduler import Ending, Process
from simulation.world import RunsPort, WatchdogsService, World

SECRET = "simulated webhook secret"
GATEWAY_SECONDS = 29.0
"""API Gateway answers for a function that takes longer; the function goes on."""

OPERATOR_SECONDS = 300.0
"""How long after the watchdogs died a person wakes the runs."""


class Client:
    """Sends one job."""

    def __init__(self, world: World, checks: Checks, submission: Submission, random: Random, name: str) -> None:
        self._world = world
        self._checks = checks
        self._random = random
        self._key = f"key-of-{name}" if submission.has_key else None
        self._body = json.dumps(submission.story.job | {"flow_label": name})
        self._tries = 0
        self._answered = False

    def submit(self) -> None:
        """Send the job, at first or again."""
        if self._answered or self._tries == 4:
            return
        self._tries += 1
        headers = {signature.HEADER: signature.sign(SECRET, self._body.encode(), self._world.scheduler.true_time())}
        if self._key is not None:
            headers["Idempotency-Key"] = self._key
        event: dict[str, Any] = {"httpMethod": "POST", "headers": headers, "body": self._body}
        open_until = self._world.scheduler.time + GATEWAY_SECONDS

        def ended(process: Process) -> None:
            answer = process.value
            in_time = self._world.scheduler.time <= open_until
            if in_time and process.ending is Ending.RETURNED and isinstance(answer, dict):
                self._read(answer)

        copies = 2 if self._key is not None and self._random.random() < 0.1 else 1
        for _ in range(copies):
            self._call(event, ended)
        self._world.scheduler.after(GATEWAY_SECONDS + 1, self.submit)

    def _call(self, event: dict[str, Any], ended: Callable[[Process], None]) -> None:
        delay = self._random.uniform(0.0, 0.2)
        world = self._world
        world.run_function("door", "door", lambda: world.doors["init"](event), ended, delay=delay, limit=300.0)

    def _read(self, answer: dict[str, Any]) -> None:
        content = json.loads(answer["body"])
        if answer["statusCode"] == 202:
            self._answered = True
            self._checks.accepted(Accepted(content["run_id"], content["trace_id"]), self._key)
        elif answer["statusCode"] < 500 and not (answer["statusCode"] == 401 and self._tries > 1):
            raise AssertionError(f"a sound job was refused: {content}")


def cancel(world: World, *, stop: bool, names_orders: bool, again: bool = False) -> None:
    """Ask for the end of every run there is, as ``iac-ci cancel`` does, with ``--running`` and orders or without.

    ``again`` says that the same was asked for before.
    """
    runs, objects = RunsPort(world, world.runs), world.port("objects", world.objects)

    def ask(run_id: str) -> None:
        if stop and names_orders:
            for order in [order for order in runs.read(run_id).orders if order.status in OPEN]:
                with suppress(ConditionFailed, NotFound):
                    runs.request_stop(run_id, "a person asked", order_num=order.order_num, soon=again)
            return
        if stop:
            with suppress(ConditionFailed, NotFound):
                runs.request_stop(run_id, "a person asked", soon=again)
        with suppress(ConditionFailed, NotFound):
            runs.request_cancel(run_id, "a person asked")
            objects.put(keys.trigger(run_id), b"{}")

    for run_id in sorted(world.runs.run_rows):
        world.run_function(
            "cli", run_id, lambda run_id=run_id: ask(run_id), lambda process: None, delay=0.0, limit=60.0
        )


def wake(world: World) -> None:
    """Start a watchdog for every open run and wake the run, as ``iac-ci nudge`` does, without faults."""
    watchdogs = WatchdogsService(world)
    for run_id in sorted({run_id for run_id, _ in world.executions}):
        lock = world.locks.locks.get(run_id)
        if lock is not None and lock.completed:
            continue
        executions = world.watchdogs_of(run_id)
        if executions[-1].ended_at is not None:
            watchdogs.start(run_id, len(executions) + 1)
        world.objects.put(keys.trigger(run_id), b"{}")


def swap_outputs(world: World, order: OrderRow, swapped: set[tuple[str, str]]) -> None:
    """Swap in, for an order that has ended, the sealed outputs of the same order of another run, and their description.

    Runs of one pull request may open what the others hand on, so these are left alone; and what was ``swapped`` in for
    the other order may come from such a run.
    """
    objects, runs = world.objects.objects, world.runs.run_rows
    for run_id, rows in world.runs.order_rows.items():
        other = rows.get(order.order_num)
        if order.outputs is None or other is None or other.outputs is None or (run_id, order.order_num) in swapped:
            continue
        if scope_of(runs[run_id]) == scope_of(runs[order.run_id]):
            continue
        objects[keys.outputs(*order.attempt_key)] = objects[keys.outputs(*other.attempt_key)]
        own = world.runs.order_rows[order.run_id]
        own[order.order_num] = order.model_copy(update={"outputs": other.outputs})
        swapped.add((order.run_id, order.order_num))
        return
