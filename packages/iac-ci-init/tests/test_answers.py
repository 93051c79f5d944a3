"""The author of a command sees that it has arrived, and each answer is a comment of its own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from iac_ci_common.errors import PortFailed
from iac_ci_triggers.ledger import MAX_ANSWERS
from iac_ci_vcs.provider import ChangedFile, ChangeKind

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import CONFIGURATION, HEAD, NEXT, STRANGER, Hosted

OWN_FILE = ChangedFile(".iac-ci.yml", ChangeKind.MODIFIED)


@pytest.fixture
def hosted():
    return Hosted()


def watched(hosted, monkeypatch):
    """Record the host's calls in their order."""
    calls = []
    for name in ("react", "pull_request", "comment", "permission", "changed_files", "file", "create_comment", "me"):
        method = getattr(hosted.host, name)
        monkeypatch.setattr(
            hosted.host,
            name,
            lambda *given, _name=name, _method=method, **named: calls.append(_name) or _method(*given, **named),
        )
    return calls


@pytest.mark.parametrize("send", [Hosted.pull_request, lambda hosted: hosted.comment("/iac-ci plan")])
def test_the_first_request_to_the_host_is_a_reaction(hosted, monkeypatch, send):
    calls = watched(hosted, monkeypatch)
    send(hosted)
    assert calls[0] == "react"
    assert calls.count("react") == 1


def test_a_host_without_reactions_gets_a_note_that_the_answer_replaces(hosted, monkeypatch):
    calls = watched(hosted, monkeypatch)
    monkeypatch.setattr(hosted.host, "react", lambda number, comment_id: False)
    hosted.comment("/iac-ci help")
    assert calls[0] == "create_comment"
    assert [("has arrived" in body, "Commands" in body) for body in hosted.answers] == [(False, True)]
    hosted.pull_request()
    assert len(hosted.answers) == 1


def test_a_host_without_reactions_gets_one_note_for_all_events_of_a_pull_request(hosted, monkeypatch):
    calls = watched(hosted, monkeypatch)
    monkeypatch.setattr(hosted.host, "react", lambda number, comment_id: False)
    hosted.pull_request()
    assert calls[0] == "create_comment"
    note = hosted.host.find_comment(7, "<!-- iac-ci:arrived -->")
    assert "arrived at 2026-01-01 00:00:00 UTC" in note.body.replace("\\", "")
    hosted.clock.advance(60)
    hosted.pull_request("synchronize")
    (body,) = [one.body for one in hosted.host.comments[7] if "iac-ci:arrived" in one.body]
    assert "00:01:00" in body.replace("\\", "")


def test_a_reaction_that_fails_stops_nothing(hosted, monkeypatch):
    def fail(number, comment_id):
        raise PortFailed("no")

    monkeypatch.setattr(hosted.host, "react", fail)
    hosted.comment("/iac-ci plan")
    assert len(hosted.jobs) == 1


def test_each_comment_gets_an_answer_of_its_own_and_a_repeat_none(hosted):
    for text in ("/iac-ci help", "/iac-ci help", "/iac-ci nothing"):
        hosted.comment(text)
    assert len(hosted.answers) == 3
    hosted.processor.process(hosted.invoker.triggered[-1])
    assert len(hosted.answers) == 3


def test_no_comment_replaces_a_standing_notice(hosted):
    hosted.change(is_fork=True)
    hosted.host.files[".iac-ci.yml", HEAD] = b"version: 2\n"
    hosted.host.changes[7] += (OWN_FILE,)
    hosted.pull_request()
    before = hosted.standing("approval"), hosted.standing("configuration")
    assert f"/iac-ci approve {HEAD}" in before[0]
    assert "has problems" in before[1]
    hosted.comment("/iac-ci plan", STRANGER)
    hosted.comment("/iac-ci plan")
    hosted.comment("/iac-ci help")
    assert (hosted.standing("approval"), hosted.standing("configuration")) == before
    assert len(hosted.answers) == 3


def test_a_standing_notice_ends_with_its_cause(hosted):
    hosted.change(is_fork=True)
    hosted.host.files[".iac-ci.yml", HEAD] = b"version: 2\n"
    hosted.host.changes[7] += (OWN_FILE,)
    hosted.pull_request()
    hosted.comment(f"/iac-ci approve {HEAD}")
    assert "ann approved" in hosted.standing("approval")
    hosted.host.files[".iac-ci.yml", NEXT] = CONFIGURATION
    hosted.host.changes[7] = hosted.host.changes[7][:1]
    hosted.change(head_sha=NEXT, is_fork=False)
    hosted.pull_request("synchronize")
    assert "Nothing of this holds" in hosted.standing("configuration")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (lambda hosted: hosted.pull_request("labeled"), "Nothing runs"),
        (lambda hosted: hosted.comment(f"/iac-ci approve {HEAD}"), "ann approved"),
    ],
    ids=["said twice", "said and withdrawn"],
)
def test_two_events_at_once_write_one_notice(hosted, monkeypatch, event, text):
    """GitHub sends a pull request and its labels at once; the first event to change the ledger writes the notice."""
    monkeypatch.setattr(hosted.host, "lag_seconds", 60)
    waits = []
    hosted.change(is_fork=True, author=STRANGER)
    create, first = hosted.host.create_comment, []

    def slow(number, body):
        if not first and "iac-ci:notice:" in body:
            first.append(body)
            monkeypatch.setattr("iac_ci_vcs.http_session.pause", wait)
            event(hosted)
            if waits:
                # This event has written its notice while the other one waited.
                return None
        return create(number, body)

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 1:
            create(7, first[0])

    monkeypatch.setattr(hosted.host, "create_comment", slow)
    hosted.pull_request()
    notices = [one.body for one in hosted.host.comments[7] if "iac-ci:notice:approval" in one.body]
    assert [text in body for body in notices] == [True]
    assert waits == [1.0]


def test_a_person_gets_some_answers_an_hour_and_the_last_one_says_so(hosted):
    for _ in range(MAX_ANSWERS + 5):
        hosted.comment("/iac-ci help", STRANGER)
    assert len(hosted.answers) == MAX_ANSWERS
    assert ["the last of" in body for body in hosted.answers] == [False] * (MAX_ANSWERS - 1) + [True]
    hosted.comment("/iac-ci help")
    assert len(hosted.answers) == MAX_ANSWERS + 1
    hosted.clock.advance(3601)
    hosted.comment("/iac-ci help", STRANGER)
    assert len(hosted.answers) == MAX_ANSWERS + 2


def test_the_limit_of_a_person_is_for_all_pull_requests_and_for_nobody_else(hosted):
    hosted.host.pulls[8] = replace(hosted.host.pulls[7], number=8)
    for number in (7, 8) * (MAX_ANSWERS // 2):
        hosted.comment("/iac-ci help", STRANGER, number=number)
    hosted.comment("/iac-ci help", STRANGER, number=8)
    hosted.comment("/iac-ci help", number=8)
    answers = [len([one for one in hosted.host.comments[number] if "iac-ci:answer:" in one.body]) for number in (7, 8)]
    assert answers == [MAX_ANSWERS // 2, MAX_ANSWERS // 2 + 1]


def test_answers_of_an_hour_ago_do_not_keep_a_note_back(hosted, monkeypatch):
    calls = watched(hosted, monkeypatch)
    monkeypatch.setattr(hosted.host, "react", lambda number, comment_id: False)
    for _ in range(MAX_ANSWERS):
        hosted.comment("/iac-ci help")
    hosted.clock.advance(3601)
    calls.clear()
    hosted.comment("/iac-ci plan")
    assert calls[0] == "create_comment"


def test_commands_run_though_their_author_gets_no_more_answers(hosted):
    for _ in range(MAX_ANSWERS + 1):
        hosted.comment("/iac-ci help")
    hosted.comment("/iac-ci plan")
    assert len(hosted.jobs) == 1
