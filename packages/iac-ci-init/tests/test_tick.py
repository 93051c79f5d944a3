"""The tick: only the stack's rule starts it, and its tasks share a budget fairly and go on where they stopped."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common import keys
from iac_ci_common.errors import NotFound, PortFailed, Throttled
from iac_ci_common.testing import FakeClock, MemoryLogger, MemoryObjects
from iac_ci_common.testing.samples import START
from iac_ci_init import wiring
from iac_ci_init.chores import Budget, run_round
from iac_ci_init.connection_check import ConnectionCheck
from iac_ci_init.handler import handler
from iac_ci_init.tick import Tick, TickPorts
from iac_ci_triggers.connections import Connection, Connections

RULE = "arn:aws:events:eu-central-1:123456789012:rule/iac-ci-tick"


def event(*resources, **fields):
    return {
        "version": "0",
        "id": "1",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "eu-central-1",
        "resources": list(resources),
        "detail": {},
        **fields,
    }


class Counting:
    """A task that makes so many requests for each of its subjects."""

    def __init__(self, clock, name="count", wanted=1, subjects=(), seconds=0.0):
        self.name, self._clock, self._seconds = name, clock, seconds
        self.wanted = dict.fromkeys(subjects, wanted)
        self.turns = []
        self.requests = dict.fromkeys(subjects, 0)

    def subjects(self, now):
        return list(self.wanted)

    def work(self, subject, allowance):
        self.turns.append(subject)
        for _ in range(self.wanted[subject]):
            allowance.spend()
            self.requests[subject] += 1
            self._clock.advance(self._seconds)


def ticking(chores, clock, rule=RULE):
    objects, logger = MemoryObjects(clock), MemoryLogger()
    return Tick(TickPorts(clock, objects, logger), rule, chores), objects, logger


def test_the_stacks_own_rule_starts_the_tasks():
    clock = FakeClock(START)
    chore = Counting(clock, subjects=["a", "b"])
    tick, objects, _ = ticking([chore], clock)
    assert tick.run(event(RULE)) == {"accepted": True, "begun": 2, "requests": 2}
    assert objects.get(keys.tick_position())


@pytest.mark.parametrize(
    "other",
    [
        event(),
        event(RULE.replace("iac-ci", "other")),
        event(RULE.replace("123456789012", "210987654321")),
        event(RULE, RULE),
        event(RULE, "arn:aws:events:eu-central-1:123456789012:rule/other"),
        event(None),
        event(RULE, resources=RULE),
        event(RULE, resources=None),
    ],
)
def test_events_of_other_rules_start_nothing(other):
    clock = FakeClock(START)
    chore = Counting(clock, subjects=["a"])
    tick, objects, logger = ticking([chore], clock)
    assert tick.run(other) == {"accepted": False}
    assert chore.turns == []
    assert objects.list("") == []
    assert logger.lines[0][0] == "warning"


def test_without_a_rule_none_is_accepted():
    clock = FakeClock(START)
    tick, _, _ = ticking([], clock, rule="")
    assert tick.run(event("")) == {"accepted": False}


def test_the_handler_gives_only_ticks_to_the_tick(monkeypatch):
    clock = FakeClock(START)
    tick, _, _ = ticking([], clock)
    monkeypatch.setattr(wiring, "tick", lambda: tick)
    assert handler(event(RULE), None) == {"accepted": True, "begun": 0, "requests": 0}
    # What API Gateway sends has the sender's text in its body and headers only.
    monkeypatch.setattr(wiring, "tick", lambda: pytest.fail("a request reached the tick"))
    request = {"httpMethod": "POST", "headers": {"source": "aws.events"}, "body": '{"source": "aws.events"}'}
    monkeypatch.setattr(wiring, "logger", MemoryLogger)
    monkeypatch.setattr(wiring, "job_intake", Refusing)
    assert handler(request, None)["statusCode"] == 401


class Refusing:
    def accept(self, request):
        from iac_ci_common.errors import SignatureRefused

        raise SignatureRefused("no")


def rounds(chores, clock, number, budget):
    """Run some rounds, each behind the position of the one before."""
    position, done = [None], []
    for _ in range(number):
        before = position[-1]
        done.append(run_round(chores, before, clock=clock, logger=MemoryLogger(), begin=position.append, budget=budget))
        clock.advance(900)
    return done


@given(
    wanted=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    requests=st.integers(1, 30),
)
def test_every_subject_gets_its_turn_however_greedy_the_others_are(wanted, requests):
    clock = FakeClock(START)
    chore = Counting(clock)
    chore.wanted = {f"{index:02d}": number for index, number in enumerate(wanted)}
    chore.requests = dict.fromkeys(chore.wanted, 0)
    done = rounds([chore], clock, len(wanted), Budget(requests, timedelta(seconds=60)))
    assert all(one.requests <= requests for one in done)
    assert set(chore.turns) == set(chore.wanted)
    # In a circle: no subject is two turns ahead of another.
    turns = [chore.turns.count(subject) for subject in chore.wanted]
    assert max(turns) - min(turns) <= 1


def test_a_round_goes_on_where_the_last_one_stopped():
    clock = FakeClock(START)
    chore = Counting(clock, subjects=["a", "b", "c", "d", "e"])
    done = rounds([chore], clock, 3, Budget(2, timedelta(seconds=60)))
    assert [one.begun for one in done] == [("count/a", "count/b"), ("count/c", "count/d"), ("count/e", "count/a")]


def test_a_subject_that_wants_everything_leaves_the_others_their_share():
    clock = FakeClock(START)
    chore = Counting(clock, subjects=["a", "b", "c"])
    chore.wanted["a"] = 1000
    rounds([chore], clock, 1, Budget(30, timedelta(seconds=60)))
    assert chore.requests == {"a": 10, "b": 1, "c": 1}


def test_the_time_is_a_budget_too():
    clock = FakeClock(START)
    slow = Counting(clock, subjects=["a", "b", "c"], wanted=10, seconds=7)
    (first, second) = rounds([slow], clock, 2, Budget(1000, timedelta(seconds=60)))
    assert first.begun == ("count/a",)
    assert slow.requests["a"] == 9
    assert second.begun == ("count/b",)


def test_a_turn_that_ends_the_process_does_not_come_first_again():
    clock = FakeClock(START)
    position = []

    class Deadly(Counting):
        def work(self, subject, allowance):
            self.turns.append(subject)
            if subject == "b":
                raise MemoryError

    chore = Deadly(clock, subjects=["a", "b", "c"])
    arguments = {"clock": clock, "logger": MemoryLogger(), "begin": position.append}
    with pytest.raises(MemoryError):
        run_round([chore], None, **arguments)
    with pytest.raises(MemoryError):
        run_round([chore], position[-1], **arguments)
    assert chore.turns == ["a", "b", "c", "a", "b"]


def test_an_error_ends_its_own_turn_only():
    clock, logger = FakeClock(START), MemoryLogger()

    class Failing(Counting):
        def work(self, subject, allowance):
            super().work(subject, allowance)
            if subject == "a":
                raise PortFailed("no")

    chore = Failing(clock, subjects=["a", "b"])
    run_round([chore], None, clock=clock, logger=logger, begin=lambda label: None)
    assert chore.turns == ["a", "b"]
    assert logger.lines[0][2] == {"task": "count/a", "error": "no"}


def test_a_position_that_cannot_be_read_begins_at_the_start():
    clock = FakeClock(START)
    chore = Counting(clock, subjects=["a"])
    tick, objects, _ = ticking([chore], clock)
    objects.put(keys.tick_position(), b"\xff")
    assert tick.run(event(RULE))["begun"] == 1


class Secrets:
    def __init__(self, **answers):
        self.answers, self.read_locations = answers, []

    def read(self, location):
        self.read_locations.append(location.name)
        answer = self.answers.get(location.name.rpartition("/")[2], "value")
        if isinstance(answer, Exception):
            raise answer
        return answer


def connection(name, *secrets):
    return Connection(
        repositories=(f"https://github.com/acme/{name}", f"https://github.com/acme/{name}-more"),
        webhook_secrets=tuple(f"ssm:/iac-ci/jobs/{secret}" for secret in secrets),
        token_location="ssm:/iac-ci/jobs/token",
    )


def test_secrets_of_connections_are_checked_and_the_missing_ones_named():
    clock, logger = FakeClock(START), MemoryLogger()
    secrets = Secrets(gone=NotFound("does not exist"), busy=Throttled("slow down"))
    found = Connections((connection("one", "here", "gone"), connection("two", "busy")))
    check = ConnectionCheck(lambda now: found, secrets, clock, logger)
    assert check.subjects(START) == ("github.com/acme/two", "github.com/acme/one")
    done = run_round([check], None, clock=clock, logger=logger, begin=lambda label: None)
    # One turn for each connection, not for each of its repositories.
    assert done.requests == 5
    ((level, message, fields),) = logger.lines
    assert (level, message) == ("warning", "secret of a connection cannot be read")
    assert fields["location"] == "ssm:/iac-ci/jobs/gone"
    assert fields["repository"] == "github.com/acme/one"
    assert "value" not in repr(logger.lines)
