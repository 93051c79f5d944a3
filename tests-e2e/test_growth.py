"""What happens to the cost of a run when it has more orders: by counts, for no time is the same twice."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import timedelta
from itertools import cycle

import boto3
import pytest
from counting import MemoryEngine, chain, independent
from looks import LOOKS, Looking
from moto import mock_aws

from iac_ci_common.aws.rows import item
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.decide import decide

SIZES = (10, 100, 1000)
PACES = [
    pytest.param(0, id="one result after another", marks=pytest.mark.full),
    pytest.param(1, id="all in a few seconds"),
]


def calls_of_a_run(orders, pace=0):
    engine = MemoryEngine()
    engine.pace = pace
    assert engine.run(orders).status is RunState.SUCCEEDED
    return engine.calls


@pytest.mark.parametrize("pace", PACES)
def test_calls_for_each_order_do_not_grow(pace):
    small, middle, large = (sum(calls_of_a_run(independent(size), pace).values()) / size for size in SIZES)
    # What a run costs once weighs most in the smallest. Only the largest has more orders than may be open at once: an
    # order that takes a place that came free is dispatched by two transactions of its own, and its pass asks for the
    # run's watchdog.
    assert small > middle
    assert large <= middle + 2


def test_calls_of_a_chain_do_not_grow():
    small, middle, large = (sum(calls_of_a_run(chain(size)).values()) / size for size in (5, 50, 500))
    assert small > middle > large


@pytest.mark.parametrize("orders", [chain(5), chain(50), chain(200), independent(100)], ids=lambda orders: len(orders))
def test_a_process_that_works_on_a_run_alone_reads_each_row_once(orders):
    engine = MemoryEngine()
    assert engine.run(orders).status is RunState.SUCCEEDED
    assert engine.rows == len(orders) + 1
    assert engine.calls["dynamodb.Query"] == 1  # the trigger's


class TakingTurns:
    """Processes of the orchestrator, each of which gets the next event."""

    def __init__(self, ports, number):
        self._next = cycle([Orchestrator(ports) for _ in range(number)])

    def wake(self, run_id, order_nums):
        next(self._next).wake(run_id, order_nums)


@pytest.mark.parametrize("processes", [2, 4])
def test_rows_read_by_processes_that_take_turns_do_not_grow(processes):
    read = []
    for size in (50, 200):
        engine = MemoryEngine()
        engine.orchestrator = TakingTurns(engine.orchestrator._ports, processes)
        assert engine.run(chain(size)).status is RunState.SUCCEEDED
        assert engine.calls["dynamodb.Query"] == processes
        assert engine.calls["dynamodb.BatchGetItem"] == 0
        read.append(engine.rows / size)
    # Each process reads each row once; what the others have changed since is in the lock.
    assert max(read) <= 1.1 * processes


def test_a_look_at_a_run_whose_rows_are_remembered_reads_none():
    engine = Looking()
    engine.run_some(LOOKS + 9)
    assert (len(engine.looks), engine.rows_of_looks) == (LOOKS, 0)


@pytest.mark.parametrize("pace", PACES)
def test_rows_read_for_each_order_of_a_thousand_are_at_most_three(pace):
    engine = MemoryEngine()
    engine.pace = pace
    assert engine.run(independent(1000)).status is RunState.SUCCEEDED
    assert engine.rows <= 3 * 1000


@pytest.mark.parametrize("pace", PACES)
def test_no_operation_is_called_more_often_for_each_order_of_a_thousand(pace):
    middle, large = (calls_of_a_run(independent(size), pace) for size in (100, 1000))
    for operation in large:
        assert large[operation] <= 1.05 * 10 * middle[operation] + 1000, operation
    # A look at the whole run costs the same calls however many orders there are, and no order needs more than one.
    assert large["dynamodb.Query"] <= 1000 + 2
    assert large["s3.ListObjectsV2"] == middle["s3.ListObjectsV2"] == 0
    assert large["s3.GetObject"] == 2 * 1000  # its package and its result


def test_a_look_reads_the_run_in_one_query_for_each_megabyte(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(
            TableName="orders",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": "run_id", "KeyType": "HASH"},
                {"AttributeName": "order_num", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("run_id", "order_num")],
        )
        asked: Counter[str] = Counter()
        client.meta.events.register("before-call", lambda model, **_: asked.update([model.name]))
        runs = DynamoRuns(client, "orders", "events")

        def queries(rows, kilobytes):
            for num in range(1, rows + 1):
                row = item(order_row(num)) | {"padding": {"S": "x" * 1000 * kilobytes}}
                client.put_item(TableName="orders", Item=row)
            asked.clear()
            assert len(runs.read(RUN_ID).orders) == rows
            return asked["Query"]

        assert queries(50, 10) == 1
        assert queries(50, 30) == 2
        assert queries(50, 50) == 3


def steps(work):
    """Count the calls that ``work`` makes, of Python's own functions too: the same work always makes the same."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def layers(orders):
    """Make layers of ten, each order of which depends on all of the layer before: ten dependencies an order."""
    return [
        order_row(num, after=range((num - 1) // 10 * 10 - 9, (num - 1) // 10 * 10 + 1) if num > 10 else ())
        for num in range(1, orders + 1)
    ]


def wide(orders):
    return [order_row(num) for num in range(1, orders + 1)]


def in_a_row(orders):
    return [order_row(num, after=[num - 1] if num > 1 else []) for num in range(1, orders + 1)]


def after_one(orders):
    """Let all depend on the first: when it fails, all are skipped in the same look."""
    first = order_row(1, status=OrderState.FAILED, ended_at=START)
    return [first, *(order_row(num, after=[1]) for num in range(2, orders + 1))]


@pytest.mark.parametrize("graph", [layers, wide, in_a_row, after_one])
def test_deciding_takes_steps_in_proportion_to_orders_and_dependencies(graph):
    now = START + timedelta(seconds=1)

    def deciding(size):
        orders, run = graph(size), run_row(order_count=size, max_parallel=size)
        return steps(lambda: decide(run, orders, {}, now))

    small, large = deciding(100), deciding(1000)
    # Ten times as many orders: ten times the steps, and a little for the sorting.
    assert large <= 11.5 * small
    assert small > 100


def test_a_graph_of_a_thousand_orders_is_decided_by_at_most_a_hundred_steps_for_each():
    orders = layers(1000)
    assert steps(lambda: decide(run_row(order_count=1000), orders, {}, START)) <= 100 * 1000
