"""GitLab's events (GitLab Docs, "Webhook events")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iac_ci_triggers.event import EventKind, Ignored
from iac_ci_vcs.provider import GHOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_triggers.payload import Payload

_STARTS: Final = frozenset({"open", "reopen"})
_ENDS: Final = frozenset({"close", "merge"})

_DRAFT: Final = re.compile(r"\s*(?:\[(?:draft|wip)\]|\(draft\)|(?:draft|wip):|draft\b\s*-)", re.IGNORECASE)
"""Beginnings of a draft's title, of all versions (GitLab Docs, "Draft merge requests")."""


def read(headers: Mapping[str, str], payload: Payload) -> dict[str, Any] | Ignored:
    """Return the event's fields, or the reason why it starts nothing."""
    name = headers.get("x-gitlab-event", "")
    kind = payload.find("object_kind", str)
    if kind == "merge_request":
        return _merge_request(payload)
    if kind == "note":
        return _note(payload)
    if kind == "push":
        return _push(payload)
    return Ignored(f"{name[:80]} events start nothing")


def repository(payload: Payload) -> str | None:
    """Return the URL of the payload's project."""
    return payload.find("project.web_url", str)


def _actor(payload: Payload) -> dict[str, str]:
    return payload.account("user", "id", "username")


def _merge_request(payload: Payload) -> dict[str, Any] | Ignored:
    action = payload.find("object_attributes.action", str) or "unknown"
    if action in _ENDS:
        kind = EventKind.CLOSED
    elif action in _STARTS or (action == "update" and _is_relevant_update(payload)):
        kind = EventKind.PULL_REQUEST
    else:
        return Ignored(f"a merge request's {action[:80]} without new commits starts nothing")
    return {
        "kind": kind,
        "number": payload.get("object_attributes.iid", int),
        "reopened": action == "reopen",
        "sha": payload.commit("object_attributes.last_commit.id"),
        "head": payload.commit("object_attributes.last_commit.id"),
        "before": payload.commit("object_attributes.oldrev"),
        "base_branch": payload.find("object_attributes.target_branch", str) or None,
        "updated_at": payload.moment("object_attributes.updated_at"),
        "actor": _actor(payload),
    }


def _is_relevant_update(payload: Payload) -> bool:
    """Return whether an update has new commits (then it has ``oldrev``), another target branch or labels, or no draft.

    Some versions announce another target branch with a changed ``merge_status`` only. The ledger prevents a second
    start.
    """
    return (
        payload.find("object_attributes.oldrev", str) is not None
        or payload.find("changes.target_branch", dict) is not None
        or payload.find("changes.merge_status", dict) is not None
        or payload.find("changes.labels", dict) is not None
        or payload.find("changes.draft.current", bool) is False
        or _is_no_draft_any_more(payload)
    )


def _is_no_draft_any_more(payload: Payload) -> bool:
    """Return whether the title has lost the mark of a draft, which is all that older versions tell."""
    before, after = (payload.find(f"changes.title.{name}", str) or "" for name in ("previous", "current"))
    return _DRAFT.match(before) is not None and _DRAFT.match(after) is None


def _note(payload: Payload) -> dict[str, Any] | Ignored:
    if payload.get("object_attributes.noteable_type", str) != "MergeRequest":
        return Ignored("a comment that is not on a merge request starts nothing")
    if payload.find("object_attributes.system", object):
        return Ignored("GitLab's own notes start nothing")
    if payload.find("object_attributes.action", object) is not None:
        is_new = payload.get("object_attributes.action", str) == "create"
    else:
        # Older versions have no action; an edited comment has a later time of update.
        created = payload.get("object_attributes.created_at", str)
        is_new = created == payload.get("object_attributes.updated_at", str)
    if not is_new:
        return Ignored("an edited comment starts nothing; write a new one")
    return {
        "kind": EventKind.COMMENT,
        "number": payload.get("merge_request.iid", int),
        "sha": payload.commit("merge_request.last_commit.id"),
        "head": payload.commit("merge_request.last_commit.id"),
        "comment_id": str(payload.get("object_attributes.id", int)),
        "comment": payload.text("object_attributes.note"),
        "actor": _actor(payload),
    }


def _push(payload: Payload) -> dict[str, Any] | Ignored:
    reference = payload.get("ref", str)
    if not reference.startswith("refs/heads/"):
        return Ignored("a push that is not to a branch starts nothing")
    sha = payload.commit("after")
    if sha is None:
        return Ignored("a deleted branch starts nothing")
    return {
        "kind": EventKind.PUSH,
        "branch": reference.removeprefix("refs/heads/"),
        "sha": sha,
        "before": payload.commit("before"),
        "actor": _pusher(payload),
    }


def _pusher(payload: Payload) -> dict[str, str]:
    """Return the account of a push; one by a key without a person, or of an account that was deleted, has none."""
    number = None if payload.find("user_id", object) is None else payload.get("user_id", int)
    login = payload.find("user_username", str) or payload.find("user_name", str) or GHOST.login
    return {"id": "" if number is None else str(number), "login": login}
