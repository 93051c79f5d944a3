from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common.errors import ConditionFailed
from iac_ci_common.testing.samples import RUN_ID


def take(locks, now, owner="me"):
    return locks.take(RUN_ID, owner=owner, now=now, lease_seconds=30, expires_at=now + timedelta(days=2))


def ring(locks, now, owner="me", news="0001"):
    return locks.ring(RUN_ID, {news}, owner=owner, now=now, lease_seconds=30, expires_at=now + timedelta(days=2))


def test_who_rings_first_takes_it_and_every_ring_counts(adapters, now):
    mine = ring(adapters.locks, now)
    assert (mine.owner, mine.doorbell, mine.answered) == ("me", 1, 0)
    assert mine.held(now + timedelta(seconds=29))
    for doorbell in (2, 3):
        rung = ring(adapters.locks, now + timedelta(seconds=20), "you")
        assert (rung.owner, rung.lease_until, rung.doorbell) == ("me", mine.lease_until, doorbell)


def test_ringing_twice_for_one_event_is_still_mine(adapters, now):
    ring(adapters.locks, now)
    assert ring(adapters.locks, now).owner == "me"


def test_a_ring_takes_what_was_let_go_but_nothing_from_the_dead(adapters, now):
    mine = ring(adapters.locks, now)
    assert adapters.locks.release(mine) is None
    yours = ring(adapters.locks, now, "you")
    assert (yours.owner, yours.doorbell, yours.answered) == ("you", 2, 1)
    rung = ring(adapters.locks, now + timedelta(seconds=31))
    assert rung.owner == "you"
    assert not rung.held(now + timedelta(seconds=31))
    assert take(adapters.locks, now + timedelta(seconds=31)).owner == "me"
    with pytest.raises(ConditionFailed):
        adapters.locks.release(yours)


def test_what_events_told_is_kept_until_it_is_let_go(adapters, now):
    locks = adapters.locks
    mine = ring(locks, now)
    ring(locks, now, "you", "0002")
    assert mine.rung == {"0001"}
    # A renewal must not show as seen what was rung after the look.
    assert locks.renew(mine, now=now, lease_seconds=30).rung == {"0001"}
    rang = locks.release(mine)
    assert rang.rung == {"0001", "0002"}
    assert locks.release(rang) is None
    assert ring(locks, now, "you", "0003").rung == {"0003"}


def test_who_takes_over_knows_what_the_dead_did_not_answer(adapters, now):
    ring(adapters.locks, now, "dead")
    ring(adapters.locks, now, "you", "0002")
    assert take(adapters.locks, now + timedelta(seconds=31)).rung == {"0001", "0002"}


def test_taking_makes_the_lock_and_counts_as_a_ring(adapters, now):
    mine = take(adapters.locks, now)
    assert (mine.doorbell, mine.answered, mine.token) == (1, 0, 1)
    assert adapters.locks.release(mine) is None
    again = take(adapters.locks, now)
    assert (again.doorbell, again.answered, again.token) == (2, 1, 2)


def test_one_of_two_takes_it(adapters, now):
    mine = ring(adapters.locks, now)
    assert mine is not None
    assert mine.held(now)
    assert take(adapters.locks, now, "you") is None


def test_a_dead_holders_lease_ends_and_his_token_with_it(adapters, now):
    dead = ring(adapters.locks, now)
    after = now + timedelta(seconds=31)
    mine = take(adapters.locks, after, "you")
    assert mine is not None
    assert mine.token > dead.token
    for late in (adapters.locks.release, adapters.locks.complete):
        with pytest.raises(ConditionFailed):
            late(dead)
    with pytest.raises(ConditionFailed):
        adapters.locks.renew(dead, now=after, lease_seconds=30)


def test_it_is_let_go_only_if_nobody_rang(adapters, now):
    mine = ring(adapters.locks, now)
    ring(adapters.locks, now, "you")
    rang = adapters.locks.release(mine)
    assert rang is not None
    assert rang.held(now)
    assert adapters.locks.release(rang) is None
    assert take(adapters.locks, now, "you") is not None


def test_what_the_pull_request_was_told_is_kept_for_the_next_holder(adapters, now):
    lock = take(adapters.locks, now)
    assert (lock.reported_at, lock.comment_behind) == (None, False)
    assert adapters.locks.release(lock.model_copy(update={"reported_at": now, "comment_behind": True})) is None
    next_holder = take(adapters.locks, now, "you")
    assert (next_holder.reported_at, next_holder.comment_behind) == (now, True)
    assert adapters.locks.release(next_holder.model_copy(update={"comment_behind": False})) is None
    current = adapters.locks.read(RUN_ID)
    assert (current.reported_at, current.comment_behind) == (now, False)


def test_the_rows_that_were_changed_are_listed_for_the_next_holder(adapters, now):
    lock = take(adapters.locks, now)
    assert (lock.changed_rows, lock.changed_values) == ((), "")
    changes = {"changed_rows": ("1:0001,0002", "2:", "3:0000,0003"), "changed_values": "c$}Qs"}
    assert adapters.locks.release(lock.model_copy(update=changes)) is None
    next_holder = take(adapters.locks, now, "you")
    assert {name: getattr(next_holder, name) for name in changes} == changes
    assert adapters.locks.release(next_holder.model_copy(update={"changed_rows": (), "changed_values": ""})) is None
    current = adapters.locks.read(RUN_ID)
    assert (current.changed_rows, current.changed_values) == ((), "")


def test_what_is_missing_on_the_event_bus_is_kept_for_the_next_holder(adapters, now):
    lock = take(adapters.locks, now)
    assert (lock.announced, lock.announce_at, lock.finished) == (frozenset(), None, False)
    behind = {"announced": frozenset({"0002", "0005"}), "announce_at": now, "finished": True}
    assert adapters.locks.release(lock.model_copy(update=behind)) is None
    next_holder = take(adapters.locks, now, "you")
    assert {name: getattr(next_holder, name) for name in behind} == behind
    assert adapters.locks.release(next_holder.model_copy(update={"announce_at": None})) is None
    current = adapters.locks.read(RUN_ID)
    assert (current.announced, current.announce_at) == (behind["announced"], None)


def test_a_renewal_swallows_no_ring(adapters, now):
    mine = ring(adapters.locks, now)
    ring(adapters.locks, now, "you")
    renewed = adapters.locks.renew(mine, now=now + timedelta(seconds=20), lease_seconds=30)
    assert renewed.held(now + timedelta(seconds=45))
    assert adapters.locks.release(renewed) is not None


def test_a_completed_lock_is_final(adapters, now):
    mine = ring(adapters.locks, now)
    adapters.locks.complete(mine)
    rung = ring(adapters.locks, now, "you")
    assert rung.completed
    assert rung.doorbell == mine.doorbell
    assert take(adapters.locks, now + timedelta(hours=1), "you") is None
    assert adapters.locks.read(RUN_ID).completed
