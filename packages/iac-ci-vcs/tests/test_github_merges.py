"""Which of GitHub's refusals to merge are asked for again."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from iac_ci_vcs import http_session
from iac_ci_vcs.github_merges import GitHubMerges


def answer(status, message=""):
    return SimpleNamespace(status_code=status, json=lambda: {"message": message})


@pytest.mark.parametrize(
    ("message", "requests"),
    [
        ("Merge already in progress", 2),
        ("2 of 3 required status checks are expected.", 2),
        ("Changes must be made through a merge queue", 1),
    ],
)
def test_a_refusal_that_may_pass_is_asked_for_again(monkeypatch, message, requests):
    monkeypatch.setattr(http_session, "pause", lambda seconds: None)
    answers, sent = [answer(405, message), answer(200)], []

    def send(method, url, **arguments):
        sent.append(arguments["json"]["sha"])
        return answers.pop(0)

    session = SimpleNamespace(doing=lambda subject: nullcontext(), good=lambda response, subject: response)
    refusal = GitHubMerges(session, "https://api.example/repos/o/r", send, dict).merge(7, "a" * 40)
    assert sent == ["a" * 40] * requests
    assert (refusal is None) is (requests == 2)
