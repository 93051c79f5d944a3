"""Which orders of a run did not succeed, also when its rows are gone, and what a refusal says."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from typer.testing import CliRunner

from iac_ci_cli import stack_options
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.main import app
from iac_ci_cli.rerun_commands import unsuccessful
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.event import Event
from iac_ci_common.run_events import accepted_event
from iac_ci_common.states import OrderState
from iac_ci_common.testing import FakeClock, MemoryHistory, MemoryObjects, MemoryRuns
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, queued, run_row

NEW = {"run_id": "20260102T000000-aaaaaaaaaaaa", "trace_id": TRACE_ID, "flow_id": "x", "done_endpt": "s3://done/x"}


class Services:
    """Lambda and STS as the command sees them."""

    def __init__(self):
        self.answer = {"statusCode": 202, "body": json.dumps(NEW)}
        self.invoked = []

    def invoke(self, **request):
        self.invoked.append((request["FunctionName"], json.loads(request["Payload"])))
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())}

    def get_caller_identity(self):
        return {"Arn": "arn:aws:sts::123456789012:assumed-role/Operators/alice smith@example.com"}


class Stack:
    stack = "acme"
    options = " --stack acme"

    def __init__(self):
        self.clock = FakeClock(START)
        self.runs = MemoryRuns()
        self.internal = MemoryObjects(self.clock)
        self.history = MemoryHistory(self.runs, self.clock)
        self.services = Services()

    def client(self, service):
        return self.services

    def command(self, name, run, *more):
        return " ".join(["iac-ci", name, run, *more]) + self.options

    def forgotten(self, *states):
        """A run of which only the events are left."""
        self.runs.record([accepted_event(run_row(), ())])
        for number, state in enumerate(states, 1):
            for seconds, kind in enumerate((OrderState.QUEUED, state)):
                event = Event(
                    trace_id=TRACE_ID, run_id=RUN_ID, order_num=f"{number:04d}", order_name=f"order-{number}",
                    kind=kind.value, at=START + timedelta(seconds=seconds), expires_at=START + timedelta(days=90),
                )  # fmt: skip
                self.runs.record([event])
        return self


@pytest.fixture
def stack(monkeypatch):
    found = Stack()
    monkeypatch.setattr(stack_options, "connect", lambda *arguments, **options: found)
    return found


def test_orders_that_did_not_succeed_are_known_from_the_rows(stack):
    stack.runs.insert(*queued([{}, {}, {}]))
    rows = stack.runs.order_rows[RUN_ID]
    for number, fields in {
        "0001": {"status": OrderState.SUCCEEDED},
        "0002": {"status": OrderState.FAILED},
        "0003": {"status": OrderState.SKIPPED, "not_needed": True},
    }.items():
        rows[number] = rows[number].model_copy(update=fields)
    assert unsuccessful(stack, RUN_ID) == ["order-0002"]


def test_orders_that_did_not_succeed_are_known_from_the_events_when_the_rows_are_gone(stack):
    states = (OrderState.SUCCEEDED, OrderState.FAILED, OrderState.TIMED_OUT, OrderState.CANCELLED, OrderState.SKIPPED)
    stack.forgotten(*states)
    assert unsuccessful(stack, RUN_ID) == ["order-2", "order-3", "order-4", "order-5"]


def test_a_run_of_which_nothing_is_left_is_not_run_again(stack):
    with pytest.raises(CommandFailed, match="nothing is known of run"):
        unsuccessful(stack, RUN_ID)


def iac_ci(*words):
    return CliRunner().invoke(app, list(words))


def test_the_request_has_the_orders_and_who_asks(stack):
    stack.forgotten(OrderState.FAILED)
    done = iac_ci("rerun", RUN_ID, "--failed")
    assert done.stdout.splitlines() == [
        f"Accepted as run {NEW['run_id']}",
        f"Watch it with: iac-ci watch {NEW['run_id']} --stack acme",
    ]
    ((name, task),) = stack.services.invoked
    assert name == "acme-init-job"
    assert (task["rerun"], task["orders"], task["by"]) == (RUN_ID, ["order-1"], "alice-smith@example.com")


def test_orders_and_failed_exclude_each_other(stack):
    assert iac_ci("rerun", RUN_ID, "plan", "--failed").exception.exit_code is ExitCode.BAD_INPUT
    assert not stack.services.invoked


def test_a_refusal_has_every_reason(stack):
    problems = [{"where": "rerun", "what": "run x has not ended"}]
    stack.services.answer = {"statusCode": 400, "body": json.dumps({"error": "no", "problems": problems})}
    refused = iac_ci("rerun", RUN_ID).exception
    assert (refused.exit_code, refused.message) == (ExitCode.BAD_INPUT, f"the rerun of run {RUN_ID}")
    assert [(problem.where, problem.what) for problem in refused.problems] == [("rerun", "run x has not ended")]


def test_a_stack_of_a_version_before_is_named(stack):
    stack.services.answer = {"errorMessage": "KeyError", "errorType": "KeyError"}
    assert "Was the stack deployed by a version before?" in iac_ci("rerun", RUN_ID).exception.hint


def test_a_lost_answer_names_the_run_that_may_have_been_started(stack, monkeypatch):
    """The same command would start another one."""

    def invoke(**request):
        stack.services.invoked.append(json.loads(request["Payload"]))
        raise ReadTimeoutError(endpoint_url="https://lambda.eu-west-1.amazonaws.com/")

    monkeypatch.setattr(stack.services, "invoke", invoke, raising=False)
    failed = iac_ci("rerun", RUN_ID).exception
    (task,) = stack.services.invoked
    assert failed.message == "starting the run: https://lambda.eu-west-1.amazonaws.com/ does not answer in time"
    assert failed.hint == f"The run may have been started. Look with: iac-ci watch {task['as_run']} --stack acme"


def test_a_refusal_of_aws_has_started_no_run(stack, monkeypatch):
    def invoke(**request):
        metadata = {"HTTPStatusCode": 403}
        raise ClientError({"Error": {"Code": "AccessDeniedException"}, "ResponseMetadata": metadata}, "Invoke")

    monkeypatch.setattr(stack.services, "invoke", invoke, raising=False)
    assert isinstance(iac_ci("rerun", RUN_ID).exception, PortFailed)
