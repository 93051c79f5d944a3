"""People who answer orders that wait for an approval: too early, in time, twice, too late, and after the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from iac_ci_common import signature
from simulation.graphs import TAKEN, Story, happens
from simulation.scheduler import Ending, Process
from simulation.world import World

EXPIRIES = (20, 60, 300)


@dataclass(frozen=True)
class Attempt:
    """At ``at`` seconds ``people`` answer every order of every run that has an approval, all at once."""

    at: float
    approves: bool
    people: int = 1


def with_approvals(random: Random, story: Story, untouchable: frozenset[str]) -> Story:
    """Let orders wait for an approval instead of running; none of the numbers ``untouchable``, nor one of use."""
    orders = list(story.job["orders"])
    used = {name for order in orders for name in order.get("when", {})}
    used |= {
        text.split(".")[1]
        for order in orders
        for name, text in order.get("env_vars", {}).items()
        if name.startswith(TAKEN)
    }
    for index, order in enumerate(orders):
        num = f"{index + 1:04d}"
        kept = num in untouchable or order["order_name"] in used or "concurrency" in order
        if kept or not happens(random, 0.4):
            continue
        expires = random.choice((None, *EXPIRIES))
        approval = {"api": True} | ({} if expires is None else {"expires": min(expires, story.job["job_timeout"])})
        orders[index] = {
            "order_name": order["order_name"],
            "approval": approval,
            "dependencies": order["dependencies"],
            **({"when": order["when"]} if "when" in order else {}),
        }
    return replace(story, job=story.job | {"orders": orders})


def with_overrides(random: Random, story: Story) -> Story:
    """Let approvals override orders before them that run commands; of these, half of the successful ones fail."""
    orders, behaviours = list(story.job["orders"]), dict(story.behaviours)
    numbers = {order["order_name"]: f"{index + 1:04d}" for index, order in enumerate(orders)}
    runs = {order["order_name"] for order in orders if "approval" not in order}
    for index, order in enumerate(orders):
        names = [name for name in order["dependencies"] if name in runs and happens(random, 0.7)]
        if "approval" not in order or not names:
            continue
        orders[index] = order | {"approval": order["approval"] | {"overrides": names}}
        for name in names:
            if happens(random, 0.5):
                behaviours[numbers[name]] = replace(behaviours[numbers[name]], exit_code=1)
    return Story(story.job | {"orders": orders}, behaviours)


def drawn_attempts(random: Random, deadline: float) -> tuple[Attempt, ...]:
    """Draw when people answer; some after the run's deadline."""
    number = random.randint(0, 5)
    return tuple(
        Attempt(
            random.choice((random.uniform(0.0, 90.0), random.uniform(0.0, deadline + 120.0))),
            approves=not happens(random, 0.25),
            people=random.choice((1, 1, 2)),
        )
        for _ in range(number)
    )


def answer(world: World, secret: str, attempt: Attempt, told: Any) -> None:
    """Answer every order with an approval; ``told`` gets the run, the order and the answer to each request."""
    for run_id, rows in sorted(world.runs.order_rows.items()):
        run = world.runs.run_rows.get(run_id)
        for num, row in sorted(rows.items()):
            if row.approval is None or run is None:
                continue
            for person in range(attempt.people):
                approves = attempt.approves if person == 0 else not attempt.approves
                wanted = {"run_id": run_id, "order": num, "answer": "approve" if approves else "reject"}
                wanted |= {} if run.commit_hash is None else {"commit_hash": run.commit_hash}
                body = json.dumps({"approval": wanted}) + " " * person
                headers = {signature.HEADER: signature.sign(secret, body.encode(), world.scheduler.true_time())}
                event = {"httpMethod": "POST", "headers": headers, "body": body}

                def ended(process: Process, run_id: str = run_id, num: str = num) -> None:
                    if process.ending is Ending.RETURNED:
                        told(run_id, num, process.value)

                world.run_function(
                    "door", "door", lambda event=event: world.doors["init"](event), ended, delay=0.1, limit=300.0
                )
