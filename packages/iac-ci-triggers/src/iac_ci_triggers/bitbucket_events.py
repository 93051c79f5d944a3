"""Bitbucket Cloud's events (Atlassian Support, "Event payloads")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_triggers.event import EventKind, Ignored
from iac_ci_triggers.payload import Payload
from iac_ci_vcs.provider import GHOST

if TYPE_CHECKING:
    from collections.abc import Mapping

_STARTS: Final = frozenset({"pullrequest:created", "pullrequest:updated", "pullrequest:push"})
_ENDS: Final = frozenset({"pullrequest:fulfilled", "pullrequest:rejected"})


_MOST_BRANCHES: Final = 100
"""Most branches of one push: an event of 256 KB, the longest that Bitbucket sends, has room for no more."""


def read(headers: Mapping[str, str], payload: Payload) -> dict[str, Any] | list[dict[str, Any]] | Ignored:
    """Return the fields of the event, of each branch of a push, or the reason why it starts nothing."""
    name = headers.get("x-event-key", "")
    if name in _STARTS | _ENDS:
        # An update may only change the title: then the commit is the same, and the ledger prevents a second start.
        return {
            "kind": EventKind.CLOSED if name in _ENDS else EventKind.PULL_REQUEST,
            "number": payload.get("pullrequest.id", int),
            "head": payload.find("pullrequest.source.commit.hash", str) or None,
            "base_branch": payload.find("pullrequest.destination.branch.name", str) or None,
            "updated_at": payload.moment("pullrequest.updated_on"),
            "actor": _actor(payload),
        }
    if name == "pullrequest:comment_created":
        return {
            "kind": EventKind.COMMENT,
            "number": payload.get("pullrequest.id", int),
            "comment_id": str(payload.get("comment.id", int)),
            "comment": payload.text("comment.content.raw"),
            "head": payload.find("pullrequest.source.commit.hash", str) or None,
            "actor": _actor(payload),
        }
    if name == "repo:push":
        return _push(payload)
    return Ignored(f"{name[:80]} events start nothing")


def repository(payload: Payload) -> str | None:
    """Return the URL of the payload's repository."""
    return payload.find("repository.links.html.href", str)


def _actor(payload: Payload) -> dict[str, str]:
    """Return the account by its UUID; an app's has no nickname, a push by a key may have none, and a team's no UUID."""
    if payload.find("actor", object) is None:
        return {"id": GHOST.id, "login": GHOST.login}
    name = payload.find("actor.nickname", str) or payload.find("actor.display_name", str) or "unknown"
    has_id = payload.find("actor.uuid", object) is not None
    return {"id": payload.get("actor.uuid", str) if has_id else "", "login": name}


def _push(payload: Payload) -> list[dict[str, Any]] | Ignored:
    """Return the pushed branches: one request has all that were pushed together."""
    changes = [Payload(change) for change in payload.get("push.changes", list)]
    pushed = {change.get("new.name", str): change for change in changes if change.find("new.type", str) == "branch"}
    if not pushed:
        return Ignored("a push that is not to a branch, or deletes one, starts nothing")
    if len(pushed) > _MOST_BRANCHES:
        return Ignored(f"a push of more than {_MOST_BRANCHES} branches starts nothing; push fewer at a time")
    actor = _actor(payload)
    return [
        {
            "kind": EventKind.PUSH,
            "branch": branch,
            "sha": change.commit("new.target.hash"),
            "before": change.commit("old.target.hash"),
            "actor": actor,
        }
        for branch, change in pushed.items()
    ]
