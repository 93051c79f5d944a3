from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iac_ci_common.errors import AlreadyExists, NotFound, PortFailed, UrlExpired
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_worker.presigned import HttpPresignedObjects


class Bucket(BaseHTTPRequestHandler):
    """Presigned S3 as a worker sees it; ``troubles`` are what the next requests meet."""

    objects: dict[str, bytes]
    troubles: list[str]

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def trouble(self):
        trouble = self.troubles.pop(0) if self.troubles else ""
        status, _, code = trouble.partition(" ")
        if code == "cut":
            self.send_response(int(status))
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"<Error>")
            self.close_connection = True
        elif status.isdigit():
            self.answer(int(status), f"<Error><Code>{code}</Code></Error>".encode() if code else b"")
        return status if status.isdigit() else trouble

    def do_GET(self):
        if not self.trouble().isdigit():
            body = self.objects.get(self.path)
            self.answer(404 if body is None else 200, body or b"")

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        trouble = self.trouble()
        if trouble.isdigit():
            return
        if self.headers.get("If-None-Match") == "*" and self.path in self.objects:
            self.answer(412)
            return
        self.objects[self.path] = body
        if trouble == "lose the answer":
            self.close_connection = True
            self.connection.close()
            return
        self.answer(200)


@pytest.fixture
def bucket():
    class Own(Bucket):
        pass

    Own.objects, Own.troubles = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    Own.base = f"http://127.0.0.1:{server.server_port}"
    yield Own
    server.shutdown()
    server.server_close()
    thread.join()


def takes(exchange, bucket, mine):
    """Claim as the worker does."""
    url = f"{bucket.base}/claim"
    try:
        exchange.create_claim(url, mine)
    except AlreadyExists:
        return exchange.read_claim(url) == mine
    return True


@pytest.fixture
def exchange():
    return HttpPresignedObjects(wait=lambda seconds: None)


def claim(name="one"):
    return Claim(run_id=RUN_ID, order_num="0001", claimed_by=Reporter.WORKER, claimed_at=START, execution=name)


def result():
    return Result(
        run_id=RUN_ID, order_num="0001", status=OrderState.SUCCEEDED, reported_by=Reporter.WORKER, ended_at=START
    )


@pytest.mark.parametrize(
    ("trouble", "error"), [("503 cut", None), ("500 cut", None), ("403 cut", UrlExpired), ("400 cut", PortFailed)]
)
def test_an_error_that_breaks_off_is_known_by_its_status(bucket, exchange, tmp_path, trouble, error):
    bucket.objects["/package"] = b"bytes"
    bucket.troubles[:] = [trouble]
    with pytest.raises(error) if error is not None else contextlib.nullcontext():
        exchange.fetch(f"{bucket.base}/package", tmp_path / "package")
        assert (tmp_path / "package").read_bytes() == b"bytes"


def test_the_first_claim_counts(bucket, exchange):
    assert takes(exchange, bucket, claim("one"))
    assert not takes(exchange, bucket, claim("two"))


@pytest.mark.parametrize("trouble", ["500", "503", "409", "429"])
def test_a_claim_is_tried_again(bucket, exchange, trouble):
    bucket.troubles[:] = [trouble, trouble]
    assert takes(exchange, bucket, claim())


def test_a_claim_whose_answer_was_lost_is_known_again(bucket, exchange):
    bucket.troubles[:] = ["lose the answer"]
    assert takes(exchange, bucket, claim())


def test_anothers_claim_is_not_taken_for_ones_own(bucket, exchange):
    assert takes(exchange, bucket, claim("other"))
    bucket.troubles[:] = ["500"]
    assert not takes(exchange, bucket, claim("mine"))


def test_a_claim_that_cannot_be_settled_is_an_error_that_shows_no_url(bucket, exchange):
    bucket.troubles[:] = ["500"] * 5
    with pytest.raises(PortFailed) as failed:
        takes(exchange, bucket, claim())
    assert "http://" not in str(failed.value)


USES = {
    "claim": lambda exchange, base, path: exchange.create_claim(f"{base}/claim", claim()),
    "claim check": lambda exchange, base, path: exchange.read_claim(f"{base}/claim"),
    "package": lambda exchange, base, path: exchange.fetch(f"{base}/package", path),
    "log": lambda exchange, base, path: exchange.store_log(f"{base}/log", path),
    "result": lambda exchange, base, path: exchange.report(f"{base}/result", b"{}"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("trouble", ["400 ExpiredToken", "403", "403 AccessDenied", "403 RequestTimeTooSkewed"])
def test_an_ended_url_is_named_and_not_tried_again(bucket, exchange, tmp_path, use, trouble):
    (tmp_path / "file").write_bytes(b"content")
    bucket.troubles[:] = [trouble, "unused"]
    with pytest.raises(UrlExpired):
        USES[use](exchange, bucket.base, tmp_path / "file")
    assert bucket.troubles == ["unused"]


@pytest.mark.parametrize("trouble", ["400", "400 InvalidToken", "400 EntityTooLarge", "411"])
def test_another_refusal_is_no_ended_url(bucket, exchange, trouble):
    bucket.troubles[:] = [trouble]
    with pytest.raises(PortFailed) as failed:
        exchange.report(f"{bucket.base}/result", b"{}")
    assert not isinstance(failed.value, UrlExpired)


@pytest.mark.parametrize("code", ["RequestTimeout", "RequestTimeoutException", "IncompleteBody"])
def test_a_body_that_did_not_arrive_whole_is_sent_again(bucket, exchange, tmp_path, code):
    (tmp_path / "log").write_bytes(b"x" * 100_000)
    bucket.troubles[:] = [f"400 {code}"]
    assert exchange.report(f"{bucket.base}/result", b"{}")
    bucket.troubles[:] = [f"400 {code}"]
    exchange.store_log(f"{bucket.base}/log", tmp_path / "log")
    assert bucket.objects == {"/result": b"{}", "/log": b"x" * 100_000}


def test_a_url_that_ends_while_its_use_is_repeated_is_named(bucket, exchange):
    bucket.troubles[:] = ["503", "lose the answer", "400 ExpiredToken"]
    with pytest.raises(UrlExpired):
        exchange.create_claim(f"{bucket.base}/claim", claim())
    assert takes(exchange, bucket, claim())


def test_results_and_logs_arrive_also_at_the_second_try(bucket, exchange, tmp_path):
    (tmp_path / "log").write_bytes(b"x" * 100_000)
    bucket.troubles[:] = ["503"]
    exchange.store_log(f"{bucket.base}/log", tmp_path / "log")
    assert bucket.objects["/log"] == b"x" * 100_000
    bucket.troubles[:] = ["lose the answer"]
    body = result().model_dump_json().encode()
    # It exists because of the first try, whose answer was lost; the worker cannot know that.
    assert not exchange.report(f"{bucket.base}/result", body)
    del bucket.objects["/result"]
    assert exchange.report(f"{bucket.base}/result", body)
    assert not exchange.report(f"{bucket.base}/result", b"another")
    assert Result.model_validate_json(bucket.objects["/result"]) == result()


def test_archives_are_fetched_into_private_files(bucket, exchange, tmp_path):
    bucket.objects["/package"] = b"content"
    bucket.troubles[:] = ["500"]
    exchange.fetch(f"{bucket.base}/package", tmp_path / "exec.zip")
    assert (tmp_path / "exec.zip").read_bytes() == b"content"
    assert (tmp_path / "exec.zip").stat().st_mode & 0o077 == 0
    with pytest.raises(NotFound):
        exchange.fetch(f"{bucket.base}/nothing", tmp_path / "nothing.zip")
