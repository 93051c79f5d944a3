"""The contract of merges: each provider that merges one commit and no other, against a server like its host.

The refusals are those that users of the hosts report.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common.errors import PortFailed
from iac_ci_local.fake_hosts.activity import Activity
from iac_ci_local.fake_hosts.failures import Failure, FailureKind
from iac_ci_vcs import gitlab, http_session
from iac_ci_vcs.provider import CanMerge, CommitState, CommitStatus

HOSTS = ("github", "gitlab")


@pytest.fixture(params=HOSTS)
def kind(request):
    return request.param


@pytest.fixture
def head(project, waits):
    # GitLab checks whether a merge request merges when it is asked for it.
    project.merge_seconds = 0
    return project.repository.head("change")


def heads_asked(project):
    return project.merging.asked


def test_the_named_commit_is_merged(opened, project, head):
    assert opened().merging().merge(1, head) is None
    pull = project.pull_request(1)
    assert (pull.is_merged, pull.merged_head) == (True, head)
    assert opened().pull_request(1).is_merged


def test_a_newer_commit_is_not_merged(opened, project, head):
    project.push(1, {"main.tf": b"# not applied\n"}, "later")
    refusal = opened().merging().merge(1, head)
    assert "409" in (refusal or "")
    assert heads_asked(project) == [head]
    assert project.pull_request(1).is_open


def test_a_second_merge_is_refused_and_changes_nothing(opened, project, head):
    assert opened().merging().merge(1, head) is None
    before = project.repository.head("main")
    assert "405" in (opened().merging().merge(1, head) or "")
    assert project.repository.head("main") == before


def test_a_draft_and_a_closed_one_are_refused(opened, project, head):
    project.change(1, is_draft=True)
    assert "405" in (opened().merging().merge(1, head) or "")
    project.change(1, is_draft=False, is_open=False)
    assert "405" in (opened().merging().merge(1, head) or "")
    assert not project.pull_request(1).is_merged


def test_a_conflict_is_refused(opened, project, head):
    project.repository.commit("main", {"main.tf": b"# another\n"}, "other")
    assert opened().merging().merge(1, head) is not None
    assert not project.pull_request(1).is_merged


def test_a_token_that_may_not_merge_is_told_and_not_asked_again(opened, project, head):
    project.merging.may_merge = False
    refusal = opened().merging().merge(1, head)
    assert "the token may not merge" in (refusal or "")
    assert len(heads_asked(project)) == 1


def test_a_queue_is_never_overtaken(opened, project, head):
    project.merging.has_queue = True
    refusal = opened().merging().merge(1, head)
    assert any(word in (refusal or "") for word in ("merge queue", "merge trains"))
    assert project.pull_request(1).is_open


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_host_that_fails_is_asked_again(opened, project, head, status):
    project.merging.refusals = [(status, "oops")] * 2
    assert opened().merging().merge(1, head) is None
    assert project.pull_request(1).is_merged


def test_a_host_that_goes_on_failing_may_be_asked_later(opened, project, head):
    project.merging.refusals = [(502, "oops")] * 10
    with pytest.raises(PortFailed) as failed:
        opened().merging().merge(1, head)
    assert failed.value.retry_is_safe


def test_a_merge_whose_answer_is_lost_is_found(host, opened, project, head):
    """The repetition is refused, and the pull request itself says that it is merged."""
    one = opened()
    one.pull_request(1)
    host.failures.plan(Failure(FailureKind.CUT), 1)
    refusal = one.merging().merge(1, head)
    assert refusal is None or "405" in refusal
    assert one.pull_request(1).is_merged


@pytest.mark.parametrize("kind", ["github"])
@pytest.mark.parametrize("allowed", ["squash", "rebase"])
def test_the_method_is_one_that_the_repository_allows(opened, project, head, allowed):
    project.merging.methods = (allowed,)
    assert opened().merging().merge(1, head) is None
    assert project.pull_request(1).landing == allowed
    assert heads_asked(project) == [head]


@pytest.mark.parametrize("kind", ["github"])
@pytest.mark.parametrize(
    "refusal",
    [
        "Merge commits are not allowed on this repository.",
        "Repository rule violations found\n\nThis branch must not contain merge commits.\n\n",
    ],
)
def test_a_method_that_a_rule_refuses_is_followed_by_the_next(opened, project, head, refusal):
    """A repository's rules refuse methods that its settings allow."""
    project.merging.refusals = [(405, refusal)]
    assert opened().merging().merge(1, head) is None
    assert project.pull_request(1).landing == "squash"


@pytest.mark.parametrize("kind", ["github"])
def test_a_base_branch_that_moves_meanwhile_is_tried_again(opened, project, head, waits):
    project.merging.refusals = [(405, "Base branch was modified. Review and try the merge again.")] * 2
    assert opened().merging().merge(1, head) is None
    assert waits == [1.0, 2.0]
    project.merging.refusals = [(405, "Base branch was modified. Review and try the merge again.")] * 20
    with pytest.raises(PortFailed) as failed:
        opened().merging().merge(1, head)
    assert failed.value.retry_is_safe


@pytest.mark.parametrize("kind", ["github"])
def test_a_missing_check_of_others_is_told(opened, project, head, waits):
    project.book.rules.checks = ("security/scan",)
    assert 'HTTP 405: Required status check "security/scan" is expected.' in (opened().merging().merge(1, head) or "")
    assert 5 < sum(waits) < 30


@pytest.mark.parametrize("kind", ["gitlab"])
def test_a_status_that_is_not_in_the_pipeline_yet_is_waited_for(opened, project, head, monkeypatch):
    moments = [project.now()]
    project.now = lambda: moments[-1]
    for module in (http_session, gitlab):
        monkeypatch.setattr(module, "pause", lambda seconds: moments.append(moments[-1] + timedelta(seconds=seconds)))
    project.book.rules.checks, project.merging.pipeline_seconds = ("iac-ci/apply",), 4
    one = opened()
    one.set_status(CommitStatus(head, "iac-ci/apply", CommitState.SUCCESS, "applied"))
    assert one.merging().merge(1, head) is None
    assert len(heads_asked(project)) > 1


@pytest.mark.parametrize("kind", ["gitlab"])
def test_approvals_that_are_missing_are_told(opened, project, head):
    project.book.rules.approvals = 1
    assert "(not_approved)" in (opened().merging().merge(1, head) or "")


@pytest.mark.parametrize("kind", ["gitlab"])
def test_another_merge_in_progress_is_waited_for(opened, project, head, waits):
    """GitLab answers 409 for a merge request that is locked too."""
    project.merging.refusals = [(409, "Merge request is locked")] * 2
    assert opened().merging().merge(1, head) is None
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize("kind", ["bitbucket"])
def test_bitbucket_is_not_asked(opened):
    """It has no way to name the commit: a newer one would be merged."""
    assert not isinstance(opened(), CanMerge)


def test_the_host_tells_of_the_merge(host, project, opened, head):
    sent = []

    class Kept:
        def begin(self, event, payload):
            sent.append(event)
            return lambda: None

    Activity(project, host.url, Kept(), shape=type(host.shape))
    assert opened().merging().merge(1, head) is None
    assert len(sent) == 1
