"""Bitbucket Cloud's events (Atlassian Support, "Event payloads")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_triggers.event import EventKind, Ignored
from iac_ci_triggers.payload import Payload
from iac_ci_vcs.provider import GHOST

if TYPE_CHECKING:
    from collections.abc import Mapping

_STARTS: Final = frozenset({"pullrequest:created", "pullrequest:updated"})
_ENDS: Final = frozenset({"pullrequest:fulfilled", "pullrequest:rejected"})


def read(headers: Mapping[str, str], payload: Payload) -> dict[str, Any] | Ignored:
    """Return the event's fields, or the reason why it starts nothing."""
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
    """Return the account by its UUID; an app's account has no nickname, and a push by a key may have no account."""
    if payload.find("actor", object) is None:
        return {"id": GHOST.id, "login": GHOST.login}
    name = payload.find("actor.nickname", str) or payload.find("actor.display_name", str) or "unknown"
    return {"id": payload.get("actor.uuid", str), "login": name}


def _push(payload: Payload) -> dict[str, Any] | Ignored:
    """Return the pushed branch; an event has only one, so a push of several branches is ignored."""
    changes = [Payload(change) for change in payload.get("push.changes", list)]
    pushed = [change for change in changes if change.find("new.type", str) == "branch"]
    if not pushed:
        return Ignored("a push that is not to a branch, or deletes one, starts nothing")
    if len(pushed) > 1:
        return Ignored("a push of several branches starts nothing; push them one by one")
    return {
        "kind": EventKind.PUSH,
        "branch": pushed[0].get("new.name", str),
        "sha": pushed[0].commit("new.target.hash"),
        "before": pushed[0].commit("old.target.hash"),
        "actor": _actor(payload),
    }
