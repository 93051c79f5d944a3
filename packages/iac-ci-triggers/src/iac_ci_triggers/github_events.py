"""GitHub's events (GitHub Docs, "Webhook events and payloads")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_triggers.event import EventKind, Ignored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_triggers.payload import Payload

_STARTS: Final = frozenset({"opened", "reopened", "synchronize", "ready_for_review", "labeled", "unlabeled"})

_QUEUE: Final = "refs/heads/gh-readonly-queue/"
"""Beginning of the branches that GitHub's merge queue makes."""

_MOST_COMMITS: Final = 2048
"""Most commits that GitHub sends for one push."""


def read(headers: Mapping[str, str], payload: Payload) -> dict[str, Any] | Ignored:
    """Return the event's fields, or the reason why it starts nothing."""
    name = headers.get("x-github-event", "")
    if name == "ping":
        return Ignored("pong: the webhook works")
    if name == "pull_request":
        return _pull_request(payload)
    if name == "issue_comment":
        return _comment(payload)
    if name == "push":
        return _push(payload)
    if name == "merge_group":
        return _merge_group(payload)
    return Ignored(f"{name[:80]} events start nothing")


def repository(payload: Payload) -> str | None:
    """Return the URL of the payload's repository."""
    return payload.find("repository.html_url", str)


def _actor(payload: Payload) -> dict[str, str]:
    return payload.account("sender", "id", "login")


def _pull_request(payload: Payload) -> dict[str, Any] | Ignored:
    action = payload.get("action", str)
    has_new_base = action == "edited" and payload.find("changes.base", dict) is not None
    if action == "closed":
        kind = EventKind.CLOSED
    elif action in _STARTS or has_new_base:
        kind = EventKind.PULL_REQUEST
    else:
        return Ignored(f"a pull request that is {action[:80]} starts nothing")
    return {
        "kind": kind,
        "number": payload.get("pull_request.number", int),
        "reopened": action == "reopened",
        "sha": payload.commit("pull_request.head.sha"),
        "head": payload.commit("pull_request.head.sha"),
        "before": payload.commit("before"),
        "base_branch": payload.find("pull_request.base.ref", str) or None,
        "updated_at": payload.moment("pull_request.updated_at"),
        "actor": _actor(payload),
    }


def _merge_group(payload: Payload) -> dict[str, Any] | Ignored:
    """Return the queue's commit; its branch's name has the base branch, and the event has it too."""
    action = payload.get("action", str)
    if action != "checks_requested":
        return Ignored(f"a merge group that is {action[:80]} starts nothing")
    head, base = (payload.get(f"merge_group.{name}_ref", str) for name in ("head", "base"))
    if not head.startswith(_QUEUE) or not base.startswith("refs/heads/"):
        return Ignored("the merge group names no branch of a merge queue")
    return {
        "kind": EventKind.MERGE_GROUP,
        "branch": head.removeprefix("refs/heads/"),
        "base_branch": base.removeprefix("refs/heads/"),
        "sha": payload.commit("merge_group.head_sha"),
        "actor": _actor(payload),
    }


def _comment(payload: Payload) -> dict[str, Any] | Ignored:
    action = payload.get("action", str)
    if action != "created":
        return Ignored(f"a comment that is {action[:80]} starts nothing; write a new one")
    if payload.find("issue.pull_request", dict) is None:
        return Ignored("a comment on an issue starts nothing")
    return {
        "kind": EventKind.COMMENT,
        "number": payload.get("issue.number", int),
        "comment_id": str(payload.get("comment.id", int)),
        "comment": payload.text("comment.body"),
        "actor": _actor(payload),
    }


def _push(payload: Payload) -> dict[str, Any] | Ignored:
    reference = payload.get("ref", str)
    if not reference.startswith("refs/heads/"):
        return Ignored("a push that is not to a branch starts nothing")
    sha = payload.commit("after")
    if sha is None or payload.find("deleted", bool):
        return Ignored("a deleted branch starts nothing")
    commits = payload.find("commits", list) or []
    return {
        "kind": EventKind.PUSH,
        "branch": reference.removeprefix("refs/heads/"),
        "sha": sha,
        "before": payload.commit("before"),
        "changed": payload.pushed_paths(len(commits) if len(commits) < _MOST_COMMITS else None),
        "actor": _actor(payload),
    }
