"""The contract of code hosts: each provider against a server that behaves like its host, good days and bad ones.

What only one host has is said so: such a test names its host.
"""

from __future__ import annotations

import json
import re
import time

import pytest

from iac_ci_common.errors import NotFound, PortFailed, Throttled
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_local.fake_hosts.project import Person
from iac_ci_vcs.provider import Account, ChangedFile, ChangeKind, CommitState, CommitStatus, Permission

from .conftest import AUTHOR, ENGINE, STRANGER

MARKER = "<!-- iac-ci:0190 -->"


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


def asked(host):
    return [f"{exchange.request.method} {exchange.request.target}" for exchange in host.recorded]


def test_the_own_account_is_asked_once(host, opened, account):
    github = opened()
    assert github.me() == github.me() == account(ENGINE)
    assert asked(host) == [f"GET {host.shape.root}/user"]


def test_a_pull_request_is_read(host, opened, project, account):
    pull = opened().pull_request(1)
    assert (pull.title, pull.author, pull.is_open, pull.is_fork) == ("A change", account(AUTHOR), True, False)
    assert (pull.head_branch, pull.base_branch, pull.head_repository) == ("change", "main", "demo/pets")
    assert pull.head_sha == project.repository.head("change")
    assert pull.base_sha == project.repository.head("main")
    assert pull.url == f"{host.url}{host.shape.page(1)}"


def test_a_fork_and_a_pull_request_that_is_none_are_told(opened, project):
    project.open_pull_request(
        title="From a fork", author=STRANGER, head_branch="change", base_branch="main", fork="stranger/pets"
    )
    github = opened()
    pull = github.pull_request(2)
    assert (pull.is_fork, pull.head_repository) == (True, "stranger/pets")
    with pytest.raises(NotFound):
        github.pull_request(3)


@pytest.mark.parametrize("kind", ["github"])
def test_only_the_engines_own_comments_are_folded(opened, project):
    github = opened()
    ours = [github.create_comment(1, f"{marker}\ntext").id for marker in (MARKER, "<!-- iac-ci:other -->")]
    theirs = project.write_comment(1, AUTHOR, f"{MARKER}\ntext").id
    assert github.fold_comments(1, [MARKER]) == 1
    assert project.minimized == {int(ours[0])}
    assert theirs not in project.minimized


@pytest.mark.parametrize("kind", ["github"])
def test_a_folding_that_github_refuses_is_an_error(opened, monkeypatch):
    """GraphQL answers 200 for an error too."""
    github = opened()
    with pytest.raises(PortFailed, match="Could not resolve"):
        github._minimize("nowhere")


def test_a_folder_of_a_commit_is_found(opened, project):
    github, head = opened(), project.repository.head("change")
    found = {path: github.has_folder(path, head) for path in ("b", "main.tf", "nowhere", "../b")}
    assert found == {"b": True, "main.tf": False, "nowhere": False, "../b": False}


def test_changed_files_are_told_with_renames(opened):
    changed = opened().changed_files(1)
    assert changed.complete
    assert sorted(changed.files, key=lambda file: file.path) == [
        ChangedFile("b/näme.tf", ChangeKind.RENAMED, "a name.tf"),
        ChangedFile("main.tf", ChangeKind.MODIFIED),
        ChangedFile("new.tf", ChangeKind.ADDED),
        ChangedFile("old.tf", ChangeKind.REMOVED),
    ]


@pytest.mark.parametrize(
    ("kind", "count", "told", "requests"),
    [
        ("github", 101, 101, 3),
        ("github", 3000, 3000, 31),
        ("github", 3001, 3000, 31),
        ("gitlab", 101, 101, 3),
        ("gitlab", 1001, 1000, 11),
        ("bitbucket", 101, 101, 2),
        ("bitbucket", 1001, 1001, 4),
    ],
)
def test_a_pull_request_of_many_files_costs_few_requests(host, opened, project, count, told, requests):
    files = {f"stacks/{number:04}/main.tf": b"# %d\n" % number for number in range(count)}
    project.repository.commit("many", files, "many", start="main")
    project.open_pull_request(title="Many", author=AUTHOR, head_branch="many", base_branch="main")
    changed = opened().changed_files(2)
    assert len({file.path for file in changed.files}) == told
    assert changed.complete == (told == count)
    assert len(host.recorded) == requests


def test_a_file_is_read_at_a_branch_and_at_a_commit(opened, project):
    github = opened()
    assert github.file("main.tf", "main") == b"# base\n"
    assert github.file("main.tf", project.repository.head("change")) == b"# head\n"
    assert github.file("b/näme.tf", "change").startswith(b"line 0\n")


def test_a_tag_named_like_a_branch_is_never_its_head(opened, project):
    evil = project.repository.commit("elsewhere", {"main.tf": b"# evil\n"}, "evil", start="main")
    project.repository._git("update-ref", "refs/tags/change", evil)
    github = opened()
    head = github.branch_head("change")
    assert head == project.repository.head("change") != evil
    assert github.file("main.tf", head) == b"# head\n"
    assert github.default_branch() == "main"


def test_a_branch_is_read_and_a_missing_one_is_not_found(opened, project):
    github = opened()
    assert github.branch_head("change") == project.repository.head("change")
    for missing in ("other", "../pulls/1", "a/../b"):
        with pytest.raises(NotFound):
            github.branch_head(missing)


@pytest.mark.parametrize("path", ["nothing.tf", "b", "old.tf", "../main.tf", "b/../main.tf", "/main.tf", ""])
def test_what_is_no_file_is_not_found(opened, path):
    with pytest.raises(NotFound):
        opened().file(path, "change")


def test_a_file_larger_than_allowed_is_refused_and_one_of_that_size_is_not(opened):
    github = opened()
    assert github.file("main.tf", "main", max_bytes=7) == b"# base\n"
    with pytest.raises(PortFailed):
        github.file("main.tf", "main", max_bytes=6)


@pytest.mark.parametrize(
    ("person", "permission"),
    [
        (ENGINE, Permission.WRITE),
        (AUTHOR, Permission.ADMIN),
        (STRANGER, Permission.NONE),
        (Person(999, "nobody"), Permission.NONE),
        (Person(999, "author"), Permission.NONE),
    ],
)
def test_permissions_are_those_of_the_very_account(opened, account, person, permission):
    assert opened().permission(account(person)) is permission


def test_an_account_with_another_id_or_a_path_as_its_name_may_do_nothing(opened, kind):
    strange = Account("7", "../author") if kind == "github" else Account("../7" if kind == "bitbucket" else "", "../x")
    assert opened().permission(strange) is Permission.NONE


def test_a_comment_is_written_read_edited_and_found(opened, project, account):
    github = opened()
    written = github.create_comment(1, f"{MARKER}\nqueued")
    assert (written.author, written.edited) == (account(ENGINE), False)
    assert github.comment(1, written.id) == written == github.find_comment(1, MARKER)
    edited = github.edit_comment(1, written.id, f"{MARKER}\ndone")
    assert (edited.id, edited.edited) == (written.id, True)
    assert github.comment(1, written.id).body == f"{MARKER}\ndone" == project.comments(1)[0].body


def test_a_comment_belongs_to_its_pull_request(opened, project):
    project.open_pull_request(title="Second", author=AUTHOR, head_branch="change", base_branch="main")
    written = project.write_comment(2, AUTHOR, "/iac-ci apply")
    github = opened()
    assert github.comment(2, str(written.id)).body == "/iac-ci apply"
    with pytest.raises(NotFound):
        github.comment(1, str(written.id))
    with pytest.raises(NotFound):
        github.comment(1, "4711")


def test_our_marker_in_somebody_elses_comment_is_not_ours(host, opened, project):
    project.write_comment(1, STRANGER, f"{MARKER}\nforged")
    github = opened()
    assert github.find_comment(1, MARKER) is None
    ours = github.create_comment(1, f"{MARKER}\ntrue")
    assert github.find_comment(1, MARKER) == ours
    theirs = opened("stranger-token").find_comment(1, MARKER)
    assert theirs is not None
    assert theirs.body == f"{MARKER}\nforged"


def test_a_comment_that_only_quotes_the_marker_is_not_found(opened, project):
    project.write_comment(1, ENGINE, f"> {MARKER}\nquoted")
    assert opened().find_comment(1, MARKER) is None


def test_our_comment_is_found_beyond_the_second_page(host, opened, project):
    for number in range(220):
        project.write_comment(1, STRANGER, f"chatter {number}")
    ours = project.write_comment(1, ENGINE, MARKER)
    found = opened().find_comment(1, MARKER)
    assert found is not None
    assert found.id == str(ours.id)
    assert len([line for line in asked(host) if "/comments?" in line or "/notes?" in line]) == 3


def test_the_longest_comment_is_taken_and_a_longer_one_refused(opened):
    github = opened()
    longest = "🚀" * github.max_comment_chars
    assert github.create_comment(1, longest).body == longest
    with pytest.raises(PortFailed) as refused:
        github.create_comment(1, longest + "x")
    assert not refused.value.retry_is_safe


def test_statuses_are_set_and_the_later_counts(host, opened, project):
    github, sha = opened(), project.repository.head("change")
    for state in (CommitState.PENDING, CommitState.SUCCESS):
        github.set_status(CommitStatus(sha, "iac-ci/plan", state, "3 orders"), url="https://example.com/run")
    github.set_status(CommitStatus(sha, "iac-ci/apply", CommitState.FAILURE, "no"))
    told = {status.context: status.state for status in project.statuses(sha)}
    assert told == {"iac-ci/plan": "success", "iac-ci/apply": "failure"}
    links = {status.context: status.target_url for status in project.statuses(sha)}
    # Bitbucket requires a link.
    page = f"{host.repository}/commits/{sha}" if host.shape.kind == "bitbucket" else None
    assert links == {"iac-ci/plan": "https://example.com/run", "iac-ci/apply": page}


def test_a_description_with_an_emoji_keeps_no_status_from_being_set(host, opened, project):
    sha, text = project.repository.head("change"), "3 commits behind größe-🚀"
    opened().set_status(CommitStatus(sha, "iac-ci/plan", CommitState.SUCCESS, text))
    (status,) = project.statuses(sha)
    assert status.description == (text.replace("🚀", "\ufffd") if host.shape.kind == "github" else text)


def test_a_status_that_cannot_be_set_is_told(opened):
    with pytest.raises(PortFailed) as refused:
        opened().set_status(CommitStatus("a" * 40, "iac-ci", CommitState.SUCCESS, ""))
    assert re.search("No commit found|HTTP 404", refused.value.message)


def test_what_has_not_changed_is_not_sent_twice(host, opened, project):
    # The host's answer changes with time: when it has tried to merge.
    moment = project.now()
    project.now = lambda: moment
    github = opened()
    first = github.pull_request(1)
    count = len(host.recorded)
    assert github.pull_request(1) == first
    assert {exchange.answer.status for exchange in host.recorded[count:]} == {304}
    project.repository.commit("change", {"more.tf": b"1"}, "more")
    assert github.pull_request(1).head_sha == project.repository.head("change")
    assert [exchange.answer.status for exchange in host.recorded[: 2 * count + 1]] == [200] * count + [304] * count + [
        200
    ]


def test_a_used_up_limit_is_waited_for(host, opened, waits):
    reset = int(time.time()) + 60
    host.fail_next(
        403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}, message="API rate limit exceeded"
    )
    assert opened().pull_request(1).number == 1
    assert len(waits) == 1
    assert 0 <= waits[0] <= 62


def test_a_secondary_limit_names_its_time(host, opened, waits):
    host.fail_next(403, {"Retry-After": "7"}, message="You have exceeded a secondary rate limit")
    host.fail_next(429, {"Retry-After": "3"})
    assert opened().pull_request(1).number == 1
    assert [int(wait) // 3 for wait in waits] == [2, 1]


def test_a_limit_that_lasts_longer_than_there_is_time_is_told_with_its_end(host, opened, waits):
    host.fail_next(429, {"Retry-After": "600"})
    with pytest.raises(Throttled) as throttled:
        opened().pull_request(1)
    assert (throttled.value.retry_after, waits) == (600, [])


def test_a_refusal_that_is_no_limit_is_not_waited_for(host, opened, waits):
    host.fail_next(403, message="Resource not accessible by integration")
    with pytest.raises(PortFailed) as refused:
        opened().pull_request(1)
    assert "Resource not accessible" in refused.value.message
    assert (refused.value.retry_is_safe, waits, len(host.recorded)) == (False, [], 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failing_host_is_asked_again_and_not_for_ever(host, opened, waits, status):
    github = opened()
    host.fail_next(status, times=2)
    assert github.pull_request(1).number == 1
    host.fail_next(status, times=9)
    before = len(host.recorded)
    with pytest.raises(PortFailed) as failed:
        github.changed_files(1)
    assert failed.value.retry_is_safe
    assert len(host.recorded) - before == 4


def test_an_answer_that_breaks_off_is_asked_for_again(host, opened, waits):
    host.cut_next(times=2)
    assert opened().changed_files(1).complete


@pytest.mark.parametrize("how", ["cut", "502"])
def test_a_comment_that_may_have_been_taken_is_not_written_twice(host, opened, project, waits, how):
    if how == "cut":
        host.cut_next()
    else:
        host.fail_next(502)
    with pytest.raises(PortFailed):
        opened().create_comment(1, "once")
    assert len(project.comments(1)) == (1 if how == "cut" else 0)
    assert len(host.recorded) == 1


def test_a_comment_that_a_limit_refused_is_written_after_the_wait(host, opened, project, waits):
    host.fail_next(403, {"Retry-After": "1"}, message="You have exceeded a secondary rate limit")
    opened().create_comment(1, "once")
    assert [comment.body for comment in project.comments(1)] == ["once"]


def test_an_edit_and_a_status_are_repeated_without_harm(host, opened, project, waits):
    written = project.write_comment(1, ENGINE, "before")
    sha, github = project.repository.head("change"), opened()
    host.cut_next()
    assert github.edit_comment(1, str(written.id), "after").body == "after"
    host.cut_next()
    github.set_status(CommitStatus(sha, "iac-ci", CommitState.SUCCESS, ""))
    assert [status.state for status in project.statuses(sha)] == ["success"]


def test_a_host_that_does_not_answer_costs_no_more_than_the_time_given(host, opened, waits):
    host.hold_next(times=9)
    with pytest.raises(PortFailed) as failed:
        opened(seconds=0.3).pull_request(1)
    assert failed.value.retry_is_safe


def test_a_token_that_is_refused_is_told_and_not_shown(opened):
    with pytest.raises(PortFailed) as refused:
        opened("planted-token").pull_request(1)
    assert re.search("Bad credentials|401 Unauthorized|Token is invalid", refused.value.message)
    assert "planted" not in str(refused.value)


def test_a_token_stands_in_no_address(host, opened):
    clone = opened().clone()
    user = {"github": "x-access-token", "gitlab": "oauth2", "bitbucket": "x-token-auth"}[host.shape.kind]
    assert (clone.url, clone.git_token) == (f"{host.repository}.git", f"{user}:engine-token")
    assert "engine-token" not in clone.url + repr(clone)


@pytest.mark.parametrize("kind", ["gitlab"])
def test_a_status_is_a_job_of_the_commits_pipeline(host, opened, project):
    gitlab, sha = opened(), project.repository.head("change")
    project.pipelines[sha] = 77
    gitlab.set_status(CommitStatus(sha, "iac-ci/plan", CommitState.PENDING, "queued"))
    gitlab.set_status(CommitStatus(sha, "iac-ci/plan", CommitState.PENDING, "queued still"))
    gitlab.set_status(CommitStatus(sha, "iac-ci/plan", CommitState.SUCCESS, "3 orders"))
    (row,) = project.rows(sha)
    assert (row.state, row.ref, row.pipeline) == ("success", "change", 77)


@pytest.mark.parametrize("kind", ["gitlab"])
def test_a_status_without_a_pipeline_names_the_branch(host, opened, project, waits):
    gitlab, sha = opened(), project.repository.head("change")
    gitlab.pull_request(1)
    gitlab.set_status(CommitStatus(sha, "iac-ci/plan", CommitState.PENDING, "queued"))
    assert json.loads(host.recorded[-1].request.body)["ref"] == "change"
    assert sum(waits) <= 3


@pytest.mark.parametrize("kind", ["gitlab"])
def test_an_open_status_of_an_older_token_is_told(opened, project):
    sha = project.repository.head("change")
    opened("author-token").set_status(CommitStatus(sha, "iac-ci/plan", CommitState.PENDING, "queued"))
    with pytest.raises(PortFailed, match="author has an open status iac-ci/plan"):
        opened().set_status(CommitStatus(sha, "iac-ci/plan", CommitState.SUCCESS, "3 orders"))


@pytest.mark.parametrize("kind", ["gitlab"])
def test_two_statuses_at_once_are_set_one_after_the_other(host, opened, project, waits):
    host.fail_next(404)
    host.fail_next(409, message="another status of the commit is being set", times=2)
    opened().set_status(CommitStatus(project.repository.head("change"), "iac-ci", CommitState.PENDING, ""))
    assert len(project.rows(project.repository.head("change"))) == 1


@pytest.mark.parametrize("kind", ["bitbucket"])
def test_an_access_token_that_may_not_ask_who_it_is_finds_its_own_comments(opened, project, account):
    project.may_ask_about_people = False
    project.write_comment(1, STRANGER, f"{MARKER}\nforged")
    first = opened()
    assert first.me() is None
    assert first.find_comment(1, MARKER) is None
    ours = first.create_comment(1, f"{MARKER}\ntrue")
    assert first.me() == account(ENGINE)
    later = opened()
    found = later.find_comment(1, MARKER)
    assert (found.id, found.body) == (ours.id, f"{MARKER}\ntrue")
    assert later.me() == account(ENGINE)


@pytest.mark.parametrize("kind", ["bitbucket"])
@pytest.mark.parametrize("person", [AUTHOR, STRANGER])
def test_an_access_token_that_may_not_ask_about_others_knows_no_permission(opened, project, account, person):
    project.may_ask_about_people = False
    assert opened().permission(account(person)) is Permission.UNKNOWN


@pytest.mark.parametrize("kind", ["bitbucket"])
def test_the_head_of_a_fork_is_read_from_the_fork(opened, project):
    project.repository.commit("theirs", {"main.tf": b"# theirs\n"}, "theirs", start="main")
    project.open_pull_request(
        title="From a fork", author=STRANGER, head_branch="theirs", base_branch="main", fork="stranger/pets"
    )
    assert opened().pull_request(2).head_sha == project.repository.head("theirs")


@pytest.mark.parametrize("kind", ["gitlab"])
def test_a_line_that_begins_with_a_slash_is_a_quick_action(opened, project):
    """The engine's renderer keeps such lines out of its comments."""
    opened().create_comment(1, "text\n/close\n")
    assert not project.pull_request(1).is_open
