"""Reads the workloads from ``workloads.json`` and builds their jobs."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FILE = Path(__file__).with_name("workloads.json")
PARALLEL = 16
"""Limit of open orders per run: enough for simultaneous results, although each worker is a process here."""
ORDER_SECONDS = 300
"""Time-out of every order, in seconds: long, because the benchmark does not test time-outs."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of ``workloads.json``.

    ``width`` is the number of orders per layer; each order of a layer depends on all orders of the previous layer.
    ``runs`` such jobs are submitted at once. With ``together``, all orders wait until the last one has started, and end
    in the same second.
    """

    name: str
    shape: Literal["independent", "chain", "layers"]
    orders: int
    width: int = 0
    runs: int = 1
    together: bool = False

    @property
    def parallel(self) -> int:
        """Default limit of open orders per run: all orders if they must end together."""
        return self.orders if self.together else PARALLEL

    @property
    def all_orders(self) -> int:
        """Number of orders of all runs."""
        return self.orders * self.runs

    def job(self, *, gate: Path, username: str = "bench") -> dict[str, Any]:
        """Return one run's job; commands of a ``together`` workload wait until the file ``gate`` exists."""
        wait = f"until [ -e {shlex.quote(str(gate))} ]; do sleep 0.2; done"
        commands = [wait] if self.together else ["true"]
        orders = [
            {"cmds": commands, "timeout": ORDER_SECONDS, "dependencies": self._dependencies(index)}
            for index in range(self.orders)
        ]
        return {"username": username, "job_timeout": 3600, "orders": orders}

    def lanes(self, parallel: int) -> int:
        """Return the number of orders that can run in parallel, with at most ``parallel`` open orders per run."""
        width = {"independent": self.orders, "chain": 1, "layers": self.width}[self.shape]
        return max(1, min(width, parallel)) * self.runs

    def _dependencies(self, index: int) -> list[str]:
        # An order without a name is named after its number; the first is 0001.
        if self.shape == "chain":
            return [_name(index - 1)] if index else []
        if self.shape == "layers":
            first = index // self.width * self.width
            return [_name(before) for before in range(max(0, first - self.width), first)]
        return []


def _name(index: int) -> str:
    return f"order-{index + 1:04d}"


def read() -> dict[str, Workload]:
    """Return every workload by name, in the file's order."""
    rows = json.loads(FILE.read_text("utf-8"))["workloads"]
    return {row["name"]: Workload(**row) for row in rows}
