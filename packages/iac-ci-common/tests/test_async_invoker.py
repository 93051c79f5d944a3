"""What the init function is invoked with."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from iac_ci_common.aws.functions import LambdaAsyncInvoker
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.answer import EventTask, PreparationTask, ReplanTask
from iac_ci_common.models.saved_plan import Replan
from iac_ci_common.testing.samples import RUN_ID, START

REPLAN = Replan(
    trigger_id=RUN_ID,
    at=START,
    repository="https://github.com/acme/infra.git",
    number=7,
    plan=f"plan:github.com/acme/infra#7#{'a' * 64}",
    project="a" * 64,
    applied_by=RUN_ID,
    applied_by_order="0001",
    applied_by_pull_request=12,
)


class Lambda:
    def __init__(self, error=None):
        self.calls, self.error = [], error

    def invoke(self, **call):
        self.calls.append(call)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("invoke", "kind"),
    [
        (lambda invoker: invoker.prepare(RUN_ID), PreparationTask(prepare=RUN_ID)),
        (lambda invoker: invoker.process_event(RUN_ID), EventTask(trigger=RUN_ID)),
        (lambda invoker: invoker.plan_again(REPLAN), ReplanTask(replan=REPLAN)),
    ],
    ids=["prepare", "event", "replan"],
)
def test_each_task_is_invoked_asynchronously_and_read_back(invoke, kind):
    client = Lambda()
    invoke(LambdaAsyncInvoker(client, "iac-ci-init-job"))
    (call,) = client.calls
    assert (call["FunctionName"], call["InvocationType"]) == ("iac-ci-init-job", "Event")
    assert type(kind).from_stored(json.loads(call["Payload"])) == kind


def test_a_refusal_is_an_error_of_the_port():
    refused = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Invoke")
    with pytest.raises(PortFailed):
        LambdaAsyncInvoker(Lambda(refused), "iac-ci-init-job").plan_again(REPLAN)


def test_a_function_without_a_name_is_an_error_of_the_port():
    # As botocore refuses it, which makes no request.
    refused = ParamValidationError(report="Invalid length for parameter FunctionName, value: 0, valid min length: 1")
    with pytest.raises(PortFailed):
        LambdaAsyncInvoker(Lambda(refused), "").plan_again(REPLAN)
