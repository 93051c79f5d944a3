"""Webhooks of the local code host, as the engine's own door understands them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iac_ci_common.errors import PortFailed, SignatureRefused
from iac_ci_local.fake_hosts.activity import Activity
from iac_ci_local.fake_hosts.deliveries import Deliveries
from iac_ci_local.fake_hosts.project import Person, Project
from iac_ci_local.fake_hosts.repository import HostedRepository
from iac_ci_triggers.event import EventKind, HostEvent
from iac_ci_triggers.event_parser import delivery_id, parse_event, read_payload
from iac_ci_triggers.verification import Sender, sender, verify

AUTHOR = Person(7, "author")
SECRET = "s3cret"
WEB = "http://127.0.0.1:8123"


class JobIntake:
    """Takes deliveries and answers all of them with one status."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 202
        self.closing = threading.Event()
        self.silent = False
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                door.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                if door.silent:
                    door.closing.wait()
                self.send_response(door.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhook"

    def event(self) -> HostEvent:
        headers, body = self.received[-1]
        assert sender(headers) is Sender.GITHUB
        verify(Sender.GITHUB, headers, body, [SECRET], None)
        event = parse_event(Sender.GITHUB, headers, read_payload(body, headers))
        assert isinstance(event, HostEvent), event
        return event


@pytest.fixture
def door() -> Iterator[JobIntake]:
    made = JobIntake()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.closing.set()
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def project(tmp_path):
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {"main.tf": b"# base\n"}, "base")
    repository.commit("change", {"main.tf": b"# head\n"}, "head", start="main")
    made = Project("demo", "pets", repository, {"t": AUTHOR}, {"author": "write"})
    made.open_pull_request(title="A change", author=AUTHOR, head_branch="change", base_branch="main")
    return made


def test_the_engine_understands_an_opened_pull_request(door, project):
    Activity(project, WEB, Deliveries(door.url, SECRET)).opened(1)()
    event = door.event()
    assert (event.kind, event.repository, event.number) == (
        EventKind.PULL_REQUEST,
        "https://127.0.0.1:8123/demo/pets",
        1,
    )
    assert (event.sha, event.actor.login) == (project.repository.head("change"), "author")


def test_the_engine_understands_another_commit(door, project):
    before = project.repository.head("change")
    Activity(project, WEB, Deliveries(door.url, SECRET)).push(1, {"more.tf": b"1\n"})()
    event = door.event()
    assert (event.kind, event.sha) == (EventKind.PULL_REQUEST, project.repository.head("change"))
    payload = json.loads(door.received[0][1])
    assert (payload["action"], payload["before"], payload["after"]) == ("synchronize", before, event.sha)


def test_the_engine_understands_a_comment(door, project):
    Activity(project, WEB, Deliveries(door.url, SECRET)).comment(1, AUTHOR, "/iac-ci plan")()
    event = door.event()
    written = project.comments(1)[0]
    assert (event.kind, event.number, event.comment_id) == (EventKind.COMMENT, 1, str(written.id))
    assert (event.comment, event.actor.id) == ("/iac-ci plan", "7")


def test_a_delivery_proves_itself_with_the_right_secret_only_and_has_an_id(door, project):
    deliveries = Deliveries(door.url, "another")
    sent = deliveries.send("ping", {"zen": "x"})
    again = deliveries.send("ping", {"zen": "x"}, identity=sent.identity)
    headers, body = door.received[0]
    with pytest.raises(SignatureRefused):
        verify(Sender.GITHUB, headers, body, [SECRET], None)
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert [delivery_id(Sender.GITHUB, headers) for headers, _ in door.received] == [sent.identity, again.identity]
    assert sent.identity == again.identity


@pytest.mark.parametrize("status", [200, 202, 302, 401, 500])
def test_the_answer_is_remembered_and_a_redirect_not_followed(door, status):
    door.status = status
    deliveries = Deliveries(door.url, SECRET)
    deliveries.send("ping", {})
    assert [(done.status, done.answer) for done in deliveries.done] == [(status, "ok")]
    assert len(door.received) == 1


def test_a_door_that_does_not_answer_is_not_waited_for_long(door):
    door.silent = True
    said = Deliveries(door.url, SECRET, seconds=0.2).send("ping", {})
    assert (said.status, said.answer) == (None, "no answer: TimeoutError")


def test_a_door_that_is_not_there_is_told():
    assert Deliveries("http://127.0.0.1:1/webhook", SECRET).send("ping", {}).answer == "no answer: URLError"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/", "/webhook"])
def test_webhooks_go_over_http_only(url):
    with pytest.raises(PortFailed):
        Deliveries(url, SECRET)
