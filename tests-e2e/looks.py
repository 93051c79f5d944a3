"""Compares a look at a run of 1,000 orders with a read of all its rows: ``uv run --no-sync python tests-e2e/looks.py``.

Both are times of this process's processor, of the same run. A look is a whole pass of the orchestrator for one result
that remembers the rows; a read parses the rows as DynamoDB sends them. Waiting for DynamoDB is in neither.
"""

from __future__ import annotations

import sys
import tempfile
import time
from statistics import median

from counting import MemoryEngine, independent

from iac_ci_common.aws.rows import item, model
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.testing import MemoryRuns

LOOKS = 21


class Looking(MemoryEngine):
    """Times every pass of one result, and counts the rows that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[float] = []
        self.rows_of_looks = 0
        self.reads: list[float] = []

    def run_some(self, orders: int) -> None:
        """Begin a run, and let a few of its results come."""
        wake = self.orchestrator.wake

        def timed(run_id: str, nums: frozenset[str]) -> None:
            rows, began = self.rows, time.process_time()
            wake(run_id, nums)
            if nums != {"0000"} and len(self.looks) < LOOKS:
                self.looks.append(time.process_time() - began)
                self.rows_of_looks += self.rows - rows
                self._read(run_id)

        self.orchestrator.wake = timed  # type: ignore[method-assign]
        self.run(independent(orders))

    def _read(self, run_id: str) -> None:
        rows = MemoryRuns.read(self.preparer._ports.runs, run_id)  # type: ignore[arg-type]
        items = [(OrderRow, item(row)) for row in rows.orders]
        assert rows.run is not None
        items.append((RunRow, item(rows.run)))  # type: ignore[arg-type]
        began = time.process_time()
        for kind, one in items:
            model(kind, one)
        self.reads.append(time.process_time() - began)


def main() -> None:
    """Print both times, their ratio and the rows that the looks read."""
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        engine = Looking()
        engine.run_some(orders)
    look, read = median(engine.looks), median(engine.reads)
    print(
        f"a look at {orders:,} orders: {look * 1000:.1f} ms and {engine.rows_of_looks / LOOKS:.1f} rows; "
        f"a read of all rows: {read * 1000:.1f} ms; {look / read:.0%}"
    )


if __name__ == "__main__":
    main()
