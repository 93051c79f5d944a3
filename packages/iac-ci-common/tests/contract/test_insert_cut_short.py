"""What only the table on AWS can show: a large insert takes several calls, and its process may die between them."""

from __future__ import annotations

import pytest

from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.errors import Throttled
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.testing.samples import RUN_ID, TRACE_ID, stored_job

ORDERS = 50
"""One more than what one transaction inserts with the run."""

CODE = {"0001": "a" * 64, "0002": "b" * 64}
PACKAGES = {"0001": "c" * 64, "0002": "d" * 64, "0003": "e" * 64}


class DyingClient:
    """Passes calls on until the one that would write the run's own row."""

    def __init__(self, client) -> None:
        self._client = client

    def transact_write_items(self, **request):
        for entry in request["TransactItems"]:
            if entry.get("Put", {}).get("Item", {}).get("order_num") == {"S": RUN_ORDER_NUM} and (
                entry["Put"]["TableName"] == "orders"
            ):
                raise Throttled("the process died here")
        return self._client.transact_write_items(**request)


def prepared():
    return build_rows(stored_job([{} for _ in range(ORDERS)]), max_parallel=10, code=CODE, packages=PACKAGES)


def given_up():
    return build_rows(stored_job([{} for _ in range(ORDERS)]), max_parallel=1, preparation_error="it took too long")


def cut_short(dynamodb, rows):
    with pytest.raises(Throttled):
        DynamoRuns(DyingClient(dynamodb), "orders", "events").insert(*rows)


def test_a_run_without_its_own_row_is_not_there_yet(dynamodb):
    cut_short(dynamodb, prepared())
    read = DynamoRuns(dynamodb, "orders", "events").read(RUN_ID)
    assert read.run is None
    assert len(read.orders) == ORDERS


def test_the_next_attempt_finishes_what_was_cut_short(dynamodb):
    cut_short(dynamodb, prepared())
    runs = DynamoRuns(dynamodb, "orders", "events")
    assert runs.insert(*prepared())
    assert runs.read(RUN_ID).run == prepared().run
    assert runs.read(RUN_ID).orders == prepared().orders


def test_orders_get_their_code_though_a_run_given_up_left_rows_without(dynamodb):
    cut_short(dynamodb, given_up())
    runs = DynamoRuns(dynamodb, "orders", "events")
    assert runs.insert(*prepared())
    read = runs.read(RUN_ID)
    assert read.run.preparation_error is None
    assert [order.code_sha256 for order in read.orders[:3]] == ["a" * 64, "b" * 64, None]
    assert [order.package_sha256 for order in read.orders[:3]] == list(PACKAGES.values())


def test_giving_up_late_takes_no_code_away(dynamodb):
    cut_short(dynamodb, prepared())
    runs = DynamoRuns(dynamodb, "orders", "events")
    assert runs.insert(*given_up())
    assert [order.code_sha256 for order in runs.read(RUN_ID).orders[:3]] == ["a" * 64, "b" * 64, None]


def test_who_comes_second_does_not_tell_that_the_preparation_failed(dynamodb):
    runs = DynamoRuns(dynamodb, "orders", "events")
    assert runs.insert(*prepared())
    assert not runs.insert(*given_up())
    assert "preparation_failed" not in [event.kind for event in runs.events(TRACE_ID)]


def test_a_small_run_is_inserted_whole_or_not_at_all(dynamodb):
    small = build_rows(stored_job([{} for _ in range(ORDERS - 1)]), max_parallel=10)
    cut_short(dynamodb, small)
    runs = DynamoRuns(dynamodb, "orders", "events")
    assert runs.read(RUN_ID).orders == ()
    assert runs.insert(*small)
    assert not runs.insert(*small)
    assert len(runs.read(RUN_ID).orders) == ORDERS - 1
    assert len(runs.events(TRACE_ID)) == len(small.events)
