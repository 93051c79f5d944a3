"""Who holds a concurrency group, who waits, and who is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iac_ci_common import keys
from iac_ci_common.groups import (
    MAX_ENTRIES,
    Access,
    Wanted,
    ask,
    find,
    free,
    holders,
    holds,
    leave,
    new_group,
    waiting,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EMPTY = new_group(keys.named_group("github.com/acme/infra", "deploy"), NOW)
H, W, R = Access.HOLDS, Access.WAITS, Access.REFUSED


def run_id(number):
    return f"20260101T{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}-{number:012x}"


def wanted(run=1, order="0001", **fields):
    return Wanted(run_id(run), order, f"order-{run}", NOW + timedelta(days=1), **fields)


def after(*steps, group=EMPTY):
    """Ask for each number in turn, shared for negative ones; return the row and the standings."""
    standings = []
    for number in steps:
        group, standing = ask(group, wanted(abs(number), shared=number < 0), NOW)
        standings.append(standing.access)
    return group, standings


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((1,), [H]),
        ((1, 2), [H, W]),
        ((-1, -2, -3), [H, H, H]),
        ((-1, 2), [H, W]),
        ((1, -2), [H, W]),
        ((-1, 2, -3), [H, W, W]),
        ((1, -2, -3, 4), [H, W, W, W]),
    ],
)
def test_who_holds_follows_from_the_sequence(steps, expected):
    assert after(*steps)[1] == expected


def test_plans_share_and_no_plan_overtakes_an_apply_that_waits():
    group, _ = after(-1, 2, -3, -4, 5)
    group = leave(group, run_id(1), {"0001"}, NOW)
    assert [one.run_id for one in holders(group)] == [run_id(2)]
    group = leave(group, run_id(2), {"0001"}, NOW)
    assert [one.run_id for one in holders(group)] == [run_id(3), run_id(4)]
    assert [one.run_id for one in waiting(group)] == [run_id(5)]


def test_who_asks_again_keeps_the_entry():
    group, _ = after(1, 2)
    again, standing = ask(group, wanted(2), NOW + timedelta(hours=1))
    assert (again, standing.access) == (group, W)
    assert ask(leave(group, run_id(1), {"0001"}, NOW), wanted(2), NOW)[1].access is H


def test_who_waits_reads_for_whom_and_at_which_number():
    group, _ = ask(EMPTY, wanted(1, pull_request=12), NOW)
    group, first = ask(group, wanted(2), NOW)
    group, second = ask(group, wanted(3, shared=True), NOW)
    assert first.text == f"run {run_id(1)} of pull request 12 (order-1), first in line"
    assert second.text == f"run {run_id(1)} of pull request 12 (order-1), second in line"
    for number in range(4, 15):
        group, standing = ask(group, wanted(number), NOW)
    assert standing.text.endswith(", number 13 in line")


def test_orders_of_one_run_wait_for_each_other():
    group, first = ask(EMPTY, wanted(1, "0001"), NOW)
    group, second = ask(group, wanted(1, "0002"), NOW)
    assert (first.access, second.access) == (H, W)
    assert holds(leave(group, run_id(1), {"0001"}, NOW), find(group, run_id(1), "0002"))


def test_an_order_takes_over_from_one_that_it_comes_after():
    group, _ = after(1, 2)
    group, standing = ask(group, wanted(1, "0002", after=frozenset({"0001"})), NOW)
    assert standing.access is H
    assert [(one.run_id, one.order_num) for one in group.entries] == [(run_id(1), "0002"), (run_id(2), "0001")]
    assert len({one.token for one in group.entries}) == 2
    # A plan that shared the group leaves no apply alone with it.
    shared, _ = after(-1, 2)
    assert ask(shared, wanted(1, "0002", after=frozenset({"0001"})), NOW)[1].access is W


def test_nothing_leaves_that_is_not_there():
    group, _ = after(1, 2)
    assert leave(group, run_id(1), {"0007"}, NOW) is group
    assert leave(group, run_id(9), {"0001"}, NOW) is group
    assert free(group, [9], NOW) is group
    assert [one.run_id for one in holders(free(group, [1], NOW))] == [run_id(2)]


def test_a_full_group_refuses_with_words_and_keeps_those_that_are_there():
    group, standings = after(*range(1, MAX_ENTRIES + 1))
    assert standings[-1] is W
    full, standing = ask(group, wanted(MAX_ENTRIES + 1), NOW)
    assert full is group
    assert standing.access is R
    assert standing.text.startswith(f"{MAX_ENTRIES} orders hold this concurrency group or wait for it")
    assert ask(group, wanted(MAX_ENTRIES), NOW)[1].access is W
    assert ask(group, wanted(1, "0002", after=frozenset({"0001"})), NOW)[1].access is H


NEWEST = {"newest": True, "series": "main"}


def test_with_newest_a_newer_run_ends_older_ones_that_wait_and_none_that_holds():
    group, _ = ask(EMPTY, wanted(1, **NEWEST), NOW)
    group, _ = ask(group, wanted(2, **NEWEST), NOW)
    group, _ = ask(group, wanted(3, newest=True, series="other"), NOW)
    group, standing = ask(group, wanted(4, **NEWEST), NOW)
    assert standing.access is W
    assert [one.superseded_by for one in group.entries] == [None, run_id(4), None, None]
    assert [one.run_id for one in waiting(group)] == [run_id(3), run_id(4)]
    group, superseded = ask(group, wanted(2, **NEWEST), NOW)
    assert superseded.access is R
    assert superseded.text.startswith(f"superseded by run {run_id(4)}")


def test_who_is_superseded_stays_so_however_often_it_asks_and_is_in_nobodys_way():
    group, _ = ask(EMPTY, wanted(1, **NEWEST), NOW)
    group, _ = ask(group, wanted(2, **NEWEST), NOW)
    group, _ = ask(group, wanted(3, **NEWEST), NOW)
    for _ in range(3):
        group, standing = ask(group, wanted(2, **NEWEST), NOW)
        assert standing.access is R
    group = leave(group, run_id(1), {"0001"}, NOW)
    assert ask(group, wanted(3, **NEWEST), NOW)[1].access is H
    assert ask(leave(group, run_id(3), {"0001"}, NOW), wanted(2, **NEWEST), NOW)[1].access is R
    assert leave(group, run_id(2), {"0001"}, NOW).entries == group.entries[1:]


def test_with_newest_an_older_run_that_comes_late_is_superseded_too():
    group, _ = ask(EMPTY, wanted(1, series="main"), NOW)
    group, _ = ask(group, wanted(5, **NEWEST), NOW)
    same, standing = ask(group, wanted(4, **NEWEST), NOW)
    assert (same, standing.access) == (group, R)


def test_with_all_nobody_is_superseded():
    group = EMPTY
    for number in range(1, 5):
        group, standing = ask(group, wanted(number, series="main"), NOW)
        assert standing.access is not R


def test_an_older_commit_never_follows_a_newer_one():
    group, _ = ask(EMPTY, wanted(5, series="main", commit="b" * 40), NOW)
    group = leave(group, run_id(5), {"0001"}, NOW)
    late = wanted(4, series="main", commit="a" * 40)
    same, standing = ask(group, late, NOW)
    assert (same, standing.access) == (group, R)
    assert standing.text == (
        f"run {run_id(5)} for the newer commit bbbbbbbbbbbb has begun here, and an older commit is never applied after"
        " a newer one"
    )
    accepted = [
        wanted(6, series="main", commit="c" * 40),
        wanted(4, series="other", commit="a" * 40),
        wanted(4, series="main", commit="b" * 40),
        wanted(4),
    ]
    assert [ask(group, one, NOW)[1].access for one in accepted] == [H] * len(accepted)


def test_of_two_runs_of_one_second_none_is_older():
    one, other = (
        Wanted(f"20260101T000000-{end}", "0001", "apply", NOW, series="main", commit=end * 40) for end in ("a", "b")
    )
    one, other = ({**{f: getattr(x, f) for f in x.__slots__}, "run_id": x.run_id + "0" * 11} for x in (one, other))
    group, _ = ask(EMPTY, Wanted(**other), NOW)
    assert ask(leave(group, other["run_id"], {"0001"}, NOW), Wanted(**one), NOW)[1].access is H


def in_second(second, end, commit):
    return Wanted(f"20260101T0000{second:02d}-{end * 12}", "0001", "apply", NOW, series="main", commit=commit * 40)


@pytest.mark.parametrize("ends", ["de", "ed"])
def test_of_two_runs_of_one_second_the_commit_that_began_last_counts(ends):
    first, last = in_second(5, ends[0], "a"), in_second(5, ends[1], "b")
    group = EMPTY
    for one in (first, last):
        group, standing = ask(group, one, NOW)
        assert standing.access is H
        group = leave(group, one.run_id, {"0001"}, NOW)
    assert ask(group, in_second(4, "f", "a"), NOW)[1].access is R
    assert ask(group, in_second(4, "f", "b"), NOW)[1].access is H


def test_an_order_that_waited_while_a_newer_commit_began_is_refused_when_its_turn_comes():
    group, _ = ask(EMPTY, wanted(5, series="main", commit="b" * 40), NOW)
    group, waits = ask(group, wanted(4, series="main", commit="a" * 40), NOW)
    assert waits.access is R
    # Begun elsewhere in the line: the older one had entered before.
    group, _ = after(9)
    group, waits = ask(group, wanted(4, series="main", commit="a" * 40), NOW)
    assert waits.access is W
    group = group.model_copy(update={"begun": ask(EMPTY, wanted(5, series="main", commit="b" * 40), NOW)[0].begun})
    group, refused = ask(leave(group, run_id(9), {"0001"}, NOW), wanted(4, series="main", commit="a" * 40), NOW)
    assert (refused.access, group.entries) == (R, ())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 8), st.booleans(), st.booleans()), max_size=40))
def test_one_alone_or_several_that_share_and_always_somebody(steps):
    """Whatever comes and goes: exclusive holders are alone, who holds goes on holding, and no line waits for nobody."""
    group = EMPTY
    held = set()
    for number, shared, comes in steps:
        if comes:
            group, _ = ask(group, wanted(number, shared=shared), NOW)
        else:
            group = leave(group, run_id(number), {"0001"}, NOW)
            held.discard(run_id(number))
        holding = holders(group)
        assert len(holding) <= 1 or all(one.shared for one in holding)
        assert bool(holding) == bool(group.entries)
        assert held <= {one.run_id for one in holding}
        held = {one.run_id for one in holding}
        tokens = [one.token for one in group.entries]
        assert tokens == sorted(tokens)
