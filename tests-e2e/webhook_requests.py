"""The webhook endpoint against its OpenAPI description: schemathesis sends what it allows and what it forbids.

Collected only where it is named, as `test_webhook_endpoint.py` does: schemathesis draws thousands of requests while it
is collected.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from selection import FULL

from iac_ci_common.signature import HEADER, sign
from iac_ci_common.testing import MemoryLogger, MemoryRuns
from iac_ci_init import openapi, wiring
from iac_ci_init.approval_intake import ApprovalIntake
from iac_ci_init.handler import handler

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "packages" / "iac-ci-init" / "tests"))
from job_requests import Asked

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
ANSWERED = []


def application(environ, start_response):
    """Pass a request on as API Gateway does; it is signed where a header asks for it."""
    asked = Asked()
    approvals = ApprovalIntake(asked.clock, MemoryRuns(), asked.objects, asked.secrets, ["ssm:/webhook"])
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
    if environ.get("HTTP_X_SIGN") == "yes":
        headers[HEADER.upper()] = sign("secret", body, asked.clock.now())
    event = {"headers": headers, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "job_intake", lambda: asked.intake)
        patch.setattr(wiring, "approval_intake", lambda: approvals)
        patch.setattr(wiring, "logger", MemoryLogger)
        said = handler(event, None)
    ANSWERED.append(said["statusCode"])
    start_response(f"{said['statusCode']} Answered", list(said["headers"].items()))
    return [said["body"].encode()]


schema = schemathesis.openapi.from_dict(openapi.document())
schema.app = application


@schema.parametrize()
@settings(max_examples=150 if FULL else 30, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_signed_job_is_answered_as_described(case):
    case.call_and_validate(headers={"X-Sign": "yes"}, checks=CHECKS)


@schema.parametrize()
@settings(max_examples=40 if FULL else 20, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_unsigned_one_is_refused(case):
    response = case.call_and_validate(checks=CHECKS)
    assert response.status_code in {400, 401}


def test_both_good_and_bad_jobs_were_among_them():
    assert {202, 400, 401} <= set(ANSWERED)
