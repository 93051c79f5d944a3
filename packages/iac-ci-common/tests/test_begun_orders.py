from __future__ import annotations

import pytest

from iac_ci_common import keys
from iac_ci_common.begun_orders import as_begun
from iac_ci_common.states import OrderState
from iac_ci_common.testing import FakeClock, MemoryObjects
from iac_ci_common.testing.samples import RUN_ID, START, order_row


@pytest.fixture
def objects():
    return MemoryObjects(FakeClock(START))


def test_an_order_that_a_worker_has_claimed_is_shown_as_running(objects):
    rows = [order_row(num, status=OrderState.DISPATCHING, dispatched_at=START) for num in (1, 2)]
    objects.create(keys.claim(RUN_ID, "0001"), b"{}")
    shown = as_begun(objects, rows)
    assert [(order.status, order.started_at) for order in shown] == [
        (OrderState.RUNNING, START),
        (OrderState.DISPATCHING, None),
    ]


def test_the_claim_of_an_earlier_attempt_says_nothing(objects):
    rows = [order_row(1, status=OrderState.DISPATCHING, dispatched_at=START, attempts=2, attempt=2)]
    objects.create(keys.claim(RUN_ID, "0001"), b"{}")
    assert as_begun(objects, rows) == tuple(rows)


def test_nothing_is_listed_if_no_order_is_being_dispatched(objects):
    objects.list = None
    rows = [order_row(1, status=OrderState.RUNNING), order_row(2), order_row(3, status=OrderState.SUCCEEDED)]
    assert as_begun(objects, rows) == tuple(rows)
