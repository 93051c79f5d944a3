"""What GitHub's answers about reviews and blocked merges mean, by answers that it gives."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from iac_ci_vcs.github_reviews import GitHubCalls, GitHubReviews
from iac_ci_vcs.reviews import Mergeable

URL = "https://api.github.com/repos/acme/infra"
HEAD = "a" * 40
OWN = {"context": "iac-ci/apply", "state": "PENDING", "isRequired": True}


def status(name, state="SUCCESS", *, required=True):
    return {"context": name, "state": state, "isRequired": required}


def run(name, conclusion="SUCCESS", *, required=True):
    return {"name": name, "status": "COMPLETED", "conclusion": conclusion, "isRequired": required}


def blocked(*contexts, rules=("build", "iac-ci/apply"), threads=0, listed=None, strict=False, behind=0, **fields):
    """Return what a blocked merge means whose commit has these contexts."""
    pull = {"state": "open", "mergeable": True, "mergeable_state": "blocked", "draft": False} | fields
    pull |= {"head": {"sha": HEAD}, "base": {"ref": "release/1"}}
    parameters = {"strictRequiredStatusChecksPolicy": strict, "requiredStatusChecks": [{"context": n} for n in rules]}
    resolved = [{"isResolved": True}] * (threads if listed is None else listed)
    causes = {
        "reviewDecision": None,
        "reviewThreads": {"totalCount": threads, "nodes": resolved},
        "baseRef": {
            "branchProtectionRule": None,
            "rules": {"nodes": [{"parameters": parameters}, {"parameters": {"requiredReviewThreadResolution": True}}]},
        },
        "commits": {
            "nodes": [
                {"commit": {"statusCheckRollup": {"contexts": {"totalCount": len(contexts), "nodes": list(contexts)}}}}
            ]
        },
    }
    answers = {f"{URL}/pulls/7": pull, f"{URL}/compare/release%2F1...{HEAD}?per_page=1": {"behind_by": behind}}
    return reviews(answers, causes).mergeability(7)


def reviews(answers, causes=None):
    return GitHubReviews(
        GitHubCalls(
            root="https://api.github.com",
            repository_url=URL,
            repository="acme/infra",
            doing=lambda _: nullcontext(),
            get=lambda url, _: answers[url],
            pages=lambda url, _, **__: iter(answers[url]),
            graphql=lambda *_: {"repository": {"pullRequest": causes}},
            just_read=lambda _: None,
        )
    )


@pytest.mark.parametrize(
    "contexts", [(OWN, status("build")), (OWN, run("build")), (OWN, status("build"), run("build"))]
)
def test_the_engines_own_required_status_blocks_no_merge(contexts):
    assert blocked(*contexts).state is Mergeable.YES
    assert blocked(*contexts, threads=100).state is Mergeable.YES
    assert blocked(*contexts, strict=True).state is Mergeable.YES


@pytest.mark.parametrize(
    ("contexts", "fields", "why"),
    [
        ((status("build", "FAILURE"), run("build"), OWN), {}, "build has not passed"),
        ((run("build", "FAILURE"), status("build"), OWN), {}, "build has not passed"),
        ((status("build", required=False), OWN), {}, "build has not passed"),
        ((OWN,), {}, "build has not passed"),
        ((status("build"), OWN), {"strict": True, "behind": 1}, "up to date"),
        ((status("build"), OWN), {"draft": True}, "draft"),
    ],
    ids=["failing-status", "failing-check", "of-another-app", "never-reported", "behind", "draft"],
)
def test_what_else_blocks_a_merge_is_named(contexts, fields, why):
    found = blocked(*contexts, **fields)
    assert (found.state, why in found.reason) == (Mergeable.NO, True), found.reason


def test_conversations_that_are_not_listed_are_not_taken_for_resolved():
    assert blocked(status("build"), OWN, threads=101, listed=100).state is Mergeable.UNKNOWN


def test_the_engines_own_required_status_is_known_in_capitals_too():
    """GitHub compares the names of statuses ignoring case, also those that rules name."""
    assert blocked(OWN, status("build"), rules=("build", "IAC-CI/plan")).state is Mergeable.YES


def test_a_review_says_of_which_commit_it_is():
    review = {"state": "APPROVED", "user": {"id": 5, "login": "ann"}, "submitted_at": "2026-01-01T00:00:00Z"}
    for commit, known in ((HEAD, HEAD), (None, "")):
        answers = {f"{URL}/pulls/7/reviews": [review | {"commit_id": commit}], f"{URL}/pulls/7/commits": []}
        (approval,) = reviews(answers).approvals(7).given
        assert (approval.account.login, approval.commit) == ("ann", known)
