"""Bitbucket Cloud's events (Atlassian Support, "Event payloads")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_triggers.event import EventKind, Ignored
from iac_ci_triggers.payload import Payload

if TYPE_CHECKING:
    from collections.abc import Mapping

_STARTS: Final = frozenset({"pullrequest:created", "pullrequest:updated"})
_ENDS: Final = frozenset({"pullrequest:fulfilled", "pullrequest:rejected"})


def read(headers: Mapping[str, str], payload: Payload) -> dict[str, Any] | Ignored:
    """Return the event's fields, or why it asks for nothing."""
    name = headers.get("x-event-key", "")
    if name in _STARTS | _ENDS:
        # An update may be of the title alone: then nothing has changed since, and the ledger shows it.
        return {
            "kind": EventKind.CLOSED if name in _ENDS else EventKind.PULL_REQUEST,
            "number": payload.get("pullrequest.id", int),
            "actor": _actor(payload),
        }
    if name == "pullrequest:comment_created":
        return {
            "kind": EventKind.COMMENT,
            "number": payload.get("pullrequest.id", int),
            "comment_id": str(payload.get("comment.id", int)),
            "comment": payload.find("comment.content.raw", str) or "",
            "actor": _actor(payload),
        }
    if name == "repo:push":
        return _push(payload)
    return Ignored(f"{name[:80]} events start nothing")


def repository(payload: Payload) -> str | None:
    """Return the address of the repository that the payload is about."""
    return payload.find("repository.links.html.href", str)


def _actor(payload: Payload) -> dict[str, str]:
    """Return the account by its UUID; an app's has no nickname."""
    name = payload.find("actor.nickname", str) or payload.find("actor.display_name", str) or "somebody"
    return {"id": payload.get("actor.uuid", str), "login": name}


def _push(payload: Payload) -> dict[str, Any] | Ignored:
    """Read the one branch that moved; a push of several at once is more than one event can say."""
    changes = [Payload(change) for change in payload.get("push.changes", list)]
    moved = [change for change in changes if change.find("new.type", str) == "branch"]
    if not moved:
        return Ignored("only pushes to branches start anything, and none that delete them")
    if len(moved) > 1:
        return Ignored("a push of several branches at once starts nothing: push them one by one")
    return {
        "kind": EventKind.PUSH,
        "branch": moved[0].get("new.name", str),
        "sha": moved[0].commit("new.target.hash"),
        "actor": _actor(payload),
    }
