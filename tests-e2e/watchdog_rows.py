"""Counts the rows that looking after a run reads in a minute: ``uv run --no-sync python tests-e2e/watchdog_rows.py``.

The run has 1,000 orders, 100 of them open. Each line is one way to look after it, played on the real adapters; what is
counted are the items in DynamoDB's answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import boto3
from moto import mock_aws

from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.rows import item
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.models.watch import Watch
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import FakeClock, MemoryAsyncInvoker, MemoryLogger, MemoryObjects, MemoryWorkers, Sequential
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_common.testing.tables import make_table
from iac_ci_watchdog.act import Watchdog
from iac_ci_watchdog.ports import WatchdogPorts

ORDERS, OPEN = 1000, 100


@dataclass(frozen=True)
class Looked:
    """Rows read in one minute."""

    before: int
    first: int
    unchanged: int
    changed: int

    def __str__(self) -> str:
        return "\n".join(
            f"{rows:>9,} rows a minute: {way}"
            for rows, way in (
                (self.before, "an execution for each open order and one for the run, as it was before"),
                (self.first, "one execution, in its first poll"),
                (self.changed, "one execution, after any number of passes of the orchestrator"),
                (self.unchanged, "one execution, while nothing has changed"),
            )
        )


class Counter:
    """Counts the items in DynamoDB's answers."""

    def __init__(self, client: Any) -> None:
        self.rows = 0
        client.meta.events.register("after-call", self._answered)

    def _answered(self, parsed: dict[str, Any], **_: Any) -> None:
        self.rows += len(parsed.get("Items", [])) + ("Item" in parsed)

    def take(self) -> int:
        rows, self.rows = self.rows, 0
        return rows


@contextmanager
def _tables(orders: int, opened: int) -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        make_table(client, "orders", "run_id", "order_num")
        make_table(client, "events", "trace_id", "sort_key")
        make_table(client, "locks", "lock_key")
        deadline = START + timedelta(hours=1)
        for num in range(1, orders + 1):
            fields: dict[str, Any] = {
                "status": OrderState.RUNNING,
                "dispatched_at": START,
                "order_deadline": deadline,
                "build_id": f"worker:{num}",
            }
            client.put_item(TableName="orders", Item=item(order_row(num, **(fields if num <= opened else {}))))
        run = run_row(status=RunState.RUNNING, order_count=orders, max_parallel=opened)
        client.put_item(TableName="orders", Item=item(run))
        yield client


def look(orders: int = ORDERS, opened: int = OPEN) -> Looked:
    """Play every way to look after the run, and return the rows that each has read."""
    with _tables(orders, opened) as client:
        runs, locks, clock = DynamoRuns(client, "orders", "events"), DynamoLocks(client, "locks"), FakeClock(START)
        ports = WatchdogPorts(
            clock,
            runs,
            locks,
            MemoryObjects(clock),
            MemoryWorkers(),
            MemoryAsyncInvoker(),
            Sequential(),
            MemoryLogger(),
        )
        watchdog = Watchdog(ports)

        def orchestrator_passes() -> None:
            expires = START + timedelta(days=1)
            lock = locks.ring(RUN_ID, {"0000"}, owner="pass", now=START, lease_seconds=30, expires_at=expires)
            locks.release(lock)

        def poll(state: dict[str, Any]) -> dict[str, Any]:
            answer = watchdog.check(Watch(run_id=RUN_ID, state=state))
            return {"answer": json.loads(answer.model_dump_json())}

        counter = Counter(client)
        orchestrator_passes()
        counter.take()
        # As it was: each execution read the whole run, the run's own the lock too.
        runs.read(RUN_ID)
        whole = counter.take()
        locks.read(RUN_ID)
        before = (opened + 1) * whole + counter.take()
        state = poll({})
        first = counter.take()
        state = poll(state)
        unchanged = counter.take()
        orchestrator_passes()
        counter.take()
        poll(state)
        return Looked(before, first, unchanged, counter.take())


if __name__ == "__main__":
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    print(look())
