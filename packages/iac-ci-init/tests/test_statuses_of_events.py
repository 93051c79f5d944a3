"""Which statuses events and comments set on a commit, without a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iac_ci_vcs.provider import ChangedFile, ChangeKind, CommitState

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import BASE, CONFIGURATION, HEAD, STRANGER, Hosted

README = ChangedFile("README.md", ChangeKind.MODIFIED)
OWN_FILE = ChangedFile(".iac-ci.yml", ChangeKind.MODIFIED)
VALID, FAILED, OPEN = CommitState.SUCCESS, CommitState.FAILURE, CommitState.PENDING
BROKEN = b"version: 1\njobs:\n  plan:\n    on: {command: plan}\n    order: []\n"


@pytest.fixture
def hosted():
    return Hosted()


def touch(hosted, *files):
    hosted.host.changes[7] = files


@pytest.mark.parametrize("files", [(README,), (README, OWN_FILE)])
def test_a_job_whose_paths_are_untouched_has_nothing_to_plan(hosted, files):
    hosted.host.files[".iac-ci.yml", HEAD] = CONFIGURATION
    touch(hosted, *files)
    hosted.pull_request()
    status = hosted.statuses["iac-ci/plan"]
    assert (status.state, status.commit) == (VALID, HEAD)
    assert status.description.startswith("nothing to plan: ")


def test_the_jobs_of_an_outside_contributor_may_have_nothing_to_plan(hosted):
    hosted.change(is_fork=True, author=STRANGER)
    touch(hosted, README)
    hosted.pull_request()
    assert {name: status.state for name, status in hosted.statuses.items()} == {
        "iac-ci/configuration": VALID,
        "iac-ci/plan": VALID,
    }


def test_an_empty_list_of_changes_is_not_known_yet_and_never_nothing(hosted):
    touch(hosted)
    hosted.pull_request()
    assert len(hosted.jobs) == 1
    assert "iac-ci/plan" not in hosted.statuses


def test_a_cut_list_of_changes_is_never_nothing(hosted, monkeypatch):
    from iac_ci_vcs.provider import ChangedFiles

    monkeypatch.setattr(hosted.host, "changed_files", lambda number: ChangedFiles((README,), complete=False))
    hosted.pull_request()
    assert len(hosted.jobs) == 1
    assert "iac-ci/plan" not in hosted.statuses


def test_a_job_of_another_base_branch_has_no_status(hosted):
    hosted.configure(CONFIGURATION.replace(b'paths: ["infra/**"]', b"branches: [release]"))
    hosted.pull_request()
    assert "iac-ci/plan" not in hosted.statuses


@pytest.mark.parametrize(
    ("on_main", "on_head", "state", "text"),
    [
        (CONFIGURATION, None, VALID, ".iac-ci.yml has no problems"),
        (CONFIGURATION, CONFIGURATION, VALID, "this pull request's .iac-ci.yml has no problems"),
        (CONFIGURATION, BROKEN, FAILED, "this pull request's .iac-ci.yml has 2 problems"),
        (CONFIGURATION, b"version: 2\n", FAILED, "this pull request's .iac-ci.yml has 2 problems"),
        (BROKEN, None, FAILED, ".iac-ci.yml on main has 2 problems"),
        (BROKEN, CONFIGURATION, FAILED, ".iac-ci.yml on main has 2 problems"),
        (None, CONFIGURATION, VALID, "this pull request's .iac-ci.yml has no problems"),
        (None, BROKEN, FAILED, "this pull request's .iac-ci.yml has 2 problems"),
    ],
)
def test_a_configuration_with_problems_fails_a_status_of_its_own(hosted, on_main, on_head, state, text):
    hosted.host.files.clear()
    if on_main is not None:
        hosted.host.files[".iac-ci.yml", BASE] = on_main
    if on_head is not None:
        hosted.host.files[".iac-ci.yml", HEAD] = on_head
        touch(hosted, OWN_FILE, README)
    hosted.pull_request()
    status = hosted.statuses["iac-ci/configuration"]
    assert (status.state, status.description, status.commit) == (state, text, HEAD)


def test_without_any_configuration_no_status_is_set(hosted):
    hosted.host.files.clear()
    hosted.pull_request()
    assert hosted.statuses == {}


def test_a_push_with_a_broken_configuration_fails_the_status(hosted):
    hosted.configure(BROKEN, "main", HEAD)
    hosted.push()
    assert hosted.statuses["iac-ci/configuration"].state is FAILED


@pytest.mark.parametrize(
    "text",
    [
        "/iac-ci apply nowhere",
        "/iac-ci aply",
        "/iac-ci apply ../etc",
        "/iac-ci help",
        "/iac-ci cancel",
        "/iac-ci unlock",
        "/iac-ci rerun-failed",
        f"/iac-ci approve {'c' * 40}",
    ],
)
@pytest.mark.parametrize("author_may_write", [True, False])
def test_an_answer_to_a_comment_sets_no_status(hosted, text, author_may_write):
    if not author_may_write:
        hosted.change(author=STRANGER, is_fork=True)
    hosted.comment(text)
    assert hosted.notice is not None
    assert hosted.host.statuses == []


def test_a_command_that_the_stack_refuses_is_answered_and_sets_no_status(hosted):
    hosted.configure(CONFIGURATION.replace(b"ssm:/iac-ci/jobs/one", b"ssm:/somebody/elses"))
    hosted.comment("/iac-ci plan")
    assert "could not start" in hosted.notice
    assert hosted.host.statuses == []


def test_a_command_under_a_broken_configuration_is_answered_and_sets_no_status(hosted):
    hosted.configure(BROKEN)
    hosted.comment("/iac-ci plan")
    assert "line 5" in hosted.notice
    assert hosted.host.statuses == []


def test_an_approval_ends_the_status_that_waits_for_it(hosted):
    hosted.change(is_fork=True)
    hosted.pull_request()
    assert hosted.statuses["iac-ci"].state is OPEN
    hosted.comment(f"/iac-ci approve {HEAD}")
    assert hosted.statuses["iac-ci"].state is VALID
