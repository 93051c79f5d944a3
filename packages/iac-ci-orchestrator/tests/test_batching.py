"""AWS's limits slow a run down and do nothing else to it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.stub import ANY, Stubber

from iac_ci_common.aws.watchdogs import StepFunctionWatchdogs
from iac_ci_common.aws.workers import AwsWorkers
from iac_ci_common.errors import AtCapacity, IacCiError, PortFailed, Throttled
from iac_ci_common.limits import LEASE_SECONDS
from iac_ci_common.models.work import BuildOrder, Work
from iac_ci_common.progress import waits_for
from iac_ci_common.testing import Sequential
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.batching import ROUND, in_rounds

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

POLL_SECONDS = 60
"""How often the run's watchdog looks."""


class Limited:
    """A service that takes so many calls, and refuses all others until it is given more."""

    def __init__(self, engine, call, refusal=Throttled):
        self.takes = 0
        self._refusal = refusal
        self.asked = 0
        self._call = call
        for port in ("_workers", "_watchdogs"):
            getattr(engine.orchestrator._dispatcher, port)._before = self

    def __call__(self, name):
        if name != self._call:
            return
        self.asked += 1
        if self.takes == 0:
            raise self._refusal("Rate exceeded")
        self.takes -= 1


def wake(engine):
    """Wake as an event or a watchdog does; whoever wakes may be told that something must be tried again."""
    try:
        engine.wake()
    except Throttled:
        return False
    return True


CALLS = [
    ("watchdogs.start", "lambda"),
    ("workers.start_lambda", "lambda"),
    ("workers.start_build", "codebuild"),
]


@pytest.mark.parametrize(("call", "target"), CALLS)
def test_a_long_throttle_only_slows_a_run(call, target):
    engine = Engine([{"execution_target": target, "timeout": 60}] * 3, job_timeout=24 * 3600)
    limited = Limited(engine, call)
    assert not wake(engine)
    for _ in range(3 * 60):
        engine.clock.advance(POLL_SECONDS)
        assert not wake(engine)
    assert set(engine.states.values()) == {"dispatching"}
    assert not engine.locks.read(RUN_ID).held(engine.clock.now())
    limited.takes = 3
    engine.clock.advance(POLL_SECONDS)
    assert wake(engine)
    assert set(engine.states.values()) == {"running"}
    for num in engine.states:
        engine.report(num)
    wake(engine)
    engine.assert_ended_well()


def test_a_dispatch_is_made_again_within_the_lease_and_one_poll():
    engine = Engine([{}])
    limited = Limited(engine, "workers.start_lambda")
    assert not wake(engine)
    limited.takes = 1
    waited = 0
    while not engine.handed_out():
        # The worst case: nobody but the run's watchdog ever wakes it.
        engine.clock.advance(POLL_SECONDS)
        waited += POLL_SECONDS
        wake(engine)
    assert waited <= LEASE_SECONDS + POLL_SECONDS


def test_a_run_gets_on_as_fast_as_the_account_allows():
    engine = Engine([{"timeout": 60}] * 100, job_timeout=24 * 3600)
    limited = Limited(engine, "workers.start_lambda")
    begun = set()
    polls = 0
    while len(begun) < 100:
        limited.takes = 7
        wake(engine)
        begun |= (new := set(engine.handed_out()))
        # More than the account allows at once never starts, and no order is started twice.
        assert len(new) <= 7
        for num in new:
            engine.report(num)
        engine.clock.advance(POLL_SECONDS)
        polls += 1
        assert polls <= 2 * 100 / 7
    wake(engine)
    engine.assert_ended_well()
    assert set(engine.states.values()) == {"succeeded"}


@pytest.mark.parametrize(("call", "target"), CALLS)
def test_a_call_that_failed_for_a_moment_is_repeated_after_a_second_or_two(call, target):
    engine = Engine([{"execution_target": target, "timeout": 60}] * 3, job_timeout=24 * 3600)
    limited = Limited(engine, call)

    def pause(seconds):
        engine.pauses.append(seconds)
        limited.takes = 3

    engine.orchestrator = Orchestrator(replace(engine.orchestrator._ports, wait=pause))
    assert wake(engine)
    assert len(engine.workers.lambda_works) + len(engine.workers.builds) == 3
    assert len(engine.pauses) == 1
    assert 1 <= engine.pauses[0] <= 2


def test_a_repetition_that_fails_too_is_left_to_a_later_pass():
    engine = Engine([{}] * 3)
    limited = Limited(engine, "workers.start_lambda")
    assert not wake(engine)
    assert limited.asked == 3 + 1
    assert len(engine.pauses) == 1
    engine.clock.advance(POLL_SECONDS)
    assert not wake(engine)
    # A pass that dispatches again pauses no more.
    assert limited.asked == 3 + 1 + 3
    assert len(engine.pauses) == 1


def test_calls_that_took_a_third_of_the_lease_are_not_repeated():
    engine = Engine([{}])

    def refuse(name):
        if name == "workers.start_lambda":
            engine.clock.advance(LEASE_SECONDS / 3)
            raise Throttled("Rate exceeded")

    engine.orchestrator._dispatcher._workers._before = refuse
    assert not wake(engine)
    assert engine.pauses == []


def test_what_finds_no_capacity_is_not_repeated_at_once():
    engine = Engine([{"execution_target": "codebuild"}])
    limited = Limited(engine, "workers.start_build", AtCapacity)
    assert wake(engine)
    assert (limited.asked, engine.pauses) == (1, [])


def test_who_is_refused_asks_no_further():
    engine = Engine([{}] * 100)
    limited = Limited(engine, "workers.start_lambda")
    limited.takes = ROUND
    assert not wake(engine)
    assert limited.asked == 2 * ROUND + 1  # one call is repeated, and refused too
    assert sum(state == "running" for state in engine.states.values()) == ROUND
    logger = [fields for _, message, fields in engine.logger.lines if "will be retried" in message]
    assert sum(fields["orders"] for fields in logger) == 100 - ROUND
    assert len(logger) == 2


def test_an_order_that_gets_no_build_waits_and_shows_why():
    engine = Engine([{"execution_target": "codebuild", "timeout": 60}] * 3, job_timeout=24 * 3600)
    limited = Limited(engine, "workers.start_build", AtCapacity)
    limited.takes = 1
    # Waiting is no failure: neither Lambda's retries nor the alarm of failed functions have anything to do with it.
    assert wake(engine)
    assert engine.states == {"0001": "running", "0002": "dispatching", "0003": "dispatching"}
    for _ in range(3 * 60):
        engine.clock.advance(POLL_SECONDS)
        assert wake(engine)
    rows = {row.order_num: row for row in engine.runs.read(RUN_ID).orders}
    assert [row.reason for row in rows.values()] == [None, *["waits for capacity: Rate exceeded"] * 2]
    assert waits_for(rows["0002"], rows) == "waits for capacity: Rate exceeded"
    shown = [event for event in engine.runs.events(TRACE_ID) if event.kind == "dispatching"]
    assert [(event.order_num, event.reason) for event in shown] == [
        (num, "waits for capacity: Rate exceeded") for num in ("0002", "0003")
    ]
    limited.takes = 2
    engine.clock.advance(POLL_SECONDS)
    assert wake(engine)
    assert [row.reason for row in engine.runs.read(RUN_ID).orders] == [None] * 3
    for num in engine.states:
        engine.report(num)
    wake(engine)
    engine.assert_ended_well()


STOPPED = {
    "the run was cancelled: by me": lambda runs: runs.request_cancel(RUN_ID, "by me"),
    "the order was stopped: by me": lambda runs: runs.request_stop(RUN_ID, "by me", order_num="0001"),
}


@pytest.mark.parametrize("reason", STOPPED)
@pytest.mark.parametrize("is_claimed", [False, True])
def test_an_order_that_waits_for_capacity_and_may_not_start_any_more_is_cancelled(reason, is_claimed):
    engine = Engine([{"execution_target": "codebuild", "timeout": 60}], job_timeout=24 * 3600)
    limited = Limited(engine, "workers.start_build", AtCapacity)
    assert wake(engine)
    STOPPED[reason](engine.runs)
    if is_claimed:
        # AWS has started a build all the same, and its answer was lost.
        engine.claim("0001")
    limited.takes = 1
    engine.clock.advance(POLL_SECONDS)
    assert wake(engine)
    assert limited.asked == 1
    row = engine.runs.find_order(RUN_ID, "0001")
    if is_claimed:
        assert row.status.value == "dispatching"
        engine.report("0001")
        wake(engine)
    else:
        assert (row.status.value, row.reason) == ("cancelled", f"{reason}; it had not begun")
    engine.assert_ended_well()


def test_orders_that_get_no_build_keep_no_function_waiting():
    builds = [{"execution_target": "codebuild", "timeout": 60}] * (2 * ROUND)
    engine = Engine([*builds, *[{"execution_target": "lambda", "timeout": 60}] * ROUND])
    limited = Limited(engine, "workers.start_build", AtCapacity)
    assert wake(engine)
    assert limited.asked == ROUND
    assert sum(state == "running" for state in engine.states.values()) == ROUND
    waiting = [row for row in engine.runs.read(RUN_ID).orders if row.reason]
    assert {row.target.value for row in waiting} == {"codebuild"}
    assert len(waiting) == 2 * ROUND


@pytest.mark.parametrize("number", [0, 1, ROUND, ROUND + 1, 3 * ROUND])
def test_every_call_gets_its_own_answer(number):
    assert in_rounds(Sequential(), [lambda index=index: index for index in range(number)]) == list(range(number))


def test_what_is_refused_for_good_does_not_stop_the_others():
    def refuse():
        raise PortFailed("no")

    answers = in_rounds(Sequential(), [refuse, *[lambda: 1] * (2 * ROUND)])
    assert isinstance(answers[0], PortFailed)
    assert answers[1:] == [1] * (2 * ROUND)


WORK = Work.model_validate(
    {
        "run_id": RUN_ID,
        "order_num": "0001",
        "trace_id": TRACE_ID,
        "dispatch": "one",
        "timeout": 60,
        "not_after": START,
        "urls": {"package": "p", "claim": "c", "claim_check": "k", "log": "l", "result": "r"},
    }
)
BUILD = BuildOrder(run_id=RUN_ID, order_num="0001", dispatch="1", ticket="a" * 64)
REFUSALS = [
    ("lambda", "invoke", "TooManyRequestsException", 429),
    ("lambda", "invoke", "ResourceConflictException", 409),
    ("lambda", "invoke", "EC2ThrottledException", 502),
    ("codebuild", "start_build", "AccountLimitExceededException", 400),
    ("codebuild", "start_build", "ThrottlingException", 400),
    ("lambda", "invoke", "CodeArtifactUserPendingException", 409),
    ("stepfunctions", "start_execution", "ThrottlingException", 400),
    ("stepfunctions", "start_execution", "ExecutionLimitExceeded", 400),
]


@pytest.mark.parametrize("machine", [None, "BUILD_GENERAL1_LARGE"])
def test_a_machine_is_named_in_the_request_only_where_the_order_has_one(machine):
    client = boto3.client(
        "codebuild", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    expected = {
        "projectName": "worker",
        "timeoutInMinutesOverride": ANY,
        "idempotencyToken": ANY,
        "environmentVariablesOverride": ANY,
        **({"computeTypeOverride": machine} if machine else {}),
    }
    with Stubber(client) as stubber:
        stubber.add_response("start_build", {"build": {"id": "worker:1"}}, expected)
        AwsWorkers(lambda: client, lambda: client, "worker", "worker").start_build(
            BUILD, timeout_seconds=60, compute_type=machine
        )
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("listed", "new", "ended"),
    [
        ({"buildStatus": "IN_PROGRESS"}, {"worker:1"}, False),
        ({"buildStatus": "IN_PROGRESS"}, set(), False),
        ({"buildStatus": "STOPPED", "buildComplete": False}, set(), False),
        ({"buildStatus": "STOPPED", "buildComplete": True}, {"worker:1"}, True),
        ({"buildStatus": "FAILED"}, {"worker:1"}, True),
        ({"buildStatus": "FAILED"}, set(), True),
        (None, {"worker:1"}, False),
        (None, set(), True),
        (None, {"worker:2"}, True),
    ],
)
def test_a_new_build_that_codebuild_does_not_list_yet_has_not_ended(listed, new, ended):
    client = boto3.client(
        "codebuild", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    answer = {"builds": [{"id": "worker:1"} | listed]} if listed else {"builds": [], "buildsNotFound": ["worker:1"]}
    with Stubber(client) as stubber:
        stubber.add_response("batch_get_builds", answer, {"ids": ["worker:1"]})
        workers = AwsWorkers(lambda: client, lambda: client, "worker", "worker")
        assert workers.ended_builds(["worker:1"], new=new) == ({"worker:1"} if ended else set())


@pytest.mark.parametrize(("service", "operation", "code", "status"), REFUSALS)
def test_what_aws_refuses_with_where_a_limit_is_reached_may_be_tried_again(service, operation, code, status):
    client = boto3.client(
        service, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    workers = AwsWorkers(lambda: client, lambda: client, "worker", "worker")
    calls = {
        "invoke": lambda: workers.start_lambda(WORK),
        "start_build": lambda: workers.start_build(BUILD, timeout_seconds=60),
        "start_execution": lambda: StepFunctionWatchdogs(client, "arn").start(RUN_ID, 1),
    }
    with Stubber(client) as stubber:
        stubber.add_client_error(operation, code, http_status_code=status)
        with pytest.raises(IacCiError) as refused:
            calls[operation]()
    assert isinstance(refused.value, Throttled)
    assert refused.value.retry_is_safe
    assert isinstance(refused.value, AtCapacity) is (code == "AccountLimitExceededException")
