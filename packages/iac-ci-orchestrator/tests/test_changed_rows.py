"""What the owners of a run's lock have changed of its rows, as the lock's row lists it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.models.lock import Lock
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.ports import RunRows
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_orchestrator.changed_rows import (
    MOST_CHANGES,
    MOST_CHARS,
    joined,
    releases_since,
    with_changes,
    with_values,
)

FULL = f"5:{','.join(f'{number:04d}' for number in range(MOST_CHANGES - 1))}"


def lock(**fields):
    return Lock(run_id=RUN_ID, expires_at=START, **fields)


def unknown(nums):
    return {num: order_row(int(num) or 1) for num in nums}


def next_event(released):
    """Return the lock as the next owner takes it."""
    return released.model_copy(update={"answered": released.doorbell, "doorbell": released.doorbell + 1})


@pytest.mark.parametrize(
    ("answered", "listed", "changed"),
    [
        pytest.param(7, (), set(), id="nobody else has held the lock"),
        pytest.param(7, ("6:0001", "7:0002"), set(), id="what is listed was seen"),
        pytest.param(9, ("7:0001", "9:"), set(), id="another owner changed nothing"),
        pytest.param(9, ("5:0001", "7:0002", "8:0003,0000", "9:0004"), {"0000", "0003", "0004"}, id="two others did"),
        pytest.param(9, ("8:0003", "9:0004"), None, id="the list is too short"),
        pytest.param(9, (), None, id="too much has changed"),
        pytest.param(9, ("7:0002", "8:0003"), None, id="a version before released the lock"),
    ],
)
def test_what_others_have_changed_is_listed(answered, listed, changed):
    releases = releases_since(lock(doorbell=10, answered=answered, changed_rows=listed), 7)
    found = None if releases is None else {num for release in releases for num in release.nums}
    assert found == changed


@pytest.mark.parametrize(
    ("answered", "before", "changed", "after"),
    [
        pytest.param(0, (), ["0002", "0001"], ("7:0001,0002",), id="the first release"),
        pytest.param(5, ("5:0001",), ["0002"], ("5:0001", "7:0002"), id="the next one"),
        pytest.param(5, ("5:0001",), [], ("5:0001", "7:"), id="without a change"),
        pytest.param(6, ("5:0001",), ["0002"], ("7:0002",), id="after a version before"),
        pytest.param(5, ("4:0001", FULL), ["0002"], (FULL, "7:0002"), id="the oldest makes room"),
        pytest.param(5, ("5:0001",), [f"{n:04d}" for n in range(MOST_CHANGES + 1)], (), id="too many at once"),
        pytest.param(6, tuple(f"{n}:" for n in range(-MOST_CHANGES, 7)), [],
                     tuple(f"{n}:" for n in range(8 - MOST_CHANGES, 8)), id="many releases without a change"),
    ],
)  # fmt: skip
def test_a_release_lists_what_it_changed(answered, before, changed, after):
    released = with_changes(lock(doorbell=7, answered=answered, changed_rows=before), unknown(changed), None)
    assert released.changed_rows == after


def orders(count):
    return tuple(order_row(num, stop_grace=30) for num in range(1, count + 1))


LATER = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(OrderState),
        "dispatched_at": st.datetimes(timezones=st.just(START.tzinfo)) | st.none(),
        "tickets": st.lists(st.just("1:" + "a" * 64), max_size=3).map(tuple),
        "stop_grace": st.none() | st.integers(1, 60),
        "exit_code": st.none() | st.integers(0, 255),
        "outputs": st.none() | st.just(Sealed(sha256="a" * 64, size=9, identity="QUJD")),
        "reason": st.none() | st.text(max_size=30),
    },
)


@given(st.lists(st.dictionaries(st.integers(1, 4), LATER, max_size=3), max_size=6))
def test_values_make_the_rows_of_before_those_of_now(steps):
    first = last = RunRows(run_row(order_count=4), orders(4))
    held = next_event(with_changes(lock(doorbell=7), {}, first))
    for step in steps:
        by_num = {order.order_num: order for order in last.orders}
        now = {f"{num:04d}": by_num[f"{num:04d}"].model_copy(update=values) for num, values in step.items()}
        last = RunRows(last.run, tuple((by_num | now).values()))
        held = next_event(with_changes(held, {num: by_num[num] for num in now}, last))
    releases = releases_since(held, 7)
    assert [release.nums for release in releases] == [frozenset(f"{num:04d}" for num in step) for step in steps]
    contained = {release.values is not None for release in releases[-1:]}
    assert contained <= {True}
    if all(release.values is not None for release in releases):
        values = joined(releases)
        assert tuple(with_values(order, values) for order in first.orders) == last.orders


def test_values_of_the_run_are_contained_too():
    before = run_row()
    after = before.model_copy(update={"status": RunState.RUNNING})
    held = next_event(with_changes(lock(doorbell=7), {"0000": before}, RunRows(after, ())))
    [release] = releases_since(held.model_copy(update={"changed_rows": ("6:", *held.changed_rows)}), 6)
    assert with_values(before, joined([release])) == after


def test_the_newest_values_are_contained_and_the_oldest_make_room():
    rows, held = orders(99), next_event(with_changes(lock(doorbell=7), {}, None))
    for before in rows:
        ticket = sha256(before.order_num.encode()).hexdigest()
        after = before.model_copy(update={"status": OrderState.DISPATCHING, "tickets": (f"1767268800000:{ticket}",)})
        held = next_event(with_changes(held, {before.order_num: before}, RunRows(None, (after,))))
        assert sum(len(entry) + 1 for entry in held.changed_rows) + len(held.changed_values) <= MOST_CHARS
    known = [release.values is not None for release in releases_since(held, held.answered - 16)]
    assert known == sorted(known)
    assert 4 <= sum(known) < 16


@pytest.mark.parametrize("after", [None, RunRows(None, (order_row(1, reason="".join(map(chr, range(999)))),))])
def test_a_release_without_room_for_its_values_contains_none(after):
    held = next_event(with_changes(lock(doorbell=7), {}, None))
    held = next_event(with_changes(held, unknown(["0001"]), after))
    assert [(release.nums, release.values) for release in releases_since(held, 7)] == [(frozenset({"0001"}), None)]


def test_a_version_that_knows_no_values_leaves_those_of_others():
    rows, held = orders(2), next_event(with_changes(lock(doorbell=7), {}, None))
    ended = tuple(order.model_copy(update={"status": OrderState.SUCCEEDED}) for order in rows)
    held = next_event(with_changes(held, {"0001": rows[0]}, RunRows(None, ended)))
    older = held.model_copy(update={"changed_rows": (*held.changed_rows, f"{held.doorbell}:0002")})
    releases = releases_since(next_event(older), 7)
    assert [release.values for release in releases] == [{"0001": {"status": "succeeded"}}, None]


@pytest.mark.parametrize(
    "values",
    [
        "not base85 \u2028",
        "c$}Qs",
    ],
)
def test_values_that_another_version_compressed_otherwise_are_not_used(values):
    held = next_event(with_changes(lock(doorbell=7), {}, None))
    held = next_event(with_changes(held, unknown(["0001"]), RunRows(None, orders(1))))
    [release] = releases_since(held.model_copy(update={"changed_values": values}), 7)
    assert (release.nums, release.values) == (frozenset({"0001"}), None)
