"""The ledger of plans, in DynamoDB and in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.saved_plan import PlannedFile, PlanRecord, ProjectState, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.testing.samples import RUN_ID

PROJECT = "a" * 64
STATE = keys.project_state(PROJECT)


def record(now, number=7, **fields):
    saved = SavedPlan(
        run_id=RUN_ID,
        order_num="0001",
        order_name="plan-network",
        file="iac-ci.tfplan",
        planned=PlannedFile(sha256="b" * 64, tool="terraform", tool_version="1.11.4", workspace="default"),
        files=Sealed(sha256="c" * 64, size=10, identity="YQ=="),
        generation=3,
    )
    whole = {
        "key": keys.plan_record("github.com/acme/infra", number, PROJECT),
        "project": PROJECT,
        "name": "live/network",
        "pull_request": number,
        "repository": "https://github.com/acme/infra.git",
        "commit": "d" * 40,
        "base": "main",
        "saved": saved,
        "planned_at": now,
        "usable_until": now + timedelta(days=13),
        "expires_at": now + timedelta(days=14),
    }
    return PlanRecord(**(whole | fields))


def test_a_key_has_the_digest_of_a_project():
    with pytest.raises(ValueError, match="not the digest"):
        keys.plan_record("github.com/acme/infra", 7, "live/network")
    with pytest.raises(ValueError, match="not the digest"):
        keys.project_state("")


def test_what_was_written_is_read(adapters, now):
    first, second = record(now), record(now, number=8)
    assert adapters.plans.records([first.key, second.key]) == {}
    written = adapters.plans.write_record(first)
    assert written.version == 1
    assert adapters.plans.records([first.key, second.key]) == {first.key: written}
    again = adapters.plans.write_record(second)
    assert adapters.plans.records([first.key, second.key, first.key]) == {first.key: written, second.key: again}


def test_many_rows_are_read(adapters, now):
    wanted = [record(now, number=number) for number in range(1, 131)]
    written = {one.key: adapters.plans.write_record(one) for one in wanted}
    assert adapters.plans.records([one.key for one in wanted]) == written


def test_of_two_that_read_the_same_one_writes(adapters, now):
    state = adapters.plans.write_state(ProjectState(key=STATE, expires_at=now + timedelta(days=1)))
    changed = adapters.plans.write_state(state.model_copy(update={"generation": 1}))
    with pytest.raises(ConditionFailed) as refused:
        adapters.plans.write_state(state.model_copy(update={"generation": 5}))
    assert refused.value.retry_is_safe
    assert adapters.plans.states([STATE]) == {STATE: changed}


def test_an_expired_row_counts_as_missing(adapters, now):
    old = record(now, expires_at=now - timedelta(seconds=1))
    adapters.plans.write_record(old)
    assert adapters.plans.records([old.key]) == {}
    assert adapters.plans.write_record(record(now)).version == 1
