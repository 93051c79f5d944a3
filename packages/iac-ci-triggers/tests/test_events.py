"""Every kind of event in each host's documented shape, and whatever may be wrong with it."""

from __future__ import annotations

import copy
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.errors import InputProblems
from iac_ci_triggers.claimed_repository import claimed_repository
from iac_ci_triggers.event import EventKind, HostEvent, Ignored
from iac_ci_triggers.event_parser import delivery_id, parse_event, parse_events, read_payload
from iac_ci_triggers.verification import Sender
from iac_ci_triggers.webhook import has_command

SHA = "a" * 40
SENDER = {"sender": {"id": 5, "login": "ann"}}
GITHUB = {"repository": {"html_url": "https://github.com/acme/infra"}, **SENDER}
GITLAB = {"project": {"web_url": "https://gitlab.com/acme/sub/infra"}, "user": {"id": 5, "username": "ann"}}
BITBUCKET = {
    "repository": {"links": {"html": {"href": "https://bitbucket.org/acme/infra"}}},
    "actor": {"uuid": "{0-1}", "nickname": "ann"},
}


def github(name, **content):
    return Sender.GITHUB, {"x-github-event": name}, GITHUB | content


def gitlab(kind, **content):
    return Sender.GITLAB, {"x-gitlab-event": "Some Hook"}, GITLAB | {"object_kind": kind} | content


def bitbucket(key, **content):
    return Sender.BITBUCKET, {"x-event-key": key}, BITBUCKET | content


PULL = {"number": 7, "head": {"sha": SHA}}
NOTE = {"id": 9, "note": "/iac-ci plan", "noteable_type": "MergeRequest", "action": "create", "system": False}
NOTED = {"created_at": "2026-01-01 00:00:00 UTC", "updated_at": "2026-01-01 00:00:00 UTC"}
ISSUE = {"number": 7, "pull_request": {"url": "x"}}
COMMENT = {"id": 9, "body": "/iac-ci plan"}
BRANCH = {"type": "branch", "name": "main", "target": {"hash": SHA}}

STARTING = [
    *(
        (github("pull_request", action=action, pull_request=PULL), EventKind.PULL_REQUEST)
        for action in ("opened", "reopened", "synchronize", "ready_for_review")
    ),
    (github("pull_request", action="edited", changes={"base": {}}, pull_request=PULL), EventKind.PULL_REQUEST),
    (github("pull_request", action="closed", pull_request=PULL), EventKind.CLOSED),
    (github("issue_comment", action="created", issue=ISSUE, comment=COMMENT), EventKind.COMMENT),
    (github("push", ref="refs/heads/main", after=SHA), EventKind.PUSH),
    (
        gitlab("merge_request", object_attributes={"iid": 7, "action": "open", "last_commit": {"id": SHA}}),
        EventKind.PULL_REQUEST,
    ),
    (
        gitlab("merge_request", object_attributes={"iid": 7, "action": "update", "oldrev": "b" * 40}),
        EventKind.PULL_REQUEST,
    ),
    (
        gitlab("merge_request", object_attributes={"iid": 7, "action": "update"}, changes={"target_branch": {}}),
        EventKind.PULL_REQUEST,
    ),
    (
        gitlab(
            "merge_request", object_attributes={"iid": 7, "action": "update"}, changes={"draft": {"current": False}}
        ),
        EventKind.PULL_REQUEST,
    ),
    (gitlab("merge_request", object_attributes={"iid": 7, "action": "merge"}), EventKind.CLOSED),
    (gitlab("note", object_attributes=NOTE, merge_request={"iid": 7}), EventKind.COMMENT),
    (
        gitlab(
            "note", object_attributes={k: v for k, v in NOTE.items() if k != "action"} | NOTED, merge_request={"iid": 7}
        ),
        EventKind.COMMENT,
    ),
    (gitlab("push", ref="refs/heads/main", after=SHA, user_id=5, user_username="ann"), EventKind.PUSH),
    (bitbucket("pullrequest:created", pullrequest={"id": 7}), EventKind.PULL_REQUEST),
    (bitbucket("pullrequest:updated", pullrequest={"id": 7}), EventKind.PULL_REQUEST),
    (bitbucket("pullrequest:push", pullrequest={"id": 7}), EventKind.PULL_REQUEST),
    (bitbucket("pullrequest:fulfilled", pullrequest={"id": 7}), EventKind.CLOSED),
    (bitbucket("pullrequest:rejected", pullrequest={"id": 7}), EventKind.CLOSED),
    (
        bitbucket(
            "pullrequest:comment_created", pullrequest={"id": 7}, comment={"id": 9, "content": {"raw": "/iac-ci plan"}}
        ),
        EventKind.COMMENT,
    ),
    (bitbucket("repo:push", push={"changes": [{"new": BRANCH}, {"new": None}]}), EventKind.PUSH),
]


@pytest.mark.parametrize(("given", "kind"), STARTING)
def test_what_may_start_something_is_told_in_one_shape(given, kind):
    event = parse_event(*given)
    assert isinstance(event, HostEvent), event
    assert event.kind is kind
    assert event.repository.endswith("acme/infra") or event.repository.endswith("acme/sub/infra")
    assert event.actor.login == "ann"
    if kind is EventKind.PUSH:
        assert (event.branch, event.sha, event.number) == ("main", SHA, None)
    else:
        assert event.number == 7
    if kind is EventKind.COMMENT:
        assert (event.comment_id, event.comment) == ("9", "/iac-ci plan")


@pytest.mark.parametrize(
    ("text", "is_followed"),
    [("/iac-ci apply", True), ("- /iac-ci apply", True), ("> /iac-ci apply", False), ("iac-ci", False)],
)
def test_a_long_comment_is_not_parsed_before_its_host_is_answered(monkeypatch, text, is_followed):
    def too_slow(_):
        raise AssertionError("the comment is parsed")

    monkeypatch.setattr("iac_ci_triggers.commands.find_plain_lines", too_slow)
    comment = COMMENT | {"body": f"{text}\n\n" + "a\n" * 130_000}
    event = parse_event(*github("issue_comment", action="created", issue=ISSUE, comment=comment))
    assert has_command(event) is is_followed


def without(given, *path, value=None):
    """Return the given event with a field that is absent, or has the value."""
    sender, headers, payload = copy.deepcopy(given)
    *folders, name = path
    place = payload
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[name]
    else:
        place[name] = None if value == "null" else value
    return sender, headers, payload


@pytest.mark.parametrize(
    ("given", "field"),
    [(github("pull_request", action="opened", pull_request=PULL), "sender"),
     (github("push", ref="refs/heads/main", after=SHA), "sender"),
     (gitlab("merge_request", object_attributes={"iid": 7, "action": "open"}), "user"),
     (bitbucket("repo:push", push={"changes": [{"new": BRANCH}]}), "actor")],
)  # fmt: skip
@pytest.mark.parametrize("value", [None, "null"])
def test_the_account_of_an_event_may_be_gone(given, field, value):
    assert parse_event(*without(given, field, value=value)).actor.login == "ghost"


def test_older_versions_of_gitlab_tell_no_id_of_a_person():
    opened = gitlab("merge_request", object_attributes={"iid": 7, "action": "open"})
    event = parse_event(*without(opened, "user", "id"))
    assert (event.actor.id, event.actor.login) == ("", "ann")


@pytest.mark.parametrize("value", [None, "null"])
@pytest.mark.parametrize(
    ("given", "fields", "actor"),
    [
        (gitlab("push", ref="refs/heads/main", after=SHA, user_id=5, user_username="ann"), [["user_id"]], ("", "ann")),
        (
            gitlab("push", ref="refs/heads/main", after=SHA, user_id=5, user_username="ann", user_name="Ann"),
            [["user_username"]],
            ("5", "Ann"),
        ),
        (
            gitlab("push", ref="refs/heads/main", after=SHA, user_id=5, user_username="ann"),
            [["user_id"], ["user_username"]],
            ("", "ghost"),
        ),
        (bitbucket("repo:push", push={"changes": [{"new": BRANCH}]}), [["actor", "uuid"]], ("", "ann")),
    ],
)
def test_a_push_counts_whoever_its_host_names(given, fields, actor, value):
    for path in fields:
        given = without(given, *path, value=value)
    event = parse_event(*given)
    assert (event.kind, event.actor.id, event.actor.login) == (EventKind.PUSH, *actor)


@pytest.mark.parametrize("value", [None, "null", ""])
def test_the_head_of_a_pull_request_may_be_untold(value):
    opened = github("pull_request", action="synchronize", pull_request=PULL, before="b" * 40)
    event = parse_event(*without(opened, "pull_request", "head", "sha", value=value))
    assert (event.kind, event.sha, event.head) == (EventKind.PULL_REQUEST, None, None)
    assert parse_event(*without(opened, "before", value=value)).before is None


@pytest.mark.parametrize(
    ("previous", "current", "starts"),
    [
        ("Draft: A", "A", True), ("[Draft] A", "A", True), ("(draft) A", "A", True), ("WIP: A", "A", True),
        ("[WIP] A", "A", True), ("A", "Draft: A", False), ("Draft: A", "Draft: B", False), ("Drafts", "A", False),
    ],
)  # fmt: skip
def test_older_versions_of_gitlab_tell_the_end_of_a_draft_by_its_title(previous, current, starts):
    changes = {"title": {"previous": previous, "current": current}}
    event = parse_event(*gitlab("merge_request", object_attributes={"iid": 7, "action": "update"}, changes=changes))
    assert isinstance(event, HostEvent) is starts


def test_a_very_long_comment_of_gitlab_counts_with_its_beginning():
    note = NOTE | {"note": "/iac-ci plan\n" + "x" * 900_000}
    event = parse_event(*gitlab("note", object_attributes=note, merge_request={"iid": 7}))
    assert event.comment.startswith("/iac-ci plan\n")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (github("ping", zen="x"), "pong"),
        (github("star", action="created"), "star"),
        (github("pull_request", action="assigned", pull_request=PULL), "assigned"),
        (github("pull_request", action="edited", changes={"title": {}}, pull_request=PULL), "edited"),
        (github("issue_comment", action="edited", issue=ISSUE, comment=COMMENT), "write a new one"),
        (github("issue_comment", action="deleted", issue=ISSUE, comment=COMMENT), "write a new one"),
        (github("issue_comment", action="created", issue={"number": 7}, comment=COMMENT), "issue"),
        (github("push", ref="refs/tags/v1", after=SHA), "not to a branch"),
        (github("push", ref="refs/heads/main", after="0" * 40, deleted=True), "deleted"),
        (github("pull_request", action="opened", pull_request=PULL | {"number": True}), "pull_request.number"),
        (github("pull_request", action="opened", pull_request=PULL | {"number": -7}), "number"),
        (github("pull_request", action="opened", pull_request={"number": 7, "head": {"sha": "HEAD"}}), "sha"),
        (github("push", ref="refs/heads/a\nb", after=SHA), "branch"),
        (github("push", ref="refs/heads/main", after=SHA, sender={"id": "5", "login": "ann"}), "sender.id"),
        (gitlab("merge_request", object_attributes={"iid": 7, "action": "update"}), "update"),
        (gitlab("merge_request", object_attributes={"iid": 7, "action": "approved"}), "approved"),
        (gitlab("note", object_attributes=NOTE | {"action": "update"}, merge_request={"iid": 7}), "write a new one"),
        (gitlab("note", object_attributes=NOTE | {"noteable_type": "Issue"}), "not on a merge request"),
        (gitlab("note", object_attributes=NOTE | {"system": True}, merge_request={"iid": 7}), "own notes"),
        (
            gitlab(
                "note",
                object_attributes={name: value for name, value in NOTE.items() if name != "action"},
                merge_request={"iid": 7},
            ),
            "created_at",
        ),
        (gitlab("note", object_attributes=NOTE | {"action": 1}, merge_request={"iid": 7}), "action"),
        (gitlab("note", object_attributes=NOTE | {"system": "true"}, merge_request={"iid": 7}), "own notes"),
        (github("push", ref="refs/heads/", after=SHA), "branch"),
        (github("pull_request", action="\x1b[31m\n@all", pull_request=PULL), "?[31m?@all"),
        (gitlab("push", ref="refs/heads/main", after="0" * 40), "deleted"),
        (gitlab("pipeline"), "start nothing"),
        (bitbucket("repo:push", push={"changes": [{"new": BRANCH | {"name": f"{n}"}} for n in range(101)]}), "more"),
        (bitbucket("repo:push", push={"changes": [{"new": None}]}), "not to a branch"),
        (bitbucket("repo:push", push={"changes": ["x"]}), "not to a branch"),
        (bitbucket("pullrequest:approved", pullrequest={"id": 7}), "start nothing"),
    ],
)
def test_what_asks_for_nothing_says_why(given, why):
    event = parse_event(*given)
    assert isinstance(event, Ignored)
    assert why in event.reason


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-02-30T00:00:00Z", ""])
def test_a_time_that_utc_does_not_have_is_none(text):
    event = parse_event(*github("pull_request", action="opened", pull_request=PULL | {"updated_at": text}))
    assert (event.kind, event.updated_at) == (EventKind.PULL_REQUEST, None)


def test_each_branch_of_one_push_to_bitbucket_is_an_event():
    changes = [{"new": BRANCH | {"name": name}, "old": None} for name in ("main", "prod")]
    changes += [{"new": {"type": "tag", "name": "v1"}}, {"new": None, "old": BRANCH}]
    changes += [{"new": BRANCH | {"name": "a\nb"}}]
    events = parse_events(*bitbucket("repo:push", push={"changes": changes}))
    assert [(event.kind, event.branch, event.sha) for event in events] == [
        (EventKind.PUSH, "main", SHA),
        (EventKind.PUSH, "prod", SHA),
    ]


PUSHED = {"ref": "refs/heads/main", "before": "b" * 40, "after": SHA, "forced": False, "created": False}
TOUCHED = {"added": ["a.tf"], "modified": ["b.tf"], "removed": ["c.tf", "a.tf"]}


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        ({"commits": [TOUCHED, TOUCHED | {"added": ["d.tf"]}]}, ("a.tf", "b.tf", "c.tf", "d.tf")),
        ({"commits": []}, None),
        ({"commits": [TOUCHED], "forced": True}, None),
        ({"commits": [TOUCHED], "created": True}, None),
        ({"commits": [TOUCHED], "before": "0" * 40}, None),
        ({"commits": [TOUCHED, {"added": [1]}]}, None),
        ({"commits": [TOUCHED] * 2048}, None),
        (
            {
                "commits": [
                    TOUCHED,
                    {"added": [f"{number}.tf" for number in range(3000)], "modified": [], "removed": []},
                ]
            },
            None,
        ),
        ({"commits": [{"added": [], "modified": ["a.tf"] * 2999, "removed": []}]}, ("a.tf",)),
        ({"commits": [{**TOUCHED, "added": [str(number) for number in range(20_000)]}]}, None),
        ({}, None),
    ],
)
def test_a_push_tells_all_that_it_changed_or_nothing(content, changed):
    assert parse_event(*github("push", **PUSHED | content)).changed == changed


@pytest.mark.parametrize(
    "branch",
    ["$(touch x)", "--upload-pack=touch x", "a b", "\N{RIGHT-TO-LEFT OVERRIDE}x", "\N{PILE OF POO}", "a" * 1000],
)
def test_a_hostile_branch_is_text_and_nothing_else(branch):
    assert parse_event(*github("push", ref=f"refs/heads/{branch}", after=SHA)).branch == branch


@pytest.mark.parametrize(
    "address", [None, 5, "", "https://github.com", "file:///etc/passwd", "ext::sh -c id", "git@github.com:acme/infra"]
)
def test_what_names_no_repository_on_a_host_is_none(address):
    payload = {"repository": {"html_url": address}, **SENDER}
    assert claimed_repository(Sender.GITHUB, json.dumps(payload).encode(), {}) is None
    event = parse_event(Sender.GITHUB, {"x-github-event": "push"}, payload | {"ref": "refs/heads/main", "after": SHA})
    assert isinstance(event, Ignored)


def test_a_form_is_read_like_json():
    payload = json.dumps(GITHUB)
    form = urlencode({"payload": payload}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert read_payload(form, headers) == read_payload(payload.encode(), {"content-type": "application/json"}) == GITHUB


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b"\xff", "application/json"),
        (b'{"a": 1, "a": 2}', "application/json"),
        (b'{"a": NaN}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"payload={}&payload={}", "application/x-www-form-urlencoded"),
        (b"other={}", "application/x-www-form-urlencoded"),
        (b"x", "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_is_no_payload_is_a_problem_in_plain_words(body, content_type):
    with pytest.raises(InputProblems, match="body"):
        read_payload(body, {"content-type": content_type})


def test_a_delivery_has_the_name_that_stays_when_it_is_sent_again():
    assert delivery_id(Sender.GITHUB, {"x-github-delivery": "72d3162e-cc78-11e3"}) == "72d3162e-cc78-11e3"
    assert delivery_id(Sender.GITLAB, {"idempotency-key": "a-1", "x-gitlab-event-uuid": "b"}) == "a-1"
    assert delivery_id(Sender.GITLAB, {"idempotency-key": "a-1", "webhook-id": "signed"}) == "signed"
    assert delivery_id(Sender.BITBUCKET, {"x-request-uuid": "{a-1}"}) == "a-1"
    for wrong in ("", "{}", "a{b", "a b", "a\n", "x" * 500):
        assert delivery_id(Sender.GITHUB, {"x-github-delivery": wrong}) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([given for given, _ in STARTING]), st.data())
def test_no_payload_breaks_it(given, data):
    kind, headers, payload = copy.deepcopy(given)
    place = payload
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key]:
            break
        place = place[key]
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(ANYTHING)
    assert isinstance(parse_event(kind, headers, payload), HostEvent | Ignored)
