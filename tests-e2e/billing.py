"""Prints what 1,000 orders cost, from exact counts: ``uv run --no-sync python tests-e2e/billing.py``.

One engine in memory runs the real parts, and every port counts what its adapter on AWS would be billed for: write and
read units by the sizes of the rows that the adapter sends, entries of indexes, requests to S3, KMS and Lambda. Only the
seconds of the functions are assumed (``ASSUMED``), because nothing here runs on Lambda. Prices are those of
``bench/prices.json``.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.bill import TRANSITIONS_OF_A_WATCHDOG, bill
from counting import Engine, EvenClock, independent

from iac_ci_broker.act import Broker, BrokerPorts
from iac_ci_broker.hand_on import HandOn
from iac_ci_broker.module_tokens import ModuleTokens
from iac_ci_broker.start import OrderStart
from iac_ci_common import keys
from iac_ci_common.aws.rows import item
from iac_ci_common.granted import SourceGrants
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.locations import parse_location
from iac_ci_common.models.lock import Lock
from iac_ci_common.models.work import Work
from iac_ci_common.ports import RunRows, Transition
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import (
    MemoryCodeStore,
    MemoryDeliveries,
    MemoryLastWrites,
    MemoryLocks,
    MemoryLogger,
    MemoryObjects,
    MemoryRuns,
    MemorySealer,
    MemorySecrets,
    MemoryTargetRoles,
    MemoryTicketChains,
    Observed,
)
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.decide import Ending, Outcome
from iac_ci_worker.live_log import LiveLog
from iac_ci_worker.settings import WorkerSettings

ROOT: Final = Path(__file__).resolve().parent.parent
STACK: Final = ROOT / "terraform/deploy/stack"
SECRET: Final = "ssm:/iac-ci/jobs/sources/api/token"
PARALLEL: Final = 100
"""Orders that are open at once: the stack's default."""

ENVIRONMENTS: Final = {"init-job": 2, "orchestrator": 2, "worker": PARALLEL, "broker": 10, "watchdog-check": 1}
"""Environments of each function that a run starts, at most: as many workers as may run at once."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """Seconds that nothing here can count."""

    start: float = 2.0
    """Until a function's environment is ready, which is billed too."""

    call: float = 0.01
    """For each AWS call, as if all came one after another."""

    own: float = 0.05
    """Of each invocation beside its calls; for a worker the start of its command's process is a part of it."""


ASSUMED: Final = Assumed()


class Meter:
    """Counts what is billed, by the names of ``bench/prices.json``."""

    def __init__(self) -> None:
        self.used: Counter[str] = Counter()
        tables = json.loads((STACK / "tables.json").read_text("utf-8"))["tables"]
        self._indexes = [index["hash_key"]["name"] for index in tables["order-events"]["indexes"]]

    def write(self, *rows: dict[str, Any], times: int = 1) -> None:
        """A write costs one unit for each kilobyte, two in a transaction."""
        self.used["dynamodb_write_unit"] += times * max(ceil(size(row) / 1024) for row in rows)

    def event(self, row: dict[str, Any]) -> None:
        """An event is written in a transaction, and once more into each index whose key it has."""
        self.write(row, times=2)
        entries = sum(name in row for name in self._indexes)
        self.used["dynamodb_write_unit"] += entries * ceil(size(row) / 1024)
        self.used["index entries"] += entries

    def read(self, rows: Sequence[dict[str, Any]]) -> None:
        """A consistent read costs one unit for each four kilobytes."""
        self.used["dynamodb_read_unit"] += max(1, ceil(sum(map(size, rows)) / 4096))
        self.used["rows read"] += len(rows)


def size(row: dict[str, Any]) -> int:
    """Return a row's bytes (Amazon DynamoDB Developer Guide, "Item sizes and formats")."""
    return sum(len(name.encode()) + _value(value) for name, value in row.items())


def _value(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return len(content) // 2 + 2
    if kind == "SS":
        return sum(len(one.encode()) for one in content)
    if kind == "L":
        return 3 + sum(1 + _value(one) for one in content)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _value(one) for name, one in content.items())
    return 1


def event_row(event: Any) -> dict[str, Any]:
    """Return an event's row, as the adapter writes it."""
    listed = {"job_day": event.job_day} if event.job_day is not None else {}
    return item(event, sort_key=event.sort, epoch_ms=event.epoch_ms, **listed)


class BilledRuns(MemoryRuns):
    """The tables of orders and events."""

    def __init__(self, meter: Meter, count: Callable[..., None]) -> None:
        super().__init__()
        self._meter, self._count = meter, count

    def read(self, run_id: str) -> RunRows:
        self._count("dynamodb.Query")
        found = super().read(run_id)
        self._meter.read([item(row) for row in (*found.orders, *([found.run] if found.run else []))])
        return found

    def read_some(self, run_id: str, order_nums: Any) -> RunRows:
        self._count("dynamodb.BatchGetItem")
        found = super().read_some(run_id, order_nums)
        for row in (*found.orders, *([found.run] if found.run else [])):
            self._meter.read([item(row)])
        return found

    def find_run(self, run_id: str) -> Any:
        self._count("dynamodb.GetItem")
        self._meter.read([item(self.run_rows[run_id])])
        return super().find_run(run_id)

    def find_order(self, run_id: str, order_num: str) -> Any:
        self._count("dynamodb.GetItem")
        self._meter.read([item(self.order_rows[run_id][order_num])])
        return super().find_order(run_id, order_num)

    def _present(self, transition: Transition) -> Any:
        # A condition is checked where the row is written.
        run_id, num = transition.before.run_id, transition.before.order_num
        return self.run_rows.get(run_id) if num == RUN_ORDER_NUM else self.order_rows[run_id].get(num)

    def insert(self, run: Any, orders: Any, events: Any) -> bool:
        rows = len(orders) + len(events) + 1
        self._count("dynamodb.TransactWriteItems", ceil(rows / 100))
        for row in (run, *orders):
            self._meter.write(item(row), times=2)
        for event in events:
            self._meter.event(event_row(event))
        return super().insert(run, orders, events)

    def apply(self, transitions: Sequence[Transition], *, whole: bool = False, unless_cancelled: bool = False) -> Any:
        calls = ceil(sum(1 + (one.event is not None) for one in transitions) / (100 - unless_cancelled))
        self._count("dynamodb.TransactWriteItems", calls)
        self.bill(transitions, times_checked=calls if unless_cancelled else 0)
        return super().apply(transitions, whole=whole, unless_cancelled=unless_cancelled)

    def bill(self, transitions: Sequence[Transition], *, times_checked: int) -> None:
        """Count rows that transactions write; ``times_checked`` of these also check that the run is not cancelled."""
        for one in transitions:
            self._meter.write(item(one.before), item(one.after), times=2)
            if one.event is not None:
                self._meter.event(event_row(one.event))
        if times_checked and transitions:
            self._meter.write(item(self.run_rows[transitions[0].before.run_id]), times=2 * times_checked)


class BilledRows:
    """Locks, deliveries and chains of tickets: a write of the row that each method leaves, or a read."""

    def __init__(self, port: Any, meter: Meter, count: Callable[..., None], rows: Callable[[], dict[str, Any]]) -> None:
        self._port, self._meter, self._count, self._rows = port, meter, count, rows

    def __getattr__(self, method: str) -> Any:
        value = getattr(self._port, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._count(f"dynamodb.{method}")
            before = dict(self._rows())
            answer = value(*args, **kwargs)
            if method == "read":
                self._meter.read([item(answer)] if answer is not None else [])
                return answer
            changed = [row for key, row in self._rows().items() if before.get(key) is not row]
            # A write whose condition fails costs as much.
            for row in changed or list(self._rows().values())[-1:]:
                self._meter.write(item(row), times=2 if len(changed) > 1 else 1)
            return answer

        return call


class BilledLastWrites(MemoryLastWrites):
    """The transaction that writes rows and releases the lock."""

    def __init__(self, runs: BilledRuns, locks: MemoryLocks, meter: Meter, count: Callable[..., None]) -> None:
        # What it does to the rows is a part of its own call.
        plain = MemoryRuns()
        plain.run_rows, plain.order_rows, plain.event_rows = runs.run_rows, runs.order_rows, runs.event_rows
        super().__init__(plain, locks)
        self._billed, self._meter, self._count = runs, meter, count

    def write(self, transitions: Sequence[Transition], lock: Lock, *, unless_cancelled: bool = False) -> bool:
        self._count("dynamodb.TransactWriteItems")
        self._meter.write(item(lock), times=2)
        self._billed.bill(transitions, times_checked=1 if unless_cancelled else 0)
        return super().write(transitions, lock, unless_cancelled=unless_cancelled)


class BilledObjects(MemoryObjects):
    """A bucket."""

    def __init__(self, clock: Any, meter: Meter, count: Callable[..., None]) -> None:
        super().__init__(clock)
        self._meter, self._counts = meter, count

    def _bill(self, name: str, operation: str) -> None:
        self._counts(f"s3.{operation}")
        self._meter.used[name] += 1

    def put(self, *args: Any, **kwargs: Any) -> None:
        self._bill("s3_put", "PutObject")
        super().put(*args, **kwargs)

    def create(self, key: str, body: bytes, **kwargs: Any) -> None:
        if key in self.objects:
            self._bill("s3_put", "PutObject")
        super().create(key, body, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> bytes:
        self._bill("s3_get", "GetObject")
        return super().get(*args, **kwargs)

    def exists(self, key: str) -> bool:
        self._bill("s3_get", "HeadObject")
        return super().exists(key)

    def list(self, *args: Any, **kwargs: Any) -> Any:
        self._bill("s3_put", "ListObjectsV2")
        return super().list(*args, **kwargs)


class Exchange:
    """The worker's requests by presigned URLs."""

    def __init__(self, objects: BilledObjects, work: Work) -> None:
        self._objects, self._order, self._code = objects, (work.run_id, work.order_num), work.code_sha256

    def create_claim(self, url: str, claim: Any) -> None:
        self._objects.create(keys.claim(*self._order), claim.model_dump_json().encode())

    def fetch(self, url: str, path: Path) -> None:
        is_code = self._code is not None and path.name == "code.zip"
        path.write_bytes(self._objects.get(keys.code(self._code or "") if is_code else keys.package(*self._order)))

    def store_log(self, url: str, path: Path) -> None:
        self._objects.put(keys.log(*self._order), path.read_bytes())

    def send_part(self, url: str, body: bytes) -> None:
        self._objects.put(keys.live_part(*self._order, 0), body)

    def report(self, url: str, result: bytes) -> None:
        self._objects.create(keys.result(*self._order), result)


@dataclass(frozen=True, slots=True)
class Workload:
    """A thousand independent orders: how long each runs, whether it prints a line a second, and what it is given."""

    name: str
    target: float | None
    seconds: int = 0
    talks: bool = False
    secrets: bool = False
    code: bool = False


WORKLOADS: Final = (
    Workload("short", 0.04),
    Workload("five minutes, silent", 0.06, seconds=300),
    Workload("five minutes, a line a second", 0.16, seconds=300, talks=True),
    Workload("short, with code", None, code=True),
    Workload("short, with code and a secret", None, code=True, secrets=True),
)


class Time:
    """The commands of one order: beats, parts of the log and lines in seconds that nobody waits for."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._beat: Callable[[], float] | None = None
        self._due = 0.0
        self._live: LiveLog | None = None
        self.now = 0.0

    @contextlib.contextmanager
    def during(self, beat: Callable[[], float], first: float) -> Iterator[None]:
        self._beat, self._due = beat, self.now + first
        yield

    def live_log(self, *args: Any) -> LiveLog:
        time = self

        class Ticked(LiveLog):
            @contextlib.contextmanager
            def during(self) -> Iterator[None]:
                time._live = self
                yield

        return Ticked(*args, clock=lambda: time.now)

    def run(self, commands: Any, log: Path, redactor: Any) -> Outcome:
        with log.open("ab") as file:
            file.write(b"done\n")
            for second in range(1, self._workload.seconds + 1):
                self.now = float(second)
                if self._workload.talks:
                    file.write(b"aws_instance.web: Still creating...\n")
                    file.flush()
                if self._beat is not None and self.now >= self._due:
                    self._due = self.now + self._beat()
                if self._live is not None and self._workload.talks:
                    self._live.tick()
        return Outcome(Ending.EXITED, 0, len(commands.cmds) - 1, len(commands.cmds))


class BilledEngine(Engine):
    """The engine in memory, with everything that is billed counted."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.meter = Meter()
        self.function = "init-job"
        self.invocations = Counter({"init-job": 2})
        self.calls_of: Counter[str] = Counter()
        clock = EvenClock()
        runs, locks, deliveries, chains = (
            BilledRuns(self.meter, self.count),
            MemoryLocks(),
            MemoryDeliveries(),
            MemoryTicketChains(),
        )
        internal = BilledObjects(clock, self.meter, self.count)
        super().__init__(
            runs,
            self._rows(locks, lambda: locks.locks),
            BilledLastWrites(runs, locks, self.meter, self.count),
            self._rows(deliveries, lambda: deliveries.deliveries),
            internal,
            BilledObjects(clock, self.meter, self.count),
            MemoryCodeStore({("theirs", "code.zip"): _archive()}),
        )
        self.runs = runs
        # One clock for all: an order that seems to have waited for its worker asks the broker first.
        clock = self.orchestrator._ports.clock
        self.sealer = Observed(MemorySealer(), name="sealer", before=self._sealed)
        secrets = MemorySecrets()
        start = OrderStart(
            "iac-ci",
            internal,
            self.sealer,
            MemoryTargetRoles(),
            SourceGrants(secrets, None),
            HandOn("iac-ci", internal, self.sealer),
        )
        self._broker = Broker(
            BrokerPorts(
                clock,
                runs,
                self._rows(chains, lambda: chains.chains),
                internal,
                MemoryLogger(),
                start,
                ModuleTokens(secrets, None, {}),
            )
        )
        self._clock = clock
        self.preparer._ports = replace(self.preparer._ports, sealer=self.sealer)

    def _rows(self, port: Any, rows: Callable[[], dict[str, Any]]) -> Any:
        return BilledRows(port, self.meter, self.count, rows)

    def _sealed(self, name: str) -> None:
        if name.endswith("_identity"):
            self.meter.used["kms_request"] += 1

    def count(self, name: str, amount: int = 1) -> None:
        """Also attribute the calls to the function that makes them."""
        if name == "dynamodb.ring":
            self.function = "orchestrator"
            self.invocations["orchestrator"] += 1
        if name == "events.put":
            self.meter.used["event"] += amount
        self.calls_of[self.function] += amount
        super().count(name, amount)

    def trade(self, trade: Any) -> Any:
        """Answer a worker's trade, as the broker's function does."""
        caller, self.function = self.function, "broker"
        self.invocations["broker"] += 1
        answer = self._broker.trade(trade)
        self.function = caller
        return answer

    def work(self, work: Work) -> None:
        """Run an order by the real worker; only its commands are a double."""
        caller, self.function = self.function, "worker"
        self.invocations["worker"] += 1
        time = Time(self.workload)
        ports: Any = WorkerPorts(
            self._clock, Exchange(self.internal, work), self.sealer, time, self, time, MemoryLogger(),
            live_log=time.live_log, parallel=self.parallel,
        )  # fmt: skip
        assert Worker(ports, WorkerSettings()).run(work) is OrderState.SUCCEEDED
        self.function = caller

    def looked_after(self) -> None:
        """Count the watchdog's check of each minute: the lock and the run's row, and all rows once after a pass.

        As many orders run at once as may, and all of these end in the same minute.
        """
        rows = self.rows_of_run()
        whole = [item(rows.run), *(item(order) for order in rows.orders)]
        waves = ceil(len(rows.orders) / PARALLEL)
        minutes = max(1, ceil(self.workload.seconds / 60) * waves)
        for minute in range(minutes):
            self.meter.read(whole if minute % ceil(minutes / waves) == 0 else whole[:1])
            self.meter.used["dynamodb_read_unit"] += 1
        self.meter.used["step_functions_transition"] += TRANSITIONS_OF_A_WATCHDOG + 3 * (minutes - 1)
        self.invocations["watchdog-check"] = minutes
        self.calls_of["watchdog-check"] = 2 * minutes

    def rows_of_run(self) -> Any:
        """Return the run's rows without counting a read."""
        return MemoryRuns.read(self.runs, self.run_id)

    def lambda_seconds(self) -> float:
        """Return the gigabyte-seconds of all functions without those of the commands, as ``ASSUMED``."""
        functions = json.loads((STACK / "functions.json").read_text("utf-8"))["functions"]
        return sum(
            functions[name]["memory_mb"]
            / 1024
            * (
                ASSUMED.start * min(number, ENVIRONMENTS[name])
                + ASSUMED.own * number
                + ASSUMED.call * self.calls_of[name]
            )
            for name, number in self.invocations.items()
        )

    def quantities(self) -> dict[str, float]:
        """Return the quantity of each priced item."""
        self.looked_after()
        priced = json.loads((ROOT / "bench/prices.json").read_text("utf-8"))["prices"]
        used = {name: float(self.meter.used[name]) for name in priced}
        return used | {
            "lambda_request": float(sum(self.invocations.values())),
            "lambda_gb_second": self.lambda_seconds(),
            "api_gateway_request": 1.0,
        }


def _archive() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("main.tf", "# nothing\n")
    return body.getvalue()


def run(workload: Workload, orders: int) -> BilledEngine:
    """Run a workload to its end."""
    fields: dict[str, Any] = {"timeout": max(60, workload.seconds + 60)}
    if workload.code:
        fields["s3_location"] = "s3://theirs/code.zip"
    if workload.secrets:
        fields["secrets"] = {"TOKEN": SECRET}
    engine = BilledEngine(workload)
    engine.preparer._ports.secrets.values[parse_location(SECRET)] = "a secret"
    # A result for each call of the orchestrator: many results share a pass, as in every wide run.
    engine.pace = 1
    assert engine.run([one | fields for one in independent(orders)]).status is RunState.SUCCEEDED
    return engine


def main() -> None:
    """Print the bill of each workload; the argument is the number of orders, 1,000 by default."""
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        for workload in WORKLOADS:
            engine = run(workload, orders)
            used = engine.quantities()
            costs = bill(used)
            total = sum(costs.values()) * 1000 / orders
            target = f" (target {workload.target:.2f})" if workload.target is not None else ""
            print(f"{workload.name}: {total:.4f} USD for 1,000 orders{target}")
            for name, cost in sorted(costs.items(), key=lambda found: -found[1]):
                if cost:
                    print(f"  {name:<28}{used[name]:>12,.0f}{cost:>10.5f}")
            print(f"  of them entries of indexes  {engine.meter.used['index entries']:>12,.0f}")


if __name__ == "__main__":
    main()
