"""What the engine announces of runs: exactly that, at least once, without secrets, output or markup."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common.approvals import answer_result
from iac_ci_common.errors import PortFailed, Throttled
from iac_ci_common.kept_answers import keep_first
from iac_ci_common.models.announcement import MAX_TEXT_CHARS, AnnouncementKind
from iac_ci_common.models.approval import ApprovalAnswer
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.models.saved_plan import OrderProject
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_orchestrator.announcements import drift_announcement, end_announcement, safe_line, wait_announcement

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

PLAN = {"order_name": "plan"}
ASK = {
    "order_name": "ask",
    "cmds": [],
    "timeout": 0,
    "approval": {"by": ["ann", "team:acme/platform"], "message": "Is it safe?", "expires": 600},
    "dependencies": ["plan"],
}
APPLY = {"order_name": "apply", "dependencies": ["ask"]}
HOSTILE = 'a"b\\c\n<!channel> <https://evil.example|click> *bold* `x` [y](z) @here &lt; \u202e\x00'


class Interrupted(Exception):
    """The process ends."""


class Bus:
    """What happens to calls of the bus: refused by an error, or the process ends before or after them."""

    def __init__(self):
        self.error, self.dies = None, None

    def before(self, name):
        if name == "bus.put" and self.error is not None:
            raise self.error
        if self.dies == f"before {name}":
            raise Interrupted

    def after(self, name):
        if self.dies == f"after {name}":
            raise Interrupted


def waiting(bus=None):
    bus = bus or Bus()
    engine = Engine([PLAN, ASK, APPLY], before=bus.before, after=bus.after)
    engine.wake()
    engine.handed_out()
    engine.report("0001")
    return engine


def announced(engine):
    return [one.id.removeprefix(f"{RUN_ID}:") for one in engine.bus.announcements]


def approve(engine):
    order, now = engine.runs.find_order(RUN_ID, "0002"), engine.clock.now()
    keep_first(engine.objects, answer_result(order, ApprovalAnswer(approved=True, through="api", by="ann", at=now)))


def kinds(engine):
    return [event.kind for event in engine.runs.event_rows.values()]


def test_a_wait_and_an_end_are_announced_once_each_by_one_call():
    engine = waiting()
    engine.wake("0001")
    assert announced(engine) == ["0002:run_waits"]
    approve(engine)
    engine.wake("0002")
    engine.report("0003")
    engine.wake("0003")
    engine.assert_ended_well()
    assert announced(engine) == ["0002:run_waits", "0000:run_ended"]
    wait, end = engine.bus.announcements
    assert (wait.wait.order_name, wait.wait.approvers) == ("ask", "ann or team acme/platform")
    assert wait.text.endswith(
        f"waits for approval of ask by ann or team acme/platform until 2026-01-01 00:10 UTC (run {RUN_ID})"
    )
    assert (end.end.status, end.end.orders) == (RunState.SUCCEEDED, {OrderState.SUCCEEDED: 3})
    assert engine.calls["bus.put"] == 2


@pytest.mark.parametrize("moment", ["before bus.put", "after bus.put", "before locks.release"])
def test_a_wait_survives_a_crash_under_the_same_id(moment):
    bus = Bus()
    engine = waiting(bus)
    bus.dies = moment
    with pytest.raises(Interrupted):
        engine.wake("0001")
    bus.dies = None
    engine.clock.advance(31)
    engine.wake()
    assert set(announced(engine)) == {"0002:run_waits"}


def test_a_wait_for_an_override_says_what_failed_also_after_the_answer():
    bus = Bus()
    asks = ASK | {"approval": ASK["approval"] | {"overrides": ["policy"]}, "dependencies": ["policy"]}
    engine = Engine([{"order_name": "policy"}, asks, APPLY], before=bus.before, after=bus.after)
    bus.error = Throttled("try again")
    engine.wake()
    engine.report(*engine.handed_out(), status=OrderState.FAILED)
    engine.wake("0001")
    assert announced(engine) == []
    approve(engine)
    bus.error = None
    engine.clock.advance(60)
    engine.wake()
    (wait,) = engine.bus.announcements
    assert "waits for approval of ask to override policy by ann or team acme/platform until" in wait.text


def test_a_wait_that_was_answered_meanwhile_is_announced_as_well():
    bus = Bus()
    engine = waiting(bus)
    bus.dies = "before bus.put"
    with pytest.raises(Interrupted):
        engine.wake("0001")
    bus.dies = None
    approve(engine)
    engine.clock.advance(31)
    engine.wake("0002")
    assert announced(engine) == ["0002:run_waits"]


@pytest.mark.parametrize("moment", ["before bus.put", "after bus.put", "before locks.complete", "before done.create"])
def test_an_end_survives_a_crash_under_the_same_id(moment):
    bus = Bus()
    engine = Engine([PLAN], before=bus.before, after=bus.after)
    engine.wake()
    engine.report("0001")
    bus.dies = moment
    with pytest.raises(Interrupted):
        engine.wake("0001")
    bus.dies = None
    engine.clock.advance(31)
    engine.wake()
    engine.assert_ended_well()
    assert set(announced(engine)) == {"0000:run_ended"}


def test_a_bus_that_fails_delays_nothing_and_gets_the_announcements_later():
    bus = Bus()
    engine = waiting(bus)
    bus.error = Throttled("busy")
    engine.wake("0001")
    assert engine.runs.find_order(RUN_ID, "0002").awaits_answer
    approve(engine)
    engine.wake("0002")
    assert engine.handed_out() == ["0003"]
    engine.report("0003")
    engine.wake("0003")
    assert engine.marker.status is RunState.SUCCEEDED
    assert engine.calls["bus.put"] == 1, "the second attempt comes a minute later"
    lock = engine.locks.read(RUN_ID)
    assert (lock.finished, lock.completed, lock.announce_at) == (True, False, START + timedelta(minutes=1))
    bus.error = None
    published = engine.calls["reports.publish"]
    engine.clock.advance(61)
    engine.wake()
    assert announced(engine) == ["0002:run_waits", "0000:run_ended"]
    assert engine.locks.read(RUN_ID).completed
    assert engine.calls["reports.publish"] == published, "nothing else of the end is repeated"


def test_a_bus_that_fails_for_an_hour_is_given_up_and_the_history_says_so():
    bus = Bus()
    engine = Engine([PLAN], before=bus.before)
    bus.error = Throttled("busy")
    engine.run_to_the_end()
    for _ in range(61):
        engine.clock.advance(61)
        engine.wake()
    assert engine.locks.read(RUN_ID).completed
    assert kinds(engine).count("announcement_failed") == 1
    assert engine.calls["bus.put"] < 62


def test_a_refusal_for_good_is_given_up_at_once():
    bus = Bus()
    engine = waiting(bus)
    bus.error = PortFailed("putting events: AccessDeniedException")
    engine.wake("0001")
    engine.wake()
    assert engine.calls["bus.put"] == 1
    engine.clock.advance(1)
    approve(engine)
    engine.wake("0002")
    engine.report("0003")
    engine.wake("0003")
    engine.assert_ended_well()
    assert kinds(engine).count("announcement_failed") == 2


def test_the_text_is_one_line_that_closes_no_string_and_marks_nothing_up():
    line = safe_line(HOSTILE)
    assert not set(line) & set('"\\\n\r`<>&*~[]@\u202e\x00')
    assert "://" not in line
    assert json.loads(f'{{"text": "{line}"}}')["text"] == line
    assert safe_line("job plan of github.com/acme/infra: +0 -1") == "job plan of github.com/acme/infra: +0 -1"


def every_kind(text):
    """Return the largest announcements, of which every text is this one."""
    approval = {"by": (text,) * 20}
    changes = Changes(operation=Operation.PLANNED, add=10**9, change=10**9, destroy=10**9)
    run = run_row(
        status=RunState.FAILED,
        job_name=text,
        repository=text,
        branch=text,
        commit_hash=text,
        actor=text,
        reason=text,
        report=ReportTarget(repository=text, pull_request=2**31 - 1),
        finished_at=START,
    )
    order = order_row(
        1,
        order_name="o" * 128,
        approval=approval,
        order_deadline=START,
        project=OrderProject(key="a" * 64, name=text[:1024]),
        changes=changes,
    )
    states = [order_row(number, status=state) for number, state in enumerate(OrderState, start=1)]
    stack = "s" * 22
    yield wait_announcement(stack, run, order, START)
    yield end_announcement(stack, run, states)
    yield drift_announcement(stack, run, order, is_found=True)
    yield drift_announcement(stack, run, order, is_found=False)


@pytest.mark.parametrize("char", ["x", "\x00", '"', "\N{OLD PERSIAN SIGN A}", "\N{CJK UNIFIED IDEOGRAPH-4E00}"])
def test_ten_of_the_largest_announcements_fit_into_one_call(char):
    found = list(every_kind(char * 2000))
    assert {one.kind for one in found} == set(AnnouncementKind)
    assert max(len(one.model_dump_json(exclude_none=True).encode()) for one in found) < 256 * 1024 / 10 - 100
    assert all(len(one.text) <= MAX_TEXT_CHARS for one in found)
    assert all(one.text.endswith(f"(run {RUN_ID})") for one in found)


def test_hostile_names_stay_whole_in_their_fields_and_harmless_in_the_text():
    for one in every_kind(HOSTILE):
        assert one.branch == HOSTILE
        assert one.text == safe_line(one.text)
