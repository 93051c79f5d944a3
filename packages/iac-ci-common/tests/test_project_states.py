"""What applies make of a project's row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.models.saved_plan import ProjectApply
from iac_ci_common.project_states import MAX_PULLS, begun, ended, new_state, planned

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NEW = new_state(keys.project_state("a" * 64), NOW)


def apply(run=1, order="0002", **fields):
    return ProjectApply(run_id=f"20260101T000000-{run:012x}", order_num=order, began_at=NOW, **fields)


def test_an_apply_begins_once():
    state = begun(NEW, apply(), 0, NOW)
    assert state.generation == 1
    assert begun(state, apply(), 0, NOW + timedelta(minutes=5)) == state


def test_after_an_apply_older_plans_are_stale_and_its_plan_too():
    during = begun(NEW, apply(), 0, NOW)
    after = ended(during, apply(status="succeeded"), NOW)
    assert (after.generation, after.applying, after.last.status) == (2, (), "succeeded")
    assert [begun(after, apply(run=9), generation, NOW) is None for generation in (0, 1, 2)] == [True, True, False]


def test_a_plan_that_began_during_an_apply_is_stale_when_it_ends_and_waits_for_no_end():
    during = begun(NEW, apply(), 0, NOW)
    assert begun(during, apply(run=2), during.generation, NOW) is None
    assert begun(ended(during, apply(), NOW), apply(run=2), during.generation, NOW) is None


def test_an_apply_that_plans_for_itself_begins_always_and_makes_plans_stale():
    state = begun(NEW, apply(), None, NOW)
    other = begun(state, apply(run=2), None, NOW)
    assert (other.generation, other.applying) == (2, (apply(), apply(run=2)))
    left = ended(other, apply(run=2), NOW)
    assert (left.generation, left.applying) == (3, (apply(),))
    assert begun(left, apply(run=3), left.generation, NOW) is None


@pytest.mark.parametrize("other", [apply(run=2), apply(order="0003")])
def test_only_the_apply_that_is_under_way_ends(other):
    during = begun(NEW, apply(), 0, NOW)
    assert ended(during, other, NOW) == during
    assert ended(NEW, other, NOW) == NEW


def test_the_row_names_the_newest_pull_requests():
    state = NEW
    for number in range(MAX_PULLS + 1):
        state = planned(state, number, NOW)
    assert state.pulls == tuple(range(1, MAX_PULLS + 1))
    assert planned(state, 5, NOW) == state
