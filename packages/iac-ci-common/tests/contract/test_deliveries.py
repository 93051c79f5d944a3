from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.lock import Delivery
from iac_ci_common.testing.samples import RUN_ID


def delivery(key, now, **fields):
    values = {"key": key, "run_id": RUN_ID, "body_sha256": "0" * 64, "expires_at": now + timedelta(minutes=10)}
    return Delivery(**(values | fields))


def test_deliveries_are_remembered_together_or_not_at_all(adapters, now):
    one, two, three = (delivery(f"delivery:api:{name}", now) for name in ("one", "two", "three"))
    assert adapters.deliveries.remember([one, two], now=now) is None
    assert adapters.deliveries.remember([three, two], now=now) == two
    assert adapters.deliveries.remember([three], now=now) is None


def test_an_expired_delivery_counts_as_gone_though_it_still_stands(adapters, now):
    one = delivery("delivery:api:one", now)
    adapters.deliveries.remember([one], now=now)
    assert adapters.deliveries.remember([one], now=now + timedelta(minutes=11)) is None


def test_an_answer_is_kept_with_its_delivery(adapters, now):
    one = delivery("delivery:api:one", now)
    adapters.deliveries.remember([one], now=now)
    adapters.deliveries.answer(one.key, "{}")
    assert adapters.deliveries.remember([one], now=now).answer == "{}"
    with pytest.raises(ConditionFailed):
        adapters.deliveries.answer("delivery:api:none", "{}")
