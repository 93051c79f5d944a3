"""Random jobs: mostly small, of every shape that people write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

REPOSITORY = "https://github.com/example/infrastructure.git"
COMMIT = "a" * 40
TOKEN_LOCATION = "ssm:/iac-ci/jobs/token"
DEADLINES = (120, 300, 900, 1800, 3600)
OUTPUT = "MADE"
"""The output that an order writes: its run and number."""

TAKEN = "TAKEN_"
"""Beginning of the variables that take the outputs of other orders."""


@dataclass(frozen=True)
class Behaviour:
    """What an order's commands do: take ``seconds``, then exit with ``exit_code``; or hang; or kill the worker.

    They need ``ends_after`` seconds to end once they are asked to stop. With ``writes`` they write an output first.
    ``earlier`` are the exit codes of the order's first attempts; those after them behave as the rest says.
    """

    seconds: float
    exit_code: int = 0
    hangs: bool = False
    kills_worker: bool = False
    ends_after: float = 0.0
    writes: bool = False
    earlier: tuple[int, ...] = ()

    def of_attempt(self, attempt: int) -> Behaviour:
        """Return what the commands of one attempt do."""
        if attempt > len(self.earlier):
            return self
        return replace(self, exit_code=self.earlier[attempt - 1], hangs=False, kills_worker=False)


@dataclass(frozen=True)
class Story:
    """A job and what its commands will do, by order number."""

    job: dict[str, Any]
    behaviours: dict[str, Behaviour]

    def taken_by(self, num: str) -> dict[str, str]:
        """Return the numbers of the orders whose outputs an order takes, by the variables that take them."""
        nums = {order["order_name"]: f"{index + 1:04d}" for index, order in enumerate(self.job["orders"])}
        variables = self.job["orders"][int(num) - 1]["env_vars"]
        return {name: nums[text.split(".")[1]] for name, text in sorted(variables.items()) if name.startswith(TAKEN)}

    @property
    def size(self) -> int:
        """Return the number of orders."""
        return len(self.job["orders"])


def happens(random: Random, rate: float) -> bool:
    """Draw whether something with this probability happens; the lowest draw means that it does not."""
    return random.random() >= 1.0 - rate


def draw_story(random: Random, *, size: int | None = None) -> Story:
    """Draw a job with its behaviours; ``generator`` draws the world around it."""
    count = size or _size(random)
    parents = _SHAPES[random.choice(list(_SHAPES))](random, count)
    names = list(range(count))
    if happens(random, 0.3):
        random.shuffle(names)  # order numbers need not follow the dependencies
    deadline = random.choice(DEADLINES)
    timeouts = [seconds for seconds in (5, 30, 60, 120, 300) if seconds <= deadline]
    orders: list[dict[str, Any]] = []
    behaviours: dict[str, Behaviour] = {}
    trouble = random.choice((0.0, 0.0, 0.05, 0.2, 0.5))
    builds = random.choice((0.0, 0.0, 0.2, 1.0))
    secret = random.choice((None, None, TOKEN_LOCATION))
    if happens(random, 0.02):
        secret = "ssm:/iac-ci/jobs/missing"
    for index, name in enumerate(names):
        timeout = random.choice(timeouts)
        order: dict[str, Any] = {
            "order_name": f"order-{name}",
            "cmds": ["true"],
            "timeout": timeout,
            "dependencies": sorted(f"order-{parent}" for parent in parents[name]),
            "env_vars": {"SIMULATED": "yes"},
        }
        if happens(random, 0.25):
            order["must_succeed"] = False
        if happens(random, builds):
            order["execution_target"] = "codebuild"
        if secret:
            order["secrets"] = {"TOKEN": secret}
        orders.append(order)
        behaviours[f"{index + 1:04d}"] = _behaviour(random, timeout, trouble)
    job: dict[str, Any] = {"username": "simulation", "job_timeout": deadline, "orders": orders}
    if happens(random, 0.3):
        job["max_parallel"] = random.randint(1, 8)
    if happens(random, 0.2):
        job |= {"git_repo": REPOSITORY, "commit_hash": COMMIT, "pr_number": 7}
    return Story(job, behaviours)


def _size(random: Random) -> int:
    kind = random.random()
    if kind < 0.78:
        return random.randint(1, 6)
    if kind < 0.97:
        return random.randint(7, 30)
    return random.randint(31, 300) if kind > 0.995 else random.randint(31, 80)


def _behaviour(random: Random, timeout: int, trouble: float) -> Behaviour:
    seconds = random.choice((0.05, random.uniform(0.1, 5.0), random.uniform(0.2, 0.9) * timeout))
    if not happens(random, trouble):
        return Behaviour(seconds)
    return random.choice(
        (
            Behaviour(seconds, exit_code=random.randint(1, 255)),
            Behaviour(seconds, exit_code=1),
            Behaviour(seconds, hangs=True),
            Behaviour(seconds, kills_worker=True),
        )
    )


def _independent(random: Random, count: int) -> list[set[int]]:
    del random
    return [set() for _ in range(count)]


def _chain(random: Random, count: int) -> list[set[int]]:
    del random
    return [{index - 1} if index else set() for index in range(count)]


def _layers(random: Random, count: int) -> list[set[int]]:
    width = random.randint(1, max(1, count // 2))
    return [
        set(range((index // width - 1) * width, index // width * width)) if index >= width else set()
        for index in range(count)
    ]


def _any(random: Random, count: int) -> list[set[int]]:
    density = random.choice((0.5, 1.5, 3.0))
    return [
        {random.randrange(index) for _ in range(int(min(20.0, random.expovariate(1 / density))))} if index else set()
        for index in range(count)
    ]


def _fan_in(random: Random, count: int) -> list[set[int]]:
    del random
    return [set() for _ in range(count - 1)] + [set(range(count - 1))]


def _fan_out(random: Random, count: int) -> list[set[int]]:
    del random
    return [set()] + [{0} for _ in range(count - 1)]


_SHAPES = {
    "independent": _independent,
    "chain": _chain,
    "fan_in": _fan_in,
    "fan_out": _fan_out,
    "layers": _layers,
    "any": _any,
}
