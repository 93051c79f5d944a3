"""A job is sent again while the endpoint wakes, and never where that could start a second run or cannot help."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iac_ci_cli.errors import CommandFailed
from iac_ci_cli.sending import PAUSES, post

IDLE = (500, b'{"message": "Internal server error"}')
ACCEPTED = (202, b'{"run_id": "x"}')


@pytest.fixture
def endpoint():
    """An endpoint on loopback; it answers with the next of ``answers``, where None closes the connection."""
    answers, seen = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.headers["Idempotency-Key"], self.headers["X-IaC-CI-Signature"], body))
            answer = answers.pop(0)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    waited = []

    def send():
        url = f"http://127.0.0.1:{server.server_address[1]}/webhook"
        return post(url, "secret", b"{}", key="one", again="again", wait=waited.append)

    yield send, answers, seen, waited
    server.shutdown()
    server.server_close()


def test_an_endpoint_that_is_idle_for_90_seconds_gets_the_job_in_the_end(endpoint):
    send, answers, seen, waited = endpoint
    passed, count = 0.0, 0
    while passed < 90:
        passed += PAUSES[count]
        count += 1
    answers += [IDLE] * count + [ACCEPTED]
    assert send() == ACCEPTED
    assert sum(waited) == passed
    # The key is the same each time, so that the job starts one run.
    assert {key for key, _, _ in seen} == {"one"}
    assert {body for _, _, body in seen} == {b"{}"}


def test_it_waits_longer_than_any_observed_function_needed():
    assert sum(PAUSES) >= 150


@pytest.mark.parametrize(
    "answer",
    [None, (502, b"<html>"), (503, json.dumps({"error": "e", "retry": True}).encode()), (504, b"[]"), IDLE],
)
def test_a_lost_answer_and_a_fault_that_may_pass_are_repeated(endpoint, answer):
    send, answers, seen, _ = endpoint
    answers += [answer, ACCEPTED]
    assert send() == ACCEPTED
    assert len(seen) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 409, 413, 429])
def test_a_refusal_is_final(endpoint, status):
    send, answers, seen, _ = endpoint
    answers += [(status, b"{}")]
    assert send() == (status, b"{}")
    assert len(seen) == 1


def test_a_fault_that_the_engine_calls_final_is_final(endpoint):
    send, answers, seen, waited = endpoint
    final = (500, json.dumps({"error": "e", "retry": False}).encode())
    answers.append(final)
    assert send() == final
    assert (len(seen), waited) == (1, [])


def test_the_last_answer_is_returned(endpoint):
    send, answers, _, waited = endpoint
    answers += [IDLE] * (len(PAUSES) + 1)
    assert send() == IDLE
    assert waited == list(PAUSES)


def test_an_endpoint_that_does_not_exist_is_not_waited_for(endpoint):
    _, _, _, waited = endpoint
    with pytest.raises(CommandFailed, match="did not answer the request"):
        post("http://127.0.0.1:9/", "secret", b"{}", key="one", again="again", wait=waited.append)
    assert waited == []
