"""A refusal of AWS is no answer: the scripts do not take it for "does not exist"."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::123456789012:user/x</Arn><UserId>x</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"


@pytest.fixture
def refusing():
    """An AWS on loopback that knows the account and refuses everything about buckets; keeps what changes something."""
    changes = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self):
            # HeadBucket answers 403 without a body.
            self.answer(403, b"")

        def do_GET(self):
            self.answer(403, DENIED)

        def do_PUT(self):
            changes.append(self.path)
            self.answer(403, DENIED)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if b"GetCallerIdentity" in body:
                self.answer(200, IDENTITY)
            else:
                changes.append(self.path)
                self.answer(403, DENIED)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", changes
    server.shutdown()
    server.server_close()


@pytest.mark.local_cloud
@pytest.mark.parametrize("script", ["bootstrap", "ecr"])
def test_a_bucket_that_may_not_be_looked_at_is_not_taken_for_missing(operator, refusing, script):
    endpoint, changes = refusing
    done = operator.run(script, AWS_ENDPOINT_URL=endpoint)
    assert done.returncode == 3, done.stderr
    assert "AWS did not say whether the state bucket acme-state-123456789012-us-east-1 exists" in done.stderr
    assert "the AWS credentials may not do this" in done.stderr
    assert "Run pipelines/bootstrap first" not in done.stderr
    assert changes == []


@pytest.mark.local_cloud
def test_archives_that_may_not_be_listed_are_not_taken_for_missing(operator, refusing):
    endpoint, changes = refusing
    done = operator.run("teardown", "--yes", "--with-open-runs", AWS_ENDPOINT_URL=endpoint)
    assert done.returncode == 3, done.stderr
    assert "AWS did not list the archives" in done.stderr
    assert "there is no archive" not in done.stderr
    assert changes == []
