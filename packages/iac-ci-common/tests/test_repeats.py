"""Calls that AWS refuses for a moment are repeated, and those that it refuses for good are not."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from iac_ci_common.aws import repeats
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.new_permissions import CHANGED_AT, ON_THE_WAY, may_be_on_the_way
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.repeats import add_repeats, pause_before_repeating
from iac_ci_common.errors import AlreadyExists, IacCiError, PortFailed, Throttled

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def aws(monkeypatch):
    """An AWS on loopback; it answers each call with the next of ``answers``, and then with success."""
    answers, calls = [], Counter()

    class Handler(BaseHTTPRequestHandler):
        # Version 1.1 answers "Expect: 100-continue", for which clients wait a second otherwise.
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            target = self.headers.get("X-Amz-Target", "").partition(".")[2] or self.command
            calls[target] += 1
            status, code = answers.pop(0) if answers else (200, "")
            xml = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
            body = b"" if not code else xml if target == self.command else json.dumps({"__type": code}).encode()
            body = body or (b"{}" if target != self.command else b"")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = answer  # noqa: N815 - the name that http.server calls
        do_POST = answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setattr(repeats, "_CONFLICT_SECONDS", 0.0)
    monkeypatch.setattr(repeats, "_DENIED_SECONDS", (0.0, 0.0, 0.0, 0.0))

    def client(service):
        made = boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{server.server_address[1]}",
            aws_access_key_id="a",
            aws_secret_access_key="s",
            config=Config(retries={"mode": "standard", "max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        add_repeats(made)
        return made

    yield client, answers, calls
    server.shutdown()
    server.server_close()


def test_a_racing_conditional_put_is_sent_again_until_it_is_decided(aws):
    client, answers, calls = aws
    objects = S3Objects(client("s3"), "bucket")
    answers += [(409, "ConditionalRequestConflict")] * 5
    objects.create("claim.json", b"{}")
    assert calls["PUT"] == 6
    answers += [(409, "ConditionalRequestConflict")] * 2 + [(412, "PreconditionFailed")]
    with pytest.raises(AlreadyExists):
        objects.create("claim.json", b"{}")


def test_a_conflict_that_stays_is_no_proof_that_the_object_exists(aws):
    client, answers, calls = aws
    answers += [(409, "ConditionalRequestConflict")] * 20
    with pytest.raises(Throttled) as refused:
        S3Objects(client("s3"), "bucket").create("claim.json", b"{}")
    assert refused.value.retry_is_safe
    assert calls["PUT"] == 6


def test_a_write_that_met_a_transaction_is_sent_again(aws):
    client, answers, calls = aws
    answers += [(400, "TransactionConflictException")] * 5
    client("dynamodb").update_item(TableName="t", Key={"k": {"S": "1"}})
    assert calls["UpdateItem"] == 6


def denied(client):
    with aws_errors("reading"):
        client("dynamodb").get_item(TableName="t", Key={"k": {"S": "1"}})


def test_a_permission_that_is_on_its_way_is_waited_for(aws, monkeypatch):
    client, answers, calls = aws
    monkeypatch.setenv(CHANGED_AT, datetime.now(UTC).isoformat())
    answers += [(400, "AccessDeniedException")] * 4
    denied(client)
    assert calls["GetItem"] == 5
    # What takes longer is left to the caller's own retries: Lambda's, the watchdog's, the sender's.
    answers += [(400, "AccessDeniedException")] * 20
    with pytest.raises(PortFailed) as refused:
        denied(client)
    assert refused.value.retry_is_safe
    assert calls["GetItem"] == 10


@pytest.mark.parametrize("changed", ["", "nonsense", "2026-01-01T00:00:00", "1970-01-01T00:00:00Z"])
def test_a_missing_permission_of_an_old_stack_is_final(aws, monkeypatch, changed):
    client, answers, calls = aws
    monkeypatch.setenv(CHANGED_AT, changed)
    answers += [(400, "AccessDeniedException")] * 2
    with pytest.raises(PortFailed) as refused:
        denied(client)
    assert not refused.value.retry_is_safe
    assert calls["GetItem"] == 1


@pytest.mark.parametrize(
    ("code", "age", "expected"),
    [
        ("AccessDenied", timedelta(0), True),
        ("AccessDeniedException", ON_THE_WAY - timedelta(seconds=1), True),
        ("403", timedelta(minutes=1), True),
        ("AccessDenied", ON_THE_WAY, False),
        ("AccessDenied", -timedelta(hours=1), False),
        ("InvalidClientTokenId", timedelta(minutes=1), False),
        ("CodeArtifactUserFailedException", timedelta(minutes=1), False),
    ],
)
def test_only_a_new_permission_may_be_on_its_way(monkeypatch, code, age, expected):
    # The format of Terraform's timestamp().
    monkeypatch.setenv(CHANGED_AT, NOW.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert may_be_on_the_way(code, NOW + age) is expected


def test_the_endpoint_can_still_answer_after_all_pauses(monkeypatch):
    monkeypatch.setenv(CHANGED_AT, datetime.now(UTC).isoformat())
    pauses = [pause_before_repeating("AccessDenied", attempt) for attempt in range(1, 10)]
    waited = sum(pause for pause in pauses if pause is not None)
    assert 10 <= waited <= 15
    conflict = "TransactionConflictException"
    pauses = [pause_before_repeating(conflict, attempt, jitter=lambda: 1.0) for attempt in range(1, 9)]
    assert sum(pause for pause in pauses if pause is not None) < 5


@pytest.mark.parametrize(
    ("code", "status", "again"),
    [
        ("CodeArtifactUserPendingException", 409, True),
        ("ResourceConflictException", 409, True),
        ("ResourceNotReadyException", 502, True),
        ("CodeArtifactUserFailedException", 409, False),
        ("CodeArtifactUserDeletedException", 409, False),
    ],
)
def test_a_function_that_becomes_active_may_be_called_again(code, status, again):
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(IacCiError) as refused, aws_errors("invoking worker"):
        raise ClientError(answer, "Invoke")
    assert refused.value.retry_is_safe is again


@pytest.mark.parametrize(
    ("code", "again"),
    [
        ("ExpiredToken", True),
        ("ExpiredTokenException", True),
        # An answer to HEAD has no body, so botocore's code is the status.
        ("400", True),
        ("BadRequest", False),
        ("InvalidClientTokenId", False),
        ("ExpiredNextTokenException", False),
    ],
)
def test_a_call_whose_session_ended_may_be_repeated_with_a_new_one(code, again):
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    with pytest.raises(PortFailed) as refused, aws_errors("starting a build"):
        raise ClientError(answer, "StartBuild")
    assert refused.value.retry_is_safe is again


def known_to_botocore():
    return sorted(ThrottledRetryableChecker._THROTTLED_ERROR_CODES) + TransientRetryableChecker._TRANSIENT_ERROR_CODES


@pytest.mark.parametrize("code", [*known_to_botocore(), "OperationAborted", "IncompleteBody"])
def test_what_botocore_repeats_may_be_repeated_later(code):
    """After its last attempt the error is still one that passes."""
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    with pytest.raises(Throttled), aws_errors("writing"):
        raise ClientError(answer, "PutObject")


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ParamValidationError(report="Invalid length for parameter Key, value: 0"), False),
        (EndpointConnectionError(endpoint_url="https://s3"), True),
        (ReadTimeoutError(endpoint_url="https://s3"), True),
        (ResponseStreamingError(error="broken"), True),
    ],
)
def test_a_parameter_that_botocore_refuses_stays_refused(error, again):
    with pytest.raises(PortFailed) as refused, aws_errors("reading"):
        raise error
    assert refused.value.retry_is_safe is again
