"""What counts as a reason that the pull request of the local cloud starts no run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from iac_ci_local.pull_request import OpenedPullRequest


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (None, "no answer: TimeoutError", None),
        (None, "no answer: ConnectionRefusedError", "the webhook answered nothing: no answer: ConnectionRefusedError"),
        (401, "not authentic", "the webhook answered 401: not authentic"),
        (202, "", None),
    ],
)
def test_a_webhook_that_is_answered_late_is_no_refusal(status, answer, reason):
    repository = SimpleNamespace(head=lambda branch: "a" * 40)
    project = SimpleNamespace(comments=lambda number: [], statuses=lambda head: [], repository=repository)
    done = [SimpleNamespace(status=status, answer=answer)]
    demo = SimpleNamespace(deliveries=SimpleNamespace(done=done), project=project)
    assert OpenedPullRequest(None, demo)._refusal() == reason
