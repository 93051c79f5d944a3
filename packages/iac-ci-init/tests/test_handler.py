"""The Lambda function's HTTP and asynchronous invocations, as AWS makes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from iac_ci_common.errors import StoredUnreadable, Throttled
from iac_ci_common.signature import sign
from iac_ci_common.testing import MemoryLogger
from iac_ci_common.testing.samples import RUN_ID
from iac_ci_init import wiring
from iac_ci_init.handler import handler

sys.path.insert(0, str(Path(__file__).parent))
from job_requests import JOB, Asked


@pytest.fixture
def asked(monkeypatch):
    asked = Asked()
    asked.logger = MemoryLogger()
    monkeypatch.setattr(wiring, "job_intake", lambda: asked.intake)
    monkeypatch.setattr(wiring, "logger", lambda: asked.logger)
    return asked


def request(asked, body):
    raw = json.dumps(body)
    return {
        "httpMethod": "POST",
        "headers": {"x-iac-ci-signature": sign("secret", raw.encode(), asked.clock.now())},
        "body": raw,
        "isBase64Encoded": False,
    }


def test_a_job_is_answered_as_api_gateway_wants_it(asked):
    said = handler(request(asked, JOB), None)
    assert said["statusCode"] == 202
    assert said["headers"]["Content-Type"] == "application/json"
    assert json.loads(said["body"])["schema_version"] == 1


@pytest.mark.parametrize(
    "event", [{}, {"body": None, "headers": None}, {"body": "x"}, {"body": "?", "isBase64Encoded": True}]
)
def test_an_empty_or_broken_event_is_refused(asked, event):
    said = handler(event, None)
    assert said["statusCode"] in {400, 401}
    # It may be a webhook or an answer to an approval as well.
    assert "the job" not in json.loads(said["body"])["error"]
    assert asked.untouched


def test_the_log_tells_of_a_refusal_without_what_the_caller_wrote(asked):
    wrong = {**JOB, "planted-field": 1, "username": "planted name", "orders": [{"secrets": {"planted": "planted"}}]}
    assert handler(request(asked, wrong), None)["statusCode"] == 400
    ((level, _, fields),) = asked.logger.lines
    assert (level, fields["status"]) == ("warning", 400)
    assert "planted" not in repr(asked.logger.lines)


def test_a_fault_of_the_engine_is_answered_and_logged_without_its_values(asked, monkeypatch):
    body = "planted-value"

    def fault(event):
        raise RuntimeError(body)

    monkeypatch.setattr(asked.intake, "accept", fault)
    said = handler(request(asked, JOB), None)
    assert said["statusCode"] == 500
    assert asked.logger.lines[0][2]["error"] == "RuntimeError"
    assert body not in said["body"] + repr(asked.logger.lines)


def test_a_preparation_raises_what_lambda_should_try_again(monkeypatch):
    class Busy:
        def prepare(self, run_id):
            raise Throttled("slow down", run_id=run_id)

    monkeypatch.setattr(wiring, "preparer", Busy)
    with pytest.raises(Throttled):
        handler({"schema_version": 1, "prepare": RUN_ID}, None)


@pytest.mark.parametrize("run_id", ["../x", "", None, "a" * 200])
def test_a_preparation_of_no_run_raises(run_id):
    with pytest.raises(StoredUnreadable):
        handler({"prepare": run_id}, None)


def test_requests_load_no_module_that_only_tasks_need():
    code = "import sys, iac_ci_init.handler; print({'boto3', 'github', 'pyrage'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
