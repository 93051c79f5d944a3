"""The workloads: data in ``workloads.json``, made into jobs here."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FILE = Path(__file__).with_name("workloads.json")
PARALLEL = 16
"""Enough for results to come together, as on AWS where a hundred are open; each worker is a process here."""
ORDER_SECONDS = 300
"""Time-out of every order: generous, a benchmark is no test of time-outs."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of ``workloads.json``.

    ``width`` is how many orders each layer has, where the shape is layers, each of which depends on all orders of the
    layer before. ``runs`` such jobs are submitted at once. Where ``together`` is set, all orders wait until the last of
    them has started and then end in the same second.
    """

    name: str
    shape: Literal["independent", "chain", "layers"]
    orders: int
    width: int = 0
    runs: int = 1
    together: bool = False

    @property
    def parallel(self) -> int:
        """Orders of a run that are open at once where nothing else is asked for: all where they must end together."""
        return self.orders if self.together else PARALLEL

    @property
    def all_orders(self) -> int:
        """Orders of all runs."""
        return self.orders * self.runs

    def job(self, *, gate: Path, username: str = "bench") -> dict[str, Any]:
        """Build one run's job; commands of a ``together`` workload wait until the file ``gate`` exists."""
        wait = f"until [ -e {shlex.quote(str(gate))} ]; do sleep 0.2; done"
        commands = [wait] if self.together else ["true"]
        orders = [
            {"cmds": commands, "timeout": ORDER_SECONDS, "dependencies": self._dependencies(index)}
            for index in range(self.orders)
        ]
        return {"username": username, "job_timeout": 3600, "orders": orders}

    def lanes(self, parallel: int) -> int:
        """Return how many orders can run side by side where at most ``parallel`` of a run may."""
        width = {"independent": self.orders, "chain": 1, "layers": self.width}[self.shape]
        return max(1, min(width, parallel)) * self.runs

    def _dependencies(self, index: int) -> list[str]:
        # Orders without a name are called after their number, which begins with 0001.
        if self.shape == "chain":
            return [_name(index - 1)] if index else []
        if self.shape == "layers":
            first = index // self.width * self.width
            return [_name(before) for before in range(max(0, first - self.width), first)]
        return []


def _name(index: int) -> str:
    return f"order-{index + 1:04d}"


def read() -> dict[str, Workload]:
    """Read every workload by name, in the file's order."""
    rows = json.loads(FILE.read_text("utf-8"))["workloads"]
    return {row["name"]: Workload(**row) for row in rows}
