"""A job is sent again while the endpoint wakes, and never where that could start a second run or cannot help."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from iac_ci_cli.errors import CommandFailed
from iac_ci_cli.sending import PAUSES, post

IDLE = (500, b'{"message": "Internal server error"}')
ACCEPTED = (202, b'{"run_id": "x"}')


class Endpoint(NamedTuple):
    """``seen`` and ``asked`` are what requests had: key, signature and body; address and account of the proxy."""

    send: Callable[[], tuple[int, bytes]]
    answers: list
    seen: list
    waited: list
    asked: list
    address: str


@pytest.fixture
def endpoint():
    """An endpoint on loopback; it answers with the next of ``answers``, where None closes the connection."""
    answers, seen, asked = [], [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Proxy-Authorization"]))
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
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    waited = []

    def send():
        url = f"http://127.0.0.1:{server.server_address[1]}/webhook"
        return post(url, "secret", b"{}", key="one", again="again", wait=waited.append)

    yield Endpoint(send, answers, seen, waited, asked, "{}:{}".format(*server.server_address))
    server.shutdown()
    server.server_close()


def test_an_endpoint_that_is_idle_for_90_seconds_gets_the_job_in_the_end(endpoint):
    send, answers, seen, waited, *_ = endpoint
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
    [
        None,
        (429, b'{"message": "Too Many Requests"}'),
        (502, b"<html>"),
        (503, json.dumps({"error": "e", "retry": True}).encode()),
        (504, b"[]"),
        IDLE,
    ],
)
def test_a_lost_answer_and_a_fault_that_may_pass_are_repeated(endpoint, answer):
    send, answers, seen, *_ = endpoint
    answers += [answer, ACCEPTED]
    assert send() == ACCEPTED
    assert len(seen) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 409, 413])
def test_a_refusal_is_final(endpoint, status):
    send, answers, seen, *_ = endpoint
    answers += [(status, b"{}")]
    assert send() == (status, b"{}")
    assert len(seen) == 1


def test_a_fault_that_the_engine_calls_final_is_final(endpoint):
    send, answers, seen, waited, *_ = endpoint
    final = (500, json.dumps({"error": "e", "retry": False}).encode())
    answers.append(final)
    assert send() == final
    assert (len(seen), waited) == (1, [])


def test_the_last_answer_is_returned(endpoint):
    send, answers, _, waited, *_ = endpoint
    answers += [IDLE] * (len(PAUSES) + 1)
    assert send() == IDLE
    assert waited == list(PAUSES)


def test_an_endpoint_that_does_not_exist_is_not_waited_for(endpoint):
    waited = endpoint.waited
    with pytest.raises(CommandFailed, match="did not answer the request"):
        post("http://127.0.0.1:9/", "secret", b"{}", key="one", again="again", wait=waited.append)
    assert waited == []


REMOTE = "http://endpoint.example/webhook"


@pytest.fixture
def through(endpoint, monkeypatch):
    """Send to an endpoint elsewhere with a proxy's variables, where ``endpoint`` is the proxy."""
    _, answers, _, waited, *_ = endpoint

    def send(variables, url=REMOTE):
        for name, value in variables.items():
            monkeypatch.setenv(name, value.replace("PROXY", endpoint.address))
        answers.append(ACCEPTED)
        return post(url, "secret", b"{}", key="one", again="again", wait=waited.append)

    return send


@pytest.mark.parametrize(
    ("named", "account"),
    [
        ("http://PROXY", None),
        ("PROXY", None),
        ("http://me:p%40ss@PROXY/", "Basic bWU6cEBzcw=="),
    ],
)
def test_a_job_goes_through_the_proxy_of_the_environment(endpoint, through, named, account):
    assert through({"http_proxy": named, "no_proxy": ""}) == ACCEPTED
    assert endpoint.asked == [(REMOTE, account)]


def test_a_local_cloud_is_reached_without_the_proxy(endpoint, through):
    variables = {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    assert through(variables, f"http://{endpoint.address}/webhook") == ACCEPTED
    assert endpoint.asked == [("/webhook", None)]


@pytest.mark.parametrize("exceptions", ["endpoint.example", ".example", "*"])
def test_exceptions_of_the_proxy_count(endpoint, through, exceptions):
    with pytest.raises(CommandFailed, match=r"did not answer the request$"):
        through({"http_proxy": "http://PROXY", "no_proxy": exceptions})
    assert endpoint.asked == []


def test_a_proxy_that_does_not_exist_is_named_and_not_waited_for(endpoint, through):
    with pytest.raises(CommandFailed, match=r"did not answer the request: the proxy of this machine's settings fail"):
        through({"http_proxy": "http://me:p%40ss@127.0.0.1:9", "no_proxy": ""})
    assert endpoint.waited == []
