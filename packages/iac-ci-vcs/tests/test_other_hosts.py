"""GitLab and Bitbucket as the engine asks them, in the shapes of their REST documentation."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import responses
from responses.matchers import query_param_matcher

from iac_ci_common.errors import NotFound, PortFailed, Throttled
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.testing import FakeClock, MemoryCommitJobs, MemorySecrets
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_vcs.hosts import open_code_host
from iac_ci_vcs.provider import Account, ChangeKind, CommitState, CommitStatus, Permission, TokenCredentials
from iac_ci_vcs.reporting import marker
from iac_ci_vcs.reports import CodeHostReports

GITLAB = "https://gitlab.com/api/v4/projects/acme%2Fteam%2Finfra"
BITBUCKET = "https://api.bitbucket.org/2.0/repositories/acme/infra"
UUID, OTHER = "{11111111-2222-3333-4444-555555555555}", "{99999999-2222-3333-4444-555555555555}"
COMMIT = "a" * 40
STATUS = CommitStatus(COMMIT, "iac-ci/plan", CommitState.ERROR, "timed out")
CLOCK = FakeClock(START)
MOMENT = "2026-01-01T00:00:00.000Z"


@pytest.fixture
def wire(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get("https://gitlab.com/api/v4/user", json={"id": 6, "username": "engine"})
        wire.get("https://api.bitbucket.org/2.0/user", json={"uuid": UUID, "nickname": "engine"})
        yield wire


@pytest.fixture
def gitlab():
    return open_code_host("https://gitlab.com/acme/team/infra.git", TokenCredentials("t0ken"))


@pytest.fixture
def bitbucket():
    return open_code_host("git@bitbucket.org:acme/infra.git", TokenCredentials("t0ken"))


def note(number, body, user=6):
    author = {"id": user, "username": f"user-{user}"}
    return {
        "id": number, "body": body, "author": author, "system": False, "created_at": MOMENT, "updated_at": MOMENT,
    }  # fmt: skip


def comment(number, body, user=UUID):
    return {
        "id": number, "content": {"raw": body}, "user": {"uuid": user, "nickname": "x"}, "deleted": False,
        "created_on": MOMENT, "updated_on": MOMENT,
    }  # fmt: skip


BITBUCKET_MARKER = marker(RUN_ID, has_html=False)


def written(wire):
    return [
        (call.request.method, call.request.url, json.loads(call.request.body))
        for call in wire.calls
        if call.request.method != "GET"
    ]


def publish(repository, body):
    target = ReportTarget(repository=repository, number=7, token_location="ssm:/token")
    styles = []

    def write(style):
        styles.append((style.max_chars, style.has_html))
        return body

    CodeHostReports(MemorySecrets({"ssm:/token": "t0ken"}), MemoryCommitJobs(CLOCK), CLOCK).publish(
        target, run_id=RUN_ID, write=write
    )
    return styles


def test_gitlab_gets_one_note_and_edits_only_its_own(wire):
    place, body = f"{GITLAB}/merge_requests/7/notes", f"{marker(RUN_ID)}\nhello"
    wire.get(place, json=[note(1, f"{marker(RUN_ID)} stolen", user=9)])
    wire.post(place, json=note(2, body), status=201)
    assert publish("https://gitlab.com/acme/team/infra", body) == [(1_000_000, True)]
    wire.replace(responses.GET, place, json=[note(2, f"{marker(RUN_ID)} old")])
    wire.put(f"{place}/2", json=note(2, body))
    publish("https://gitlab.com/acme/team/infra", body)
    assert written(wire) == [("POST", place, {"body": body}), ("PUT", f"{place}/2", {"body": body})]


def test_bitbucket_gets_one_comment_and_edits_only_its_own(wire):
    place, body = f"{BITBUCKET}/pullrequests/7/comments", f"{BITBUCKET_MARKER}\nhello"
    wire.get(place, json={"values": [comment(1, f"{BITBUCKET_MARKER} stolen", OTHER)]})
    wire.post(place, json=comment(2, body), status=201)
    assert publish("https://bitbucket.org/acme/infra", body) == [(32_768, False)]
    wire.replace(responses.GET, place, json={"values": [comment(2, f"{BITBUCKET_MARKER} old")]})
    wire.put(f"{place}/2", json=comment(2, body))
    publish("https://bitbucket.org/acme/infra", body)
    sent = {"content": {"raw": body}}
    assert written(wire) == [("POST", place, sent), ("PUT", f"{place}/2", sent)]


def test_gitlab_sets_a_status_and_takes_one_that_stands_for_set(wire, gitlab):
    wire.post(f"{GITLAB}/statuses/{COMMIT}", json={}, status=201)
    gitlab.set_status(STATUS)
    assert written(wire)[0][2] == {"state": "failed", "description": "timed out", "name": "iac-ci/plan"}
    wire.replace(responses.POST, f"{GITLAB}/statuses/{COMMIT}", json={"message": "Cannot transition"}, status=400)
    listed = f"{GITLAB}/repository/commits/{COMMIT}/statuses"
    wire.get(listed, json=[{"name": "iac-ci/plan", "status": "failed"}])
    gitlab.set_status(STATUS)
    wire.replace(responses.GET, listed, json=[{"name": "iac-ci/plan", "status": "running"}])
    with pytest.raises(PortFailed):
        gitlab.set_status(STATUS)


@pytest.mark.parametrize(
    "reason", ["is blocked: Host cannot be resolved or invalid", "is too long (maximum is 255 characters)"]
)
def test_a_status_whose_link_gitlab_refuses_is_set_without_it(wire, gitlab, reason):
    place = f"{GITLAB}/statuses/{COMMIT}"
    wire.post(place, json={"message": {"target_url": [reason]}}, status=400)
    wire.post(place, json={}, status=201)
    gitlab.set_status(replace(STATUS, url="https://pages.example/runs/1"))
    with_link, without = (sent for _, _, sent in written(wire))
    assert with_link == without | {"target_url": "https://pages.example/runs/1"}
    assert without["state"] == "failed"


def test_bitbucket_sets_a_status_with_a_key_that_fits(wire, bitbucket):
    place = f"{BITBUCKET}/commit/{COMMIT}/statuses/build"
    wire.post(place, json={}, status=201)
    bitbucket.set_status(STATUS)
    bitbucket.set_status(CommitStatus(COMMIT, "iac-ci/" + "x" * 100, CommitState.PENDING, "queued"))
    first, second = (sent for _, _, sent in written(wire))
    assert (first["key"], first["state"]) == ("iac-ci/plan", "STOPPED")
    assert first["url"] == f"https://bitbucket.org/acme/infra/commits/{COMMIT}"
    assert len(second["key"]) <= 40
    assert second["name"] == "iac-ci/" + "x" * 100


def test_a_long_name_of_a_status_is_cut_alike_each_time_and_unlike_others(wire, gitlab, bitbucket):
    wire.post(f"{GITLAB}/statuses/{COMMIT}", json={}, status=201)
    wire.post(f"{BITBUCKET}/commit/{COMMIT}/statuses/build", json={}, status=201)
    for context in ("iac-ci/" + "x" * 248, "iac-ci/" + "x" * 249, "iac-ci/" + "x" * 249, "iac-ci/" + "x" * 250):
        for host in (gitlab, bitbucket):
            host.set_status(CommitStatus(COMMIT, context, CommitState.PENDING, "queued"))
    names = [sent["name"] for _, _, sent in written(wire)]
    assert names[0::2] == names[1::2]
    fits, long, again, longer = names[0::2]
    assert fits == "iac-ci/" + "x" * 248
    assert long == again != longer
    assert {len(name) for name in names} == {255}
    assert long.startswith("iac-ci/xxx")


@pytest.mark.parametrize(("source", "is_fork"), [(1, False), (2, True), (None, True)])
def test_gitlab_knows_a_fork(wire, gitlab, source, is_fork):
    said = {
        "title": "t", "author": {"id": 3, "username": "ann"}, "state": "opened", "sha": COMMIT,
        "source_branch": "$(touch x)", "target_branch": "main", "source_project_id": source, "target_project_id": 1,
        "diff_refs": {"base_sha": "b" * 40}, "web_url": "https://gitlab.com/acme/team/infra/-/merge_requests/7",
    }  # fmt: skip
    wire.get(f"{GITLAB}/merge_requests/7", json=said)
    wire.get("https://gitlab.com/api/v4/projects/2", json={"path_with_namespace": "mallory/infra"})
    found = gitlab.pull_request(7)
    assert (found.is_fork, found.head_sha, found.base_branch) == (is_fork, COMMIT, "main")
    assert found.head_repository == {1: "acme/team/infra", 2: "mallory/infra", None: None}[source]


@pytest.mark.parametrize(
    ("state", "is_open", "is_merged"),
    [("opened", True, False), ("locked", True, False), ("closed", False, False), ("merged", False, True)],
)
def test_a_merge_request_that_gitlab_is_merging_is_not_closed(wire, gitlab, state, is_open, is_merged):
    said = {
        "title": "t", "author": None, "state": state, "sha": COMMIT, "source_branch": "x", "target_branch": "main",
        "source_project_id": 1, "target_project_id": 1, "web_url": "https://gitlab.com/x",
    }  # fmt: skip
    wire.get(f"{GITLAB}/merge_requests/7", json=said)
    found = gitlab.pull_request(7)
    assert (found.is_open, found.is_merged) == (is_open, is_merged)


@pytest.mark.parametrize(("repository", "is_fork"), [(UUID, False), (OTHER, True), (None, True)])
def test_bitbucket_knows_a_fork_and_asks_for_whole_hashes(wire, bitbucket, repository, is_fork):
    source = {"branch": {"name": "--upload-pack=x"}, "commit": {"hash": "a" * 12}}
    source["repository"] = {"uuid": repository, "full_name": "some/infra"} if repository else None
    here = {"uuid": UUID, "full_name": "acme/infra"}
    target = {"branch": {"name": "main"}, "commit": {"hash": "b" * 12}, "repository": here}
    said = {
        "title": "t", "author": {"uuid": OTHER, "nickname": "ann"}, "state": "OPEN", "source": source,
        "destination": target, "links": {"html": {"href": "https://bitbucket.org/acme/infra/pull-requests/7"}},
    }  # fmt: skip
    wire.get(f"{BITBUCKET}/pullrequests/7", json=said)
    for letter in "ab":
        wire.get(f"{BITBUCKET}/commit/{letter * 12}", json={"hash": letter * 40})
    found = bitbucket.pull_request(7)
    assert (found.is_fork, found.head_sha, found.base_sha) == (is_fork, "a" * 40, "b" * 40)


def test_bitbucket_knows_no_head_of_a_fork_that_was_deleted(wire, bitbucket):
    here = {"uuid": UUID, "full_name": "acme/infra"}
    target = {"branch": {"name": "main"}, "commit": {"hash": "b" * 40}, "repository": here}
    said = {
        "title": "t", "author": None, "state": "DECLINED", "destination": target,
        "source": {"branch": {"name": "x"}, "commit": {"hash": "a" * 12}, "repository": None},
        "links": {"html": {"href": "https://bitbucket.org/acme/infra/pull-requests/7"}},
    }  # fmt: skip
    wire.get(f"{BITBUCKET}/pullrequests/7", json=said)
    wire.get(f"{BITBUCKET}/commit/{'a' * 12}", status=404, json={"type": "error"})
    found = bitbucket.pull_request(7)
    assert (found.head_sha, found.head_repository, found.is_fork, found.is_open) == ("", None, True, False)


def test_gitlab_tells_renames_and_whether_it_told_all(wire, gitlab):
    plain = {"new_file": False, "deleted_file": False, "renamed_file": False}
    told = [
        {"old_path": "a", "new_path": "b", **plain, "renamed_file": True},
        {"old_path": "c", "new_path": "c", **plain, "deleted_file": True},
    ]
    wire.get(f"{GITLAB}/merge_requests/7", json={"changes_count": "2"})
    wire.get(f"{GITLAB}/merge_requests/7/diffs", json=told)
    found = gitlab.changed_files(7)
    assert found.complete
    assert [(one.kind, one.paths) for one in found.files] == [
        (ChangeKind.RENAMED, ("b", "a")),
        (ChangeKind.REMOVED, ("c",)),
    ]
    wire.replace(responses.GET, f"{GITLAB}/merge_requests/7", json={"changes_count": "1000+"})
    assert not gitlab.changed_files(7).complete


@pytest.mark.parametrize("count", ["", None])
def test_gitlab_asks_again_for_changes_that_are_not_computed_yet(wire, gitlab, monkeypatch, count):
    """Recorded of gitlab.com: for one to five seconds the count is empty and the list of diffs too."""
    waits = []
    monkeypatch.setattr("iac_ci_vcs.gitlab.pause", waits.append)
    diff = {"old_path": "a", "new_path": "a", "new_file": True, "renamed_file": False, "deleted_file": False}
    for answers, waited, complete, paths in (
        ([(count, []), (count, []), ("1", [diff])], 2, True, [("a",)]),
        ([(count, [])] * 4, 3, False, []),
    ):
        wire.reset()
        waits.clear()
        for answered, diffs in answers:
            wire.get(f"{GITLAB}/merge_requests/7", json={"changes_count": answered})
            wire.get(f"{GITLAB}/merge_requests/7/diffs", json=diffs)
        found = gitlab.changed_files(7)
        assert (len(waits), found.complete, [one.paths for one in found.files]) == (waited, complete, paths)
        assert sum(waits) <= 6


def test_bitbucket_follows_its_pages_and_nobody_elses(wire, bitbucket):
    place = f"{BITBUCKET}/pullrequests/7/diffstat"
    renamed = {"status": "renamed", "old": {"path": "a"}, "new": {"path": "b"}}
    added = {"status": "added", "old": None, "new": {"path": "c"}}
    wire.get(
        place, json={"values": [renamed], "next": f"{place}?page=2"}, match=[query_param_matcher({"pagelen": "500"})]
    )
    wire.get(place, json={"values": [added]}, match=[query_param_matcher({"page": "2"})])
    assert [one.paths for one in bitbucket.changed_files(7).files] == [("b", "a"), ("c",)]
    elsewhere = {"values": [], "next": "https://evil.example.com/2.0/repositories/acme/infra"}
    wire.upsert(responses.GET, place, json=elsewhere, match=[query_param_matcher({"pagelen": "500"})])
    with pytest.raises(PortFailed, match="is not below"):
        bitbucket.changed_files(7)


@pytest.mark.parametrize(
    ("answer", "permission"),
    [
        ({"json": {"access_level": 40, "state": "active"}}, Permission.ADMIN),
        ({"json": {"access_level": 30, "state": "active"}}, Permission.WRITE),
        ({"json": {"access_level": 20, "state": "active"}}, Permission.READ),
        ({"json": {"access_level": 40, "state": "blocked"}}, Permission.NONE),
        ({"json": {"message": "404 Not found"}, "status": 404}, Permission.NONE),
    ],
)
def test_gitlab_says_what_a_user_may_do(wire, gitlab, answer, permission):
    wire.get(f"{GITLAB}/members/all/3", **answer)
    assert gitlab.permission(Account("3", "ann")) is permission


def test_bitbucket_says_what_a_user_may_do(wire, bitbucket):
    place = "https://api.bitbucket.org/2.0/workspaces/acme/permissions/repositories/infra"
    wire.get(place, json={"values": [{"permission": "write", "user": {"uuid": OTHER}}]})
    assert bitbucket.permission(Account(OTHER, "ann")) is Permission.WRITE
    assert bitbucket.permission(Account(UUID, "bob")) is Permission.NONE
    assert bitbucket.permission(Account('" OR true', "eve")) is Permission.NONE


def test_a_branch_is_read_as_it_is_now(wire, gitlab, bitbucket):
    wire.get(f"{GITLAB}/repository/branches/a%2Fb", json={"name": "a/b", "commit": {"id": COMMIT}})
    assert gitlab.branch_head("a/b") == COMMIT
    wire.get(f"{BITBUCKET}/refs/branches/a%2Fb", json={"name": "a/b", "target": {"hash": COMMIT}})
    assert bitbucket.branch_head("a/b") == COMMIT


def test_the_answer_about_another_branch_is_none(wire, gitlab, bitbucket):
    wire.get(f"{GITLAB}/repository/branches/Main", json={"name": "main", "commit": {"id": COMMIT}})
    wire.get(f"{BITBUCKET}/refs/branches/Main", json={"name": "main", "target": {"hash": COMMIT}})
    for host in (gitlab, bitbucket):
        with pytest.raises(NotFound, match="main"):
            host.branch_head("Main")


@pytest.mark.parametrize(
    ("updated", "edited"),
    [
        ("2026-11-20T09:15:45.858898+00:00", False),
        ("2026-11-20T09:15:45.859011+00:00", False),
        ("2026-11-20T09:15:45.866898+00:00", False),
        ("2026-11-20T09:15:48+00:00", True),
    ],
)
def test_bitbuckets_two_times_of_an_untouched_comment_differ(wire, bitbucket, updated, edited):
    payload = comment(3, "/iac-ci plan") | {"created_on": "2026-11-20T09:15:45.858898+00:00", "updated_on": updated}
    wire.get(f"{BITBUCKET}/pullrequests/7/comments/3", json=payload)
    assert bitbucket.comment(7, "3").edited is edited


def test_a_folder_of_a_commit_is_found(wire, gitlab, bitbucket):
    tree = f"{GITLAB}/repository/tree"
    for answer, found in (({"json": [{"path": "a/b"}]}, True), ({"json": []}, False), ({"status": 404}, False)):
        wire.upsert(
            responses.GET, tree, match=[query_param_matcher({"path": "a", "ref": COMMIT}, strict_match=False)], **answer
        )
        assert gitlab.has_folder("a", COMMIT) is found
    place = f"{BITBUCKET}/src/{COMMIT}/a"
    for answer, found in (
        ({"json": {"type": "commit_directory"}}, True),
        ({"json": {"type": "commit_file"}}, False),
        ({"status": 404}, False),
    ):
        wire.upsert(responses.GET, place, **answer)
        assert bitbucket.has_folder("a", COMMIT) is found
    assert not bitbucket.has_folder("a/../b", COMMIT)


def test_the_default_branch_is_the_hosts(wire, gitlab, bitbucket):
    wire.get(GITLAB, json={"default_branch": "trunk"})
    assert gitlab.default_branch() == "trunk"
    wire.get(BITBUCKET, json={"mainbranch": {"name": "trunk", "type": "branch"}})
    assert bitbucket.default_branch() == "trunk"


def test_files_are_read_whole_or_not_at_all(wire, gitlab, bitbucket):
    wire.get(f"{GITLAB}/repository/files/dir%2F.iac-ci.yml/raw", body=b"jobs: {}")
    assert gitlab.file("dir/.iac-ci.yml", "main") == b"jobs: {}"
    with pytest.raises(PortFailed):
        gitlab.file("dir/.iac-ci.yml", "main", max_bytes=3)
    place = f"{BITBUCKET}/src/{COMMIT}/.iac-ci.yml"
    wire.get(place, json={"type": "commit_file"}, match=[query_param_matcher({"format": "meta"})])
    wire.get(place, body=b"jobs: {}", match=[query_param_matcher({})])
    assert bitbucket.file(".iac-ci.yml", COMMIT) == b"jobs: {}"
    with pytest.raises(NotFound):
        bitbucket.file("../../other/secret", COMMIT)


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"status": "merge conflict", "old": {"path": "a"}, "new": {"path": "b"}}, ("b", "a")),
        ({"status": "rename conflict", "old": {"path": "a"}, "new": {"path": "b"}}, ("b", "a")),
        ({"status": "merge conflict", "old": {"path": "a"}, "new": {"path": "a"}}, ("a",)),
        ({"status": "local deleted", "old": None, "new": {"path": "a"}}, ("a",)),
        ({"status": "removed", "old": {"path": "a"}, "new": None}, ("a",)),
    ],
)
def test_a_file_of_bitbucket_that_was_moved_and_conflicts_counts_with_both_names(wire, bitbucket, change, paths):
    wire.get(f"{BITBUCKET}/pullrequests/7/diffstat", json={"values": [change]})
    (file,) = bitbucket.changed_files(7).files
    assert set(file.paths) == set(paths)


@pytest.mark.parametrize(
    ("answer", "error", "safe"),
    [
        ({"status": 403, "json": {"message": "You have triggered an abuse detection mechanism."}}, Throttled, True),
        ({"status": 429, "headers": {"Retry-After": "3600"}, "json": {}}, Throttled, True),
        ({"status": 403, "json": {"message": "forbidden"}}, PortFailed, False),
        ({"status": 502, "body": "<html>"}, PortFailed, True),
        ({"status": 200, "body": "<html>"}, PortFailed, True),
    ],
)
def test_refusals_become_the_engines_errors(wire, gitlab, bitbucket, answer, error, safe):
    wire.get(f"{GITLAB}/merge_requests/7", **answer)
    wire.get(f"{BITBUCKET}/pullrequests/7", **answer)
    for host in (gitlab, bitbucket):
        with pytest.raises(error) as raised:
            host.pull_request(7)
        assert raised.value.retry_is_safe is safe
        assert "t0ken" not in str(raised.value)


def test_a_short_wait_is_waited_for(wire, gitlab):
    place = f"{GITLAB}/merge_requests/7/notes/3"
    wire.get(place, status=429, headers={"Retry-After": "1"}, json={})
    wire.get(place, json=note(3, "hello"))
    assert gitlab.comment(7, "3").body == "hello"


@pytest.mark.parametrize(
    ("membership", "group", "expected"),
    [
        ({"json": {"id": 3, "state": "active", "access_level": 30}}, {"json": {"id": 1}}, True),
        ({"json": {"id": 3, "state": "blocked", "access_level": 30}}, {"json": {"id": 1}}, False),
        ({"status": 404, "json": {}}, {"json": {"id": 1}}, False),
        ({"status": 404, "json": {}}, {"status": 404, "json": {}}, None),
    ],
)
def test_a_group_of_gitlab_is_asked_for_its_member(wire, gitlab, membership, group, expected):
    root = GITLAB.partition("/projects/")[0]
    wire.get(f"{root}/groups/acme%2Fplatform/members/all/3", **membership)
    wire.get(f"{root}/groups/acme%2Fplatform", **group)
    assert gitlab.reviews().is_member("acme/platform", Account("3", "ann")) is expected


@pytest.mark.parametrize(
    ("role", "membership", "expected"),
    [
        ("@developer", {"json": {"id": 3, "state": "active", "access_level": 30}}, True),
        ("@Developers", {"json": {"id": 3, "state": "active", "access_level": 30}}, True),
        ("@maintainers", {"json": {"id": 3, "state": "active", "access_level": 40}}, True),
        ("@owners", {"json": {"id": 3, "state": "active", "access_level": 50}}, True),
        ("@developers", {"json": {"id": 3, "state": "active", "access_level": 40}}, False),
        ("@owners", {"json": {"id": 3, "state": "blocked", "access_level": 50}}, False),
        ("@maintainers", {"status": 404, "json": {}}, False),
    ],
)
def test_a_role_of_gitlab_has_the_direct_members_with_just_this_role(wire, gitlab, role, membership, expected):
    wire.get(f"{GITLAB}/members/3", **membership)
    assert gitlab.reviews().may_be_team(role)
    assert gitlab.reviews().is_member(role, Account("3", "ann")) is expected


@pytest.mark.parametrize(
    ("owner", "people", "expected"),
    [
        ("platform", {"json": []}, True),
        ("ann", {"json": [{"id": 3, "username": "ann"}]}, False),
        ("platform", {"status": 403, "json": {}}, True),
        ("acme/platform", {"status": 500, "json": {}}, True),
        ("@reporters", {"status": 500, "json": {}}, False),
    ],
)
def test_an_owner_without_a_slash_is_a_group_of_gitlab_unless_a_person_has_the_name(
    wire, gitlab, owner, people, expected
):
    place = f"{GITLAB.partition('/projects/')[0]}/users"
    wire.get(place, match=[query_param_matcher({"username": owner, "per_page": "100"})], **people)
    assert gitlab.reviews().may_be_team(owner) is expected


def test_bitbucket_tells_no_team(bitbucket):
    assert bitbucket.reviews().is_member("acme/platform", Account("{3}", "ann")) is None


def changes(host):
    return host.changed_files(7)


def approvals(host):
    return host.reviews().approvals(7)


def checks(host):
    return host.reviews().checks(7, COMMIT)


def mergeability(host):
    return host.reviews().mergeability(7)


def ancestor(host):
    return host.reviews().merge_base("a", "b")


ODD = [
    ("github", "/pulls/7", {"base": None, "changed_files": 1}, changes),
    ("github", f"/commits/{COMMIT}/check-runs", {"check_runs": [{"name": None}]}, checks),
    ("gitlab", "/merge_requests/7", {"detailed_merge_status": ["x"]}, changes),
    ("gitlab", "/merge_requests/7/approvals", {"approved_by": [{"user": None}]}, approvals),
    ("gitlab", f"/repository/commits/{COMMIT}/statuses", [{"name": None, "status": "success"}], checks),
    ("gitlab", "/repository/merge_base", {}, ancestor),
    ("bitbucket", "/pullrequests/7/commits", {"values": ["x"]}, approvals),
    ("bitbucket", "/pullrequests/7/diffstat", {"values": ["x"]}, mergeability),
    ("bitbucket", f"/commit/{COMMIT}/statuses", {"values": [None]}, checks),
]  # fmt: skip
PLACES = {
    "github": ("https://github.com/acme/infra", "https://api.github.com/repos/acme/infra"),
    "gitlab": ("https://gitlab.com/acme/team/infra", GITLAB),
    "bitbucket": ("https://bitbucket.org/acme/infra", BITBUCKET),
}


@pytest.mark.parametrize(("kind", "place", "odd", "ask"), ODD)
def test_an_answer_of_an_unknown_form_is_an_error_of_the_host_wherever_it_is_read(wire, kind, place, odd, ask):
    address, root = PLACES[kind]
    plain = {"sha": COMMIT, "state": "OPEN", "participants": [{"approved": True}], "statuses": [], "values": []}
    wire.get(f"{root}{place}", json=odd)
    wire.get(f"{root}/pulls/7/files", json=[{"filename": "a", "status": "added"}])
    wire.get(f"{root}/commits/{COMMIT}/status", json=plain)
    wire.get(f"{root}/merge_requests/7", json=plain)
    for listed in ("diffs", "commits", "notes"):
        wire.get(f"{root}/merge_requests/7/{listed}", json=[])
    wire.get(f"{root}/pullrequests/7", json=plain)
    with pytest.raises(PortFailed, match="unknown form"):
        ask(open_code_host(address, TokenCredentials("t0ken")))
