"""doctor, nudge and cancel on a stack in memory, and the watchdogs' executions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta

import boto3
import pytest
from moto import mock_aws
from rich.console import Console
from typer.testing import CliRunner

from iac_ci_cli import control, file_commands, render, stack_options
from iac_ci_cli.diagnosis import WatchdogState
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.executions import StepFunctionExecutions
from iac_ci_cli.main import app
from iac_ci_cli.run_logs import Follower
from iac_ci_cli.sealed_files import FetchedFiles
from iac_ci_common import capabilities, keys
from iac_ci_common.errors import NotFound, PortFailed, Throttled
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.ports import Transition
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import (
    FakeClock,
    MemoryLocks,
    MemoryObjects,
    MemoryRuns,
    MemoryTicketChains,
    MemoryWorkers,
    Sequential,
)
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, queued, stored_job


@dataclass
class MemoryExecutions:
    newest: WatchdogState = WatchdogState.RUNNING

    def state(self, run_id):
        return self.newest

    def start_again(self, run_id):
        before, self.newest = self.newest, WatchdogState.RUNNING
        return before is not WatchdogState.RUNNING


@dataclass
class MemoryStack:
    stack: str = "iac-ci"
    clock: FakeClock = field(default_factory=FakeClock)
    runs: MemoryRuns = field(default_factory=MemoryRuns)
    locks: MemoryLocks = field(default_factory=MemoryLocks)
    chains: MemoryTicketChains = field(default_factory=MemoryTicketChains)
    workers: MemoryWorkers = field(default_factory=MemoryWorkers)
    executions: MemoryExecutions = field(default_factory=MemoryExecutions)
    parallel: Sequential = field(default_factory=Sequential)
    options: str = " --local"
    page_address: str = "https://ci.example/live/runs"
    parameters: dict = field(default_factory=lambda: {"page-key": "k" * 40})
    open_lists: tuple[str, ...] = ()

    def parameter(self, name):
        if name not in self.parameters:
            raise NotFound(f"{name} does not exist")
        return self.parameters[name]

    def command(self, name, run, *more):
        return " ".join(["iac-ci", name, run, *more]) + self.options

    def __post_init__(self):
        self.internal = MemoryObjects(self.clock)

    def prepared(self, *orders):
        self.runs.insert(*queued(list(orders)))
        return self

    def order(self, num, status, **fields):
        """Bring an order into this state, by the legal way."""
        way = (OrderState.QUEUED, OrderState.DISPATCHING, OrderState.RUNNING, status)
        now = next(row.status for row in self.runs.read(RUN_ID).orders if row.order_num == num)
        for step in way[way.index(now) + 1 :]:
            before = next(row for row in self.runs.read(RUN_ID).orders if row.order_num == num)
            if before.status is status:
                return
            assert not self.runs.apply([Transition(before, before.model_copy(update={"status": step, **fields}))])

    def ended(self):
        self.order("0001", OrderState.SUCCEEDED, dispatched_at=START, ended_at=START)
        run = self.runs.read(RUN_ID).run
        ended = run.model_copy(update={"status": RunState.SUCCEEDED, "finished_at": START})
        self.runs.apply([Transition(run, ended)])
        lock = self.locks.take(
            RUN_ID, owner="it", now=START, lease_seconds=30, expires_at=START + timedelta(seconds=90000)
        )
        self.locks.complete(lock)
        return self


@pytest.fixture
def stack(monkeypatch):
    made = MemoryStack()
    monkeypatch.setattr(stack_options, "connect", lambda name, **_: made)
    monkeypatch.setattr(control, "_PAUSE_SECONDS", 0)
    return made


def iac_ci(*arguments):
    return CliRunner().invoke(app, arguments)


def refused(*arguments):
    done = iac_ci(*arguments)
    assert isinstance(done.exception, CommandFailed)
    assert done.exception.exit_code is ExitCode.BAD_INPUT
    return done.exception.message


def triggered(stack):
    return stack.internal.exists(keys.trigger(RUN_ID))


def test_the_doctor_finds_nothing_wrong_with_a_run_that_goes_on(stack):
    stack.prepared({}, {"dependencies": ["order-0001"]})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    claim = Claim(run_id=RUN_ID, order_num="0001", claimed_by=Reporter.WORKER, claimed_at=START)
    stack.internal.create(keys.claim(RUN_ID, "0001"), claim.model_dump_json().encode())
    done = iac_ci("doctor", RUN_ID)
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "waits for order-0001 to end (1 queued)" in done.stdout
    assert "Nothing is wrong." in done.stdout


def test_the_doctor_sees_a_result_that_nobody_took_in(stack):
    stack.prepared({})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    result = Result(
        run_id=RUN_ID,
        order_num="0001",
        status=OrderState.SUCCEEDED,
        reported_by=Reporter.WORKER,
        ended_at=START,
    )
    stack.internal.create(keys.result(RUN_ID, "0001"), result.model_dump_json().encode())
    stack.clock.advance(100)
    done = iac_ci("doctor", RUN_ID, "--json")
    assert done.exit_code == ExitCode.TROUBLE
    said = json.loads(done.stdout)
    assert not said["healthy"]
    assert [finding["kind"] for finding in said["findings"]] == ["result-unprocessed"]


def test_the_doctor_sees_a_build_that_is_gone(stack):
    stack.prepared({"execution_target": "codebuild"})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START, build_id="b", target=ExecutionTarget.CODEBUILD)
    stack.workers.ended.add("b")
    done = iac_ci("doctor", RUN_ID)
    assert done.exit_code == ExitCode.TROUBLE
    assert "its worker is gone" in done.stdout
    assert "Something is wrong." in done.stdout


def test_the_doctor_calls_no_build_gone_that_is_not_listed_yet(stack):
    stack.prepared({"execution_target": "codebuild"})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START, build_id="b", target=ExecutionTarget.CODEBUILD)
    stack.workers.unlisted.add("b")
    assert "its worker is gone" not in iac_ci("doctor", RUN_ID).stdout
    stack.clock.advance(300)
    assert "its worker is gone" in iac_ci("doctor", RUN_ID).stdout


def test_what_lies_there_and_cannot_be_read_stops_no_diagnosis(stack):
    stack.prepared({})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    for key in (keys.claim(RUN_ID, "0001"), keys.result(RUN_ID, "0001")):
        stack.internal.create(key, b"{")
    assert iac_ci("doctor", RUN_ID).exit_code == ExitCode.SUCCEEDED


def test_the_doctor_knows_runs_that_are_not_prepared_and_runs_that_ended(stack):
    assert "there is no run" in refused("doctor", RUN_ID)
    assert "not a valid run id" in refused("doctor", "../x")
    stack.internal.put(keys.job(RUN_ID), stored_job([{}]).model_dump_json().encode())
    assert "waits for its preparation" in iac_ci("doctor", RUN_ID).stdout
    stack.prepared({}).ended()
    done = iac_ci("doctor", RUN_ID)
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "nothing: the run succeeded" in done.stdout


def test_a_nudge_wakes_the_run_and_is_told(stack):
    stack.prepared({})
    done = iac_ci("nudge", RUN_ID)
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "is woken" in done.stdout
    assert "watchdog" not in done.stdout
    assert triggered(stack)
    assert "nudged" in [event.kind for event in stack.runs.events(TRACE_ID)]
    assert iac_ci("nudge", RUN_ID).exit_code == ExitCode.SUCCEEDED


@pytest.mark.parametrize("state", [WatchdogState.ENDED, WatchdogState.MISSING])
def test_a_nudge_gives_a_run_the_watchdog_that_it_lost(stack, state):
    stack.prepared({}).executions.newest = state
    assert json.loads(iac_ci("nudge", RUN_ID, "--json").stdout)["watchdog_started"]
    assert not json.loads(iac_ci("nudge", RUN_ID, "--json").stdout)["watchdog_started"]


def test_a_run_that_is_not_prepared_gets_its_watchdog_too(stack):
    stack.internal.put(keys.job(RUN_ID), stored_job([{}]).model_dump_json().encode())
    stack.executions.newest = WatchdogState.ENDED
    done = iac_ci("nudge", RUN_ID)
    assert "A new one is started" in done.stdout
    assert "still being prepared" in done.stdout
    assert stack.executions.newest is WatchdogState.RUNNING
    assert "being prepared" in refused("cancel", RUN_ID)


def orchestrate(stack, monkeypatch, *, start=()):
    """Let the orchestrator answer the request to cancel: it may have been starting some orders at that moment."""
    ask = stack.runs.request_cancel

    def answer(run_id, reason):
        ask(run_id, reason)
        for row in stack.runs.read(RUN_ID).orders:
            if row.order_num in start:
                stack.order(row.order_num, OrderState.RUNNING, dispatched_at=START)
            elif row.status is OrderState.QUEUED:
                stack.runs.apply([Transition(row, row.model_copy(update={"status": OrderState.CANCELLED}))])

    monkeypatch.setattr(stack.runs, "request_cancel", answer)


def test_a_cancelled_run_says_what_is_cancelled_and_what_goes_on(stack, monkeypatch):
    stack.prepared({}, {"dependencies": ["order-0001"]})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    orchestrate(stack, monkeypatch)
    done = iac_ci("cancel", RUN_ID, "--reason", "wrong branch\x1b[2J")
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "Cancelled, never started: order-0002\n" in done.stdout
    assert "finish by themselves: order-0001\n" in done.stdout
    assert "Not known yet" not in done.stdout
    assert stack.runs.read(RUN_ID).run.cancel_reason == "wrong branch"
    assert triggered(stack)


def test_running_commands_are_asked_to_stop_only_where_that_is_said(stack, monkeypatch):
    stack.prepared({}, {})
    orchestrate(stack, monkeypatch, start={"0001"})
    iac_ci("cancel", RUN_ID)
    assert stack.runs.read(RUN_ID).run.stop_reason is None
    done = iac_ci("cancel", RUN_ID, "--running", "--reason", "wrong branch")
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "asked to stop within a minute" in done.stdout
    assert stack.runs.read(RUN_ID).run.stop_reason == "wrong branch"


def test_an_apply_is_interrupted_only_if_it_is_named(stack, monkeypatch):
    stack.prepared({"order_name": "plan"}, {"order_name": "apply", "cmds": ["terraform apply"]})
    orchestrate(stack, monkeypatch, start={"0001", "0002"})
    answer = json.loads(iac_ci("cancel", RUN_ID, "--running", "--json").stdout)
    assert (answer["asked_to_stop"], answer["left_running"]) == (["plan"], ["apply"])
    answer = json.loads(iac_ci("cancel", RUN_ID, "apply", "--running", "--json").stdout)
    assert (answer["asked_to_stop"], answer["left_running"]) == (["plan", "apply"], [])
    assert stack.runs.find_order(RUN_ID, "0002").stop_reason == "asked for by hand"
    assert not stack.runs.find_order(RUN_ID, "0002").stop_soon
    iac_ci("cancel", RUN_ID, "0002", "--running")
    assert stack.runs.find_order(RUN_ID, "0002").stop_soon, "the second wish shortens the wait"
    iac_ci("cancel", RUN_ID, "--running")
    assert stack.runs.find_run(RUN_ID).stop_soon


def test_named_orders_are_stopped_and_their_run_goes_on(stack):
    stack.prepared({}, {})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    done = iac_ci("cancel", RUN_ID, "order-0001", "--running")
    assert "asked to stop within a minute: order-0001\n" in done.stdout
    assert "The run is cancelled" not in done.stdout
    assert stack.runs.find_run(RUN_ID).cancel_reason is None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["order-0001"], "orders are named with --running only"),
        (["nope", "--running"], "has no order 'nope'"),
        (["order-0001", "order-0002", "--running"], "order order-0002 is not running (queued)"),
    ],
)
def test_what_cannot_be_stopped_is_refused_before_anything_is_asked(stack, arguments, problem):
    stack.prepared({}, {})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    done = iac_ci("cancel", RUN_ID, *arguments)
    assert done.exception.exit_code == ExitCode.BAD_INPUT
    assert problem in str(done.exception)
    assert stack.runs.find_order(RUN_ID, "0001").stop_reason is None


def test_an_order_that_started_while_the_run_was_cancelled_is_not_called_cancelled(stack, monkeypatch):
    stack.prepared({}, {}, {})
    orchestrate(stack, monkeypatch, start=("0001",))
    answer = json.loads(iac_ci("cancel", RUN_ID, "--json").stdout)
    assert (answer["cancelled"], answer["left_running"]) == (["order-0002", "order-0003"], ["order-0001"])
    assert answer["undecided"] == []


def test_orders_that_no_pass_has_decided_about_are_not_called_cancelled(stack):
    stack.prepared({})
    done = iac_ci("cancel", RUN_ID)
    assert "Cancelled, never started: none\n" in done.stdout
    assert "Not known yet, still queued: order-0001\n" in done.stdout


def test_a_second_cancel_answers_like_the_first(stack, monkeypatch):
    stack.prepared({}, {})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    orchestrate(stack, monkeypatch)
    iac_ci("cancel", RUN_ID, "--reason", "wrong branch")
    second = iac_ci("cancel", RUN_ID, "--reason", "another")
    assert second.exit_code == ExitCode.SUCCEEDED
    assert "is cancelled already: wrong branch\nCancelled, never started: order-0002\n" in second.stdout
    answer = json.loads(iac_ci("cancel", RUN_ID, "--json").stdout)
    assert (answer["already_cancelled"], answer["reason"]) == (True, "wrong branch")


def test_a_reason_is_one_line(stack, monkeypatch):
    stack.prepared({}, {})
    orchestrate(stack, monkeypatch)
    done = iac_ci("cancel", RUN_ID, "--reason", "wrong\n2026-01-31 00:00:00.000+00:00  _job  succeeded\u2028\u202e")
    reason = "wrong 2026-01-31 00:00:00.000+00:00 _job succeeded"
    assert done.stdout.startswith(f"The run is cancelled: {reason}\n")
    assert stack.runs.read(RUN_ID).run.cancel_reason == reason
    assert not any(line.startswith("2026-01-31") for line in iac_ci("events", RUN_ID).stdout.splitlines())


def failed_run(stack):
    stack.prepared({}, {})
    stack.order("0001", OrderState.FAILED, dispatched_at=START, ended_at=START, reason="exit code 1")
    run = stack.runs.read(RUN_ID).run
    ended = run.model_copy(update={"status": RunState.FAILED, "finished_at": START, "reason": "order-0001 failed"})
    stack.runs.apply([Transition(run, ended)])
    lock = stack.locks.take(RUN_ID, owner="it", now=START, lease_seconds=30, expires_at=START + timedelta(days=2))
    stack.locks.complete(lock)


def test_the_doctor_does_not_call_a_failed_run_well(stack):
    failed_run(stack)
    done = iac_ci("doctor", RUN_ID)
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "Nothing is wrong" not in done.stdout
    assert "The run failed: order-0001 failed. Orders that failed: order-0001 (exit code 1).\n" in done.stdout
    assert f"`iac-ci logs {RUN_ID} order-0001 --local`" in done.stdout
    assert json.loads(iac_ci("doctor", RUN_ID, "--json").stdout)["healthy"]


def test_the_doctor_warns_about_lists_that_let_every_source_use_everything(stack):
    stack.prepared({}, {})
    stack.open_lists = ("secret_allow_list", "target_role_arns")
    done = iac_ci("doctor", RUN_ID)
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "may use everything in secret_allow_list and target_role_arns" in " ".join(done.stdout.split())
    stack.open_lists = ()
    assert "may use everything" not in iac_ci("doctor", RUN_ID).stdout


@pytest.mark.parametrize("order", ["1", "0001", "01", "order-0001"])
def test_the_log_of_an_order_is_found_by_name_and_number(stack, order):
    stack.prepared({}, {})
    stack.internal.put(keys.log(RUN_ID, "0001"), b"of the first\n")
    done = iac_ci("logs", RUN_ID, order)
    assert (done.exit_code, done.stdout) == (0, "of the first\n")


def test_a_name_that_looks_like_a_number_is_a_name_first(stack):
    stack.prepared({}, {"order_name": "1"})
    stack.internal.put(keys.log(RUN_ID, "0002"), b"of the second\n")
    assert iac_ci("logs", RUN_ID, "1").stdout == "of the second\n"


@pytest.mark.parametrize("order", ["3", "order-001", "", "\u0661", "9" * 5000])
def test_an_unknown_order_is_named_with_those_that_exist(stack, order):
    stack.prepared({}, {})
    assert "has no order" in refused("logs", RUN_ID, order)
    assert iac_ci("logs", RUN_ID, order).exception.hint == "Its orders: order-0001, order-0002."


def test_a_run_that_is_being_prepared_is_shown_as_such(stack):
    stack.internal.put(keys.job(RUN_ID), stored_job([{}]).model_dump_json().encode())
    for command in ("status", "logs"):
        assert "is being prepared" in iac_ci(command, RUN_ID).stdout
    assert "no events yet" in iac_ci("events", RUN_ID).stdout


def test_a_reason_is_short_and_is_one(stack):
    stack.prepared({})
    for reason in ("", " ", "x" * 901):
        assert "characters" in refused("cancel", RUN_ID, "--reason", reason)
    assert stack.runs.read(RUN_ID).run.cancel_reason is None


@pytest.mark.parametrize("command", ["nudge", "cancel"])
def test_a_run_that_has_ended_is_left_alone(stack, command):
    stack.prepared({}).ended()
    assert f"there is nothing to {'wake' if command == 'nudge' else 'cancel'}" in refused(command, RUN_ID)
    assert not triggered(stack)


def test_a_run_that_ended_and_was_not_finished_with_can_be_woken(stack):
    stack.prepared({}).ended()
    stack.locks = MemoryLocks()
    assert iac_ci("nudge", RUN_ID).exit_code == ExitCode.SUCCEEDED
    assert triggered(stack)


def test_a_run_that_ends_while_it_is_being_cancelled_says_so(stack, monkeypatch):
    stack.prepared({})
    ask = stack.runs.request_cancel

    def too_late(run_id, reason):
        stack.ended()
        ask(run_id, reason)

    monkeypatch.setattr(stack.runs, "request_cancel", too_late)
    assert "has just ended" in refused("cancel", RUN_ID)


def test_a_further_watchdog_gets_a_name_of_its_own(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("stepfunctions")
        states = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}
        arn = client.create_state_machine(
            name="iac-ci-watchdog", definition=json.dumps(states), roleArn="arn:aws:iam::123456789012:role/none"
        )["stateMachineArn"]
        executions = StepFunctionExecutions(lambda: client, arn)
        assert executions.state(RUN_ID) is WatchdogState.MISSING
        for number in (1, 2, 3):
            assert executions.start_again(RUN_ID)
            assert executions.state(RUN_ID) is WatchdogState.RUNNING
            assert not executions.start_again(RUN_ID)
            running = client.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"]
            assert [entry["name"] for entry in running] == [f"{RUN_ID}-0000" + (f"-{number}" if number > 1 else "")]
            asked = client.describe_execution(executionArn=running[0]["executionArn"])["input"]
            assert json.loads(asked)["run_id"] == RUN_ID
            client.stop_execution(executionArn=running[0]["executionArn"])
            assert executions.state(RUN_ID) is WatchdogState.ENDED


# -- logs of running orders and of runs whose rows are gone -----------------------------------------------------------

OLD = "20250101T000000-0123456789ab"


def test_the_log_of_a_running_order_is_what_it_has_sent(stack):
    stack.prepared({})
    for number, part in enumerate((b"one\nhal", b"f\n")):
        stack.internal.put(keys.live_part(RUN_ID, "0001", number), part)
    assert iac_ci("logs", RUN_ID, "1").stdout == "one\nhalf\n"


def in_result(log, **fields):
    """Return a stored result that has the whole log."""
    written = {"status": "succeeded", "reported_by": "worker", "ended_at": START, "log_bytes": len(log.encode())}
    result = Result(run_id=RUN_ID, order_num="0001", log_tail=log, **(written | fields))
    return result.model_dump_json().encode()


def test_a_short_log_is_in_its_result(stack):
    stack.prepared({}, {})
    stack.order("0001", OrderState.SUCCEEDED, dispatched_at=START, ended_at=START)
    times = ((0, int(START.timestamp() * 1000)),)
    stack.internal.put(keys.result(RUN_ID, "0001"), in_result("of the first\n", log_times=times))
    assert iac_ci("logs", RUN_ID, "1").stdout == "of the first\n"
    assert iac_ci("logs", RUN_ID, "1", "-t").stdout == f"{START:%Y-%m-%dT%H:%M:%SZ} of the first\n"
    assert iac_ci("logs", RUN_ID, "1", "--follow").stdout == "of the first\n"
    second = "── order-0002\n(no log: queued)\n"
    assert iac_ci("logs", RUN_ID).stdout == f"── order-0001\nof the first\n{second}"


def test_logs_in_results_outlive_the_rows_of_their_run(stack):
    stack.internal.put(keys.trigger(OLD), b"")
    stack.internal.put(keys.result(OLD, "0001"), in_result("of the first\n"))
    stack.internal.put(keys.log(OLD, "0003"), b"of the third\n")
    stack.internal.put(keys.result(OLD, "0004"), in_result("", reported_by="watchdog"))
    expected = "── 0001\nof the first\n── 0003\nof the third\n── 0004\n(no log)\n"
    assert iac_ci("logs", OLD).stdout == expected
    assert iac_ci("logs", OLD, "1").stdout == "of the first\n"


def test_logs_outlive_the_rows_of_their_run(stack):
    stack.internal.put(keys.log(OLD, "0001"), b"of the first\n")
    stack.internal.put(keys.log(OLD, "0003"), b"of the third\n")
    assert iac_ci("logs", OLD).stdout == "── 0001\nof the first\n── 0003\nof the third\n"
    assert iac_ci("logs", OLD, "3").stdout == "of the third\n"
    assert "has no log of 'apply'" in refused("logs", OLD, "apply")


def test_a_followed_log_is_printed_once_and_whole(stack):
    """Part by part while the order runs, even where a part ends inside a character, and the rest at its end."""
    stack.prepared({})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    seen = []
    follower = Follower(stack, RUN_ID, lambda row, text: seen.append(text))
    whole = "eins, zwölf\nend\n".encode()
    assert not follower.step()
    assert stack.runs.read(RUN_ID).run.followed_until == stack.clock.now() + timedelta(seconds=150)
    for number, part in enumerate((whole[:9], whole[9:12])):
        stack.internal.put(keys.live_part(RUN_ID, "0001", number), part)
        assert not follower.step()
    assert "".join(seen) == whole[:12].decode("utf-8", "ignore")
    stack.internal.put(keys.log(RUN_ID, "0001"), whole)
    stack.internal.delete([keys.live_part(RUN_ID, "0001", number) for number in (0, 1)])
    stack.ended()
    assert follower.step()
    assert "".join(seen) == whole.decode()


def test_what_a_dead_worker_has_sent_is_shown_to_its_end(stack):
    stack.prepared({})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    stack.internal.put(keys.live_part(RUN_ID, "0001", 0), b"its last words\n")
    stack.order("0001", OrderState.FAILED, dispatched_at=START, ended_at=START)
    done = iac_ci("logs", RUN_ID, "--follow")
    assert (done.exit_code, done.stdout) == (0, "── order-0001\nits last words\n")


class FailsAtFirst:
    """Objects of which the first three calls fail."""

    def __init__(self, objects, error):
        self._objects, self._error, self._calls = objects, error, 0

    def __getattr__(self, name):
        def call(*arguments, **options):
            self._calls += 1
            if self._calls <= 3:
                raise self._error
            return getattr(self._objects, name)(*arguments, **options)

        return call


def test_a_failure_that_passes_loses_no_output(stack):
    """The end of a log that could not be read was taken for printed."""
    stack.prepared({})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    stack.internal.put(keys.log(RUN_ID, "0001"), b"all of it\n")
    stack.ended()
    sound, seen = stack.internal, []
    stack.internal = FailsAtFirst(sound, Throttled("SlowDown"))
    Follower(stack, RUN_ID, lambda row, text: seen.append(text)).follow(None, lambda _: None)
    assert seen == ["all of it\n"]


@pytest.mark.parametrize(("error", "waits"), [(Throttled("SlowDown"), 19), (PortFailed("AccessDenied"), 0)])
def test_following_ends_at_a_failure_that_stays(stack, error, waits):
    stack.prepared({})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    stack.ended()
    waited = []

    def fails(*_, **__):
        raise error

    stack.internal = MemoryObjects(stack.clock)
    stack.internal.get = fails
    with pytest.raises(PortFailed):
        Follower(stack, RUN_ID, lambda row, text: None).follow(None, waited.append)
    assert len(waited) == waits


def test_following_prints_text_only(stack):
    assert refused("logs", RUN_ID, "--follow", "--json") == "--follow prints text; leave out --json"


# -- logs of several attempts ----------------------------------------------------------------------------------------

REPEATED = {"idempotent": True, "retry": {"attempts": 3, "on": [7]}}


def second_attempt(stack):
    stack.prepared(REPEATED)
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    row = stack.runs.read(RUN_ID).orders[0]
    again = row.model_copy(update={"status": OrderState.QUEUED, "attempt": 2, "dispatched_at": None})
    assert not stack.runs.apply([Transition(row, again)])


def test_the_logs_of_all_attempts_are_printed(stack):
    second_attempt(stack)
    stack.internal.put(keys.log(RUN_ID, "0001"), b"first\n")
    stack.internal.put(keys.live_part(RUN_ID, "0001", 0, 2), b"second\n")
    heading = "── order-0001, attempt"
    assert iac_ci("logs", RUN_ID, "1").stdout == f"{heading} 1 of 3\nfirst\n{heading} 2 of 3\nsecond\n"
    assert iac_ci("logs", RUN_ID, "1", "--attempt", "1").stdout == "first\n"
    found = json.loads(iac_ci("logs", RUN_ID, "--json").stdout)
    assert found["logs"] == {"order-0001": "second\n"}
    assert found["attempts"] == {"order-0001": {"1": "first\n", "2": "second\n"}}
    assert refused("logs", RUN_ID, "1", "--attempt", "3") == "order-0001 has 2 attempts, and no attempt 3"
    assert refused("logs", RUN_ID, "--attempt", "1") == "--attempt is of one order; name the order"


def test_the_parts_of_another_attempt_are_no_part_of_the_first_ones_log(stack):
    second_attempt(stack)
    for attempt in (1, 2):
        for number in (0, 1):
            stack.internal.put(keys.live_part(RUN_ID, "0001", number, attempt), f"{attempt}{number} ".encode())
    assert iac_ci("logs", RUN_ID, "1", "--attempt", "1").stdout.strip() == "10 11"
    assert iac_ci("logs", RUN_ID, "1", "--attempt", "2").stdout.strip() == "20 21"


def test_every_attempt_is_followed_to_its_end(stack):
    stack.prepared(REPEATED)
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    seen = []
    follower = Follower(stack, RUN_ID, lambda row, text: seen.append((row.attempt, text)))
    stack.internal.put(keys.live_part(RUN_ID, "0001", 0), b"one ")
    assert not follower.step()
    row = stack.runs.read(RUN_ID).orders[0]
    again = row.model_copy(update={"status": OrderState.QUEUED, "attempt": 2, "dispatched_at": None})
    assert not stack.runs.apply([Transition(row, again)])
    stack.internal.put(keys.log(RUN_ID, "0001"), b"one two")
    assert not follower.step()
    stack.order("0001", OrderState.SUCCEEDED, dispatched_at=START, ended_at=START)
    stack.internal.put(keys.log(RUN_ID, "0001", 2), b"three")
    assert follower.step()
    assert seen == [(1, "one "), (1, "two"), (2, "three")]


def test_logs_of_attempts_outlive_the_rows_of_their_run(stack):
    stack.internal.put(keys.log(OLD, "0001"), b"first\n")
    stack.internal.put(keys.log(OLD, "0001", 2), b"second\n")
    assert iac_ci("logs", OLD, "1").stdout == "── 0001, attempt 1\nfirst\n── 0001, attempt 2\nsecond\n"
    assert iac_ci("logs", OLD, "1", "--attempt", "2").stdout == "second\n"


def test_a_status_shows_what_is_changed_and_which_attempt(stack):
    second_attempt(stack)
    stack.order("0001", OrderState.SUCCEEDED, dispatched_at=START, ended_at=START, changed=True)
    assert "succeeded, attempt 2 of 3, changed" in " ".join(iac_ci("status", RUN_ID).stdout.split())
    (order,) = json.loads(iac_ci("status", RUN_ID, "--json").stdout)["orders"]
    assert (order["changed"], order["attempt"], order["attempts"]) == (True, 2, 3)


# -- times before the lines of logs ----------------------------------------------------------------------------------


def test_times_are_printed_on_demand(stack):
    stack.prepared({})
    stack.ended()
    stack.internal.put(keys.log(RUN_ID, "0001"), b"one\ntwo\n")
    times = ((0, int(START.timestamp() * 1000)), (4, int(START.timestamp() * 1000) + 61_000))
    result = Result(run_id=RUN_ID, order_num="0001", status="succeeded", reported_by="worker", ended_at=START)
    stack.internal.put(
        keys.result(RUN_ID, "0001"), result.model_copy(update={"log_times": times}).model_dump_json().encode()
    )
    assert iac_ci("logs", RUN_ID, "1").stdout == "one\ntwo\n"
    later = START + timedelta(seconds=61)
    expected = f"{START:%Y-%m-%dT%H:%M:%SZ} one\n{later:%Y-%m-%dT%H:%M:%SZ} two\n"
    assert iac_ci("logs", RUN_ID, "1", "--timestamps").stdout == expected
    stack.internal.delete([keys.result(RUN_ID, "0001")])
    assert iac_ci("logs", RUN_ID, "1", "-t").stdout == f"{' ' * 20} one\n{' ' * 20} two\n"


def test_a_followed_log_has_the_times_at_which_its_lines_came(stack):
    stack.prepared({})
    stack.order("0001", OrderState.RUNNING, dispatched_at=START)
    for number, part in enumerate((b"one\ntw", b"o\n")):
        stack.internal.put(keys.live_part(RUN_ID, "0001", number), part)
    stack.order("0001", OrderState.FAILED, dispatched_at=START, ended_at=START)
    before = f"{stack.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    assert iac_ci("logs", RUN_ID, "1", "--follow", "-t").stdout == f"{before} one\n{before} two\n"


REPOSITORY = "https://github.com/acme/infra"
CONNECTED = {
    "repositories": [REPOSITORY],
    "webhook_secrets": ["ssm:/w"],
    "token_location": "ssm:/t",
}


@pytest.mark.parametrize("generation", [0, 1, 7])
def test_a_link_to_the_page_has_the_generation_of_the_connection(stack, generation):
    fields = {"git_repo": REPOSITORY, "pr_number": 7} if generation else {}
    stack.runs.insert(*queued([{}], **fields))
    stack.parameters["connections"] = json.dumps([CONNECTED | {"link_generation": max(generation, 1)}])
    done = iac_ci("open", RUN_ID)
    assert done.exit_code == 0
    start, _, capability = done.stdout.strip().partition("?key=")
    assert start == f"https://ci.example/live/runs/{RUN_ID}/open"
    now = stack.clock.now()
    found = capabilities.check("k" * 40, capabilities.Kind.LINK, RUN_ID, capability, now=now)
    assert found is not None
    assert found.generation == generation
    assert found.expires_at - now == timedelta(minutes=15)
    assert json.loads(iac_ci("open", RUN_ID, "--json").stdout)["link"].startswith(start)


def test_files_that_cannot_be_opened_leave_no_folder(stack, tmp_path, monkeypatch):
    """The folder kept the command from being repeated with the right that was missing."""
    stack.client = lambda service: None
    stack.internal.put(keys.files(RUN_ID, "0001"), b"sealed")
    target = tmp_path / "left"

    def fetch(sealed, objects, kms, folder):
        (folder / "secret").write_text("x")
        raise PortFailed("decrypting the identity of the files: AccessDeniedException: no")

    monkeypatch.setattr(file_commands, "fetch", fetch)
    assert isinstance(iac_ci("files", RUN_ID, "--to", str(target)).exception, PortFailed)
    assert not target.exists()
    monkeypatch.setattr(file_commands, "fetch", lambda *_: FetchedFiles("0001", "saved", target, ("plan",)))
    assert iac_ci("files", RUN_ID, "--to", str(target)).stdout == f"{target / 'plan'}\n"


LONG = "a-name-that-is-longer-than-a-half-of-a-narrow-terminal"


@pytest.mark.parametrize("width", [30, 60, 80])
def test_a_narrow_terminal_shows_whole_words(stack, width, monkeypatch):
    stack.prepared({"order_name": LONG}, {"dependencies": [LONG]})
    stack.order("0001", OrderState.FAILED, dispatched_at=START, ended_at=START, reason="it ended unsuccessfully")
    monkeypatch.setattr(render, "console", lambda: Console(force_terminal=True, width=width, color_system=None))
    shown = iac_ci("status", RUN_ID).stdout
    assert {"failed", "unsuccessfully"} <= set(shown.replace(",", " ").split())
    assert (LONG in shown) == (width == 30)


def test_without_a_terminal_names_are_whole(stack):
    stack.prepared({"order_name": LONG * 2})
    assert LONG * 2 in iac_ci("status", RUN_ID).stdout


def test_a_link_needs_no_right_to_read_the_bucket(stack):
    """An order that is being dispatched does not matter to the link."""
    stack.prepared({}).order("0001", OrderState.DISPATCHING, dispatched_at=START)
    stack.internal = None
    assert iac_ci("open", RUN_ID).stdout.startswith(f"https://ci.example/live/runs/{RUN_ID}/open?key=")


def test_a_stack_without_pages_makes_no_link(stack):
    stack.prepared({})
    for parameters, address in (
        ({}, stack.page_address),
        ({"page-key": "none"}, stack.page_address),
        ({"page-key": "k" * 40}, ""),
    ):
        stack.parameters, stack.page_address = parameters, address
        done = iac_ci("open", RUN_ID)
        assert isinstance(done.exception, CommandFailed)
        assert "has no pages of runs" in done.exception.message
        assert "page_key_version" in done.exception.hint
