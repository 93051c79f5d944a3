"""Rows that a newer version wrote keep its attributes whatever this version does to them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.aws.deliveries import DynamoDeliveries
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.rows import item, model
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.errors import StoredUnreadable
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.lock import Delivery
from iac_ci_common.models.rows import ReportTarget, RunRow
from iac_ci_common.ports import Transition
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import FakeClock, MemoryRuns
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_triggers.dynamo_ledgers import DynamoLedgers
from iac_ci_triggers.ledger import Ledger
from upgrade.cloud import Cloud

FUTURE = {
    "future_text": {"S": "x"},
    "future_set": {"SS": ["a", "b"]},
    "future_map": {"M": {"deep": {"NULL": True}}},
    "future_bytes": {"B": b"\x00\x01"},
}


@pytest.fixture(scope="module")
def cloud():
    with Cloud(START).running() as cloud:
        cloud.lay_out()
        yield cloud


@pytest.fixture
def client(cloud):
    return cloud.client("dynamodb")


def add_future(client, table, **key):
    """Let a newer version write its attributes beside ours."""
    client.update_item(
        TableName=table,
        Key={name: {"S": value} for name, value in key.items()},
        UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in FUTURE),
        ExpressionAttributeValues={f":{name}": value for name, value in FUTURE.items()},
    )


def future_of(client, table, **key):
    item = client.get_item(TableName=table, Key={name: {"S": value} for name, value in key.items()})["Item"]
    return {name: value for name, value in item.items() if name in FUTURE}


def test_orders_and_runs_keep_them_through_every_kind_of_write(client):
    runs = DynamoRuns(client, "orders", "events")
    report = ReportTarget(repository="https://git.example/acme/infra", number=7)
    assert runs.insert(run_row(status=RunState.QUEUED, report=report), [order_row(1)], [])
    for num in ("0000", "0001"):
        add_future(client, "orders", run_id=RUN_ID, order_num=num)
    rows = runs.read(RUN_ID)
    (order,) = rows.orders
    sent = order.model_copy(update={"status": OrderState.DISPATCHING, "dispatched_at": START, "order_deadline": START})
    running = rows.run.model_copy(update={"status": RunState.RUNNING})
    assert runs.apply([Transition(order, sent), Transition(rows.run, running)]) == ()
    runs.request_cancel(RUN_ID, "wrong branch")
    changes = Changes(operation=Operation.PLANNED, add=1)
    ended = sent.model_copy(update={"status": OrderState.SUCCEEDED, "changes": changes, "order_deadline": None})
    assert runs.apply([Transition(sent, ended)]) == ()
    assert not runs.insert(run_row(), [order_row(1, code_sha256="f" * 64)], [])
    for num in ("0000", "0001"):
        assert future_of(client, "orders", run_id=RUN_ID, order_num=num) == FUTURE
    assert runs.read(RUN_ID).orders == (ended,)


def test_locks_and_deliveries_keep_them(client):
    locks, later = DynamoLocks(client, "locks"), START + timedelta(days=2)
    lock = locks.ring(RUN_ID, {"0001"}, owner="me", now=START, lease_seconds=30, expires_at=later)
    add_future(client, "locks", lock_key=keys.run_lock(RUN_ID))
    lock = locks.renew(lock, now=START, lease_seconds=60)
    assert locks.release(lock) is None
    lock = locks.take(RUN_ID, owner="you", now=START, lease_seconds=30, expires_at=later)
    locks.complete(lock)
    assert future_of(client, "locks", lock_key=keys.run_lock(RUN_ID)) == FUTURE
    key = keys.delivery("api", "key/one")
    deliveries = DynamoDeliveries(client, "locks")
    deliveries.remember([Delivery(key=key, run_id=RUN_ID, body_sha256="f" * 64, expires_at=later)], now=START)
    add_future(client, "locks", lock_key=key)
    deliveries.answer(key, "{}")
    assert future_of(client, "locks", lock_key=key) == FUTURE


def test_a_ledger_keeps_them_beside_its_text_and_inside_it(client):
    ledgers = DynamoLedgers(client, "locks", FakeClock(START))
    key = keys.pull_request_ledger("git.example/acme/infra", 7)
    later = START + timedelta(days=1)
    run = {"run_id": RUN_ID, "job": "plan", "sha": "c" * 40, "intent": "event", "started_at": START, "future": None}
    first = Ledger.from_stored({"key": key, "expires_at": later, "runs": [run], "future": {"deep": None}})
    ledgers.write(first)
    add_future(client, "locks", lock_key=key)
    read = ledgers.read(key)
    ledgers.write(read.model_copy(update={"approved_by": "ada"}))
    assert future_of(client, "locks", lock_key=key) == FUTURE
    again = ledgers.read(key)
    assert again.approved_by == "ada"
    assert again.model_extra == {"future": {"deep": None}}
    assert again.runs[0].model_extra == {"future": None}


def test_of_an_expired_ledger_nothing_is_kept(client):
    clock = FakeClock(START)
    ledgers = DynamoLedgers(client, "locks", clock)
    key = keys.branch_ledger("git.example/acme/infra", "main")
    ledgers.write(Ledger(key=key, expires_at=START + timedelta(hours=1)))
    add_future(client, "locks", lock_key=key)
    clock.advance(7200)
    ledgers.write(Ledger(key=key, expires_at=clock.now() + timedelta(hours=1)))
    assert future_of(client, "locks", lock_key=key) == {}


def test_a_state_of_a_newer_version_stops_the_run_and_loses_nothing(client):
    other = "20260101T000000-ffffffffffff"
    runs = DynamoRuns(client, "orders", "events")
    runs.insert(run_row(run_id=other), [order_row(1, run_id=other)], [])
    client.update_item(
        TableName="orders",
        Key={"run_id": {"S": other}, "order_num": {"S": "0001"}},
        UpdateExpression="SET #status = :future",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":future": {"S": "paused"}},
    )
    with pytest.raises(StoredUnreadable, match="status"):
        runs.read(other)


def test_runs_in_memory_keep_what_was_written_since_as_the_table_does():
    runs = MemoryRuns()
    runs.insert(run_row(), [order_row(1)], [])
    read = runs.read(RUN_ID).orders[0]
    newer = type(read).from_stored(read.model_dump() | {"future": 1})
    runs.order_rows[RUN_ID]["0001"] = newer
    sent = read.model_copy(update={"status": OrderState.DISPATCHING, "dispatched_at": START})
    assert runs.apply([Transition(read, sent)]) == ()
    (kept,) = runs.read(RUN_ID).orders
    assert (kept.model_extra, kept.status) == ({"future": 1}, OrderState.DISPATCHING)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("expires_at", {"S": "soon"}),
        ("expires_at", {"N": "1767225600000"}),
        ("report", {"M": {"repository": {"S": "x"}}}),
        ("report", {"S": "{"}),
    ],
)
def test_an_attribute_of_another_form_cannot_be_read_and_is_named(name, value):
    with pytest.raises(StoredUnreadable, match=f"stored RunRow .{name}") as refused:
        model(RunRow, {**item(run_row()), name: value})
    assert refused.value.retry_is_safe
