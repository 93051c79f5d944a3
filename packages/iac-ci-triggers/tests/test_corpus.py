"""Webhooks in the shapes that hosts send, as public recordings have them, with names that are made up.

``corpus.json`` says what the engine reads of each: the kind of event, and what the host's API has to know before the
event is worked on. What a host fills in later is absent or empty in them.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from iac_ci_triggers.event import HostEvent, Ignored
from iac_ci_triggers.event_parser import parse_event
from iac_ci_triggers.verification import Sender

HERE = Path(__file__).parent
SAMPLES = json.loads((HERE / "corpus.json").read_text("utf-8"))
HEADERS = {"github": "x-github-event", "gitlab": "x-gitlab-event", "bitbucket": "x-event-key"}
READ = ("number", "head", "before", "base_branch", "comment")


def sample(name):
    return json.loads((HERE / "corpus" / name).read_text("utf-8"))


def parsed(name, payload):
    host = name.partition("-")[0]
    return parse_event(Sender(host), {HEADERS[host]: SAMPLES[name]["event"]}, payload)


def read(event):
    """Return what ``corpus.json`` has of an event."""
    if isinstance(event, Ignored):
        return {"kind": None}
    found = {name: getattr(event, name) for name in READ if getattr(event, name) is not None}
    moment = {"updated_at": event.updated_at.isoformat()} if event.updated_at is not None else {}
    return {"kind": event.kind.value, **found, **moment}


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_is_read_right(name):
    expected = {key: value for key, value in SAMPLES[name].items() if key != "event"}
    assert read(parsed(name, sample(name))) == expected


def places(content, path=()):
    """Yield the path of every field of a payload."""
    for key, value in content.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


@pytest.mark.parametrize("name", SAMPLES)
def test_no_field_that_is_absent_null_or_empty_makes_an_event_crash_or_lie(name):
    """Each field in turn: the event is read as before or with less, or it is ignored with a reason."""
    payload, whole = sample(name), read(parsed(name, sample(name)))
    for path in list(places(payload)):
        for way in ("absent", None, "", {}, []):
            changed = copy.deepcopy(payload)
            inner = changed
            for step in path[:-1]:
                inner = inner[step]
            if way == "absent":
                del inner[path[-1]]
            else:
                inner[path[-1]] = way
            event = parsed(name, changed)
            if isinstance(event, HostEvent):
                lies = {key for key, value in read(event).items() if value not in (whole.get(key), "")}
                assert lies <= {"kind"}, (path, way, read(event))
            else:
                assert event.reason


def test_the_corpus_is_whole():
    assert {path.name for path in (HERE / "corpus").iterdir()} == set(SAMPLES)
