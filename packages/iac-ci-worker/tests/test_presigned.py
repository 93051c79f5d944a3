from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.work import WorkUrls
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
        if trouble.isdigit():
            self.answer(int(trouble))
        return trouble

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
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Own.base = f"http://127.0.0.1:{server.server_port}"
    yield Own
    server.shutdown()
    server.server_close()
    thread.join()


def urls(bucket):
    base = bucket.base
    return WorkUrls(
        package=f"{base}/package",
        claim=f"{base}/claim",
        claim_check=f"{base}/claim",
        log=f"{base}/log",
        result=f"{base}/result",
    )


@pytest.fixture
def exchange():
    return HttpPresignedObjects(wait=lambda seconds: None)


def claim(name="one"):
    return Claim(run_id=RUN_ID, order_num="0001", claimed_by=Reporter.WORKER, claimed_at=START, execution=name)


def result():
    return Result(
        run_id=RUN_ID, order_num="0001", status=OrderState.SUCCEEDED, reported_by=Reporter.WORKER, ended_at=START
    )


def test_the_first_claim_counts(bucket, exchange):
    assert exchange.claim(urls(bucket), claim("one"))
    assert not exchange.claim(urls(bucket), claim("two"))


@pytest.mark.parametrize("trouble", ["500", "503", "409", "429"])
def test_a_claim_is_tried_again(bucket, exchange, trouble):
    bucket.troubles[:] = [trouble, trouble]
    assert exchange.claim(urls(bucket), claim())


def test_a_claim_whose_answer_was_lost_is_known_again(bucket, exchange):
    bucket.troubles[:] = ["lose the answer"]
    assert exchange.claim(urls(bucket), claim())


def test_anothers_claim_is_not_taken_for_ones_own(bucket, exchange):
    assert exchange.claim(urls(bucket), claim("other"))
    bucket.troubles[:] = ["500"]
    assert not exchange.claim(urls(bucket), claim("mine"))


def test_a_claim_that_cannot_be_settled_is_an_error_that_shows_no_url(bucket, exchange):
    bucket.troubles[:] = ["500"] * 5
    with pytest.raises(PortFailed) as failed:
        exchange.claim(urls(bucket), claim())
    assert "http://" not in str(failed.value)


def test_an_expired_url_is_not_tried_again(bucket, exchange):
    bucket.troubles[:] = ["403", "unused"]
    with pytest.raises(PortFailed):
        exchange.report(urls(bucket), result())
    assert bucket.troubles == ["unused"]


def test_results_and_logs_arrive_also_at_the_second_try(bucket, exchange, tmp_path):
    (tmp_path / "log").write_bytes(b"x" * 100_000)
    bucket.troubles[:] = ["503"]
    exchange.store_log(urls(bucket), tmp_path / "log")
    assert bucket.objects["/log"] == b"x" * 100_000
    bucket.troubles[:] = ["lose the answer"]
    exchange.report(urls(bucket), result())
    exchange.report(urls(bucket), result())
    assert Result.model_validate_json(bucket.objects["/result"]) == result()


def test_archives_are_fetched_into_private_files(bucket, exchange, tmp_path):
    bucket.objects["/package"] = b"content"
    bucket.troubles[:] = ["500"]
    exchange.fetch(urls(bucket).package, tmp_path / "exec.zip")
    assert (tmp_path / "exec.zip").read_bytes() == b"content"
    assert (tmp_path / "exec.zip").stat().st_mode & 0o077 == 0
    with pytest.raises(NotFound):
        exchange.fetch(f"{bucket.base}/nothing", tmp_path / "nothing.zip")
