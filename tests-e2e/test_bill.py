"""What 1,000 orders cost, from exact counts and list prices."""

from __future__ import annotations

import tempfile
from hashlib import sha256

import pytest
from bench.bill import bill
from billing import WORKLOADS, run, size

from iac_ci_common import keys
from iac_ci_common.aws.rows import item
from iac_ci_common.models.lock import Lock
from iac_ci_common.ports import RunRows
from iac_ci_common.testing.samples import RUN_ID, START, order_row
from iac_ci_orchestrator.changed_rows import MOST_CHANGES, with_changes

SHORT, SILENT, TALKATIVE, CODE, SECRET = WORKLOADS


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def quantities(workload, orders):
    return run(workload, orders).quantities()


def dollars(workload, orders):
    return sum(bill(quantities(workload, orders)).values())


def of_a_thousand(workload):
    """Return the cost of 1,000 orders: each further hundred costs what the second hundred does."""
    first, second = dollars(workload, 100), dollars(workload, 200)
    return first + 9 * (second - first)


def test_the_quantities_are_the_same_each_time():
    assert quantities(SILENT, 10) == quantities(SILENT, 10)


@pytest.mark.parametrize("workload", [SHORT, SILENT, TALKATIVE], ids=lambda workload: workload.name)
def test_a_thousand_orders_cost_at_most_the_target(workload):
    assert 0 < of_a_thousand(workload) <= workload.target


def test_what_commands_do_is_billed_where_it_is_used():
    orders = 10
    short, silent, talkative, code, secret = (quantities(workload, orders) for workload in WORKLOADS)
    # Six heartbeats in five minutes, and after the first one a trade each for the URLs of log and result.
    assert silent["lambda_request"] - short["lambda_request"] >= 6 * orders
    assert silent["s3_put"] == short["s3_put"]
    # A part every five seconds in the first minute, then every thirty.
    assert 18 * orders <= talkative["s3_put"] - silent["s3_put"] <= 20 * orders
    assert code["s3_get"] - short["s3_get"] >= orders
    assert short["kms_request"] == code["kms_request"] == 0
    # One identity is encrypted for all, and the broker decrypts it for each.
    assert secret["kms_request"] == orders + 1
    assert secret["step_functions_transition"] == short["step_functions_transition"] == 4


@pytest.mark.parametrize("of_a_release", [0, 1, 2, MOST_CHANGES])
def test_a_lock_that_lists_changes_is_written_for_the_price_of_a_kilobyte(of_a_release):
    before = {f"{number:04d}": order_row(number) for number in range(1, of_a_release + 1)}
    held = Lock(
        run_id=RUN_ID, owner="0123456789abcdef", lease_until=START, token=99, doorbell=99_998, answered=99_998,
        rung=frozenset({"1000/10", "0999/10", "all-0123456789abcdef"}),
        reported_at=START, announce_at=START, expires_at=START,
        changed_rows=tuple(f"{99_000 + entry}:" for entry in range(MOST_CHANGES)),
    )  # fmt: skip
    lengths = []
    for doorbell in range(99_999, 99_999 + 2 * MOST_CHANGES):
        reason = sha256(str(doorbell).encode()).hexdigest()
        after = [order.model_copy(update={"reason": reason, "exit_code": doorbell}) for order in before.values()]
        held = held.model_copy(update={"doorbell": doorbell})
        held = with_changes(held, before, RunRows(None, tuple(after))).model_copy(update={"answered": doorbell})
        assert size(item(held, lock_key=keys.run_lock(RUN_ID))) <= 1024
        lengths.append(len(held.changed_values))
    assert held.changed_rows
    assert bool(of_a_release) == (max(lengths) > 200)
