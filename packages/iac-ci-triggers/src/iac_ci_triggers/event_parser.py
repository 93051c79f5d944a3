"""Parses a verified request of a code host: its body, its repository, and its event."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_triggers import bitbucket_events, github_events, gitlab_events
from iac_ci_triggers.claimed_repository import form_payload, is_repository
from iac_ci_triggers.event import EventKind, HostEvent, Ignored
from iac_ci_triggers.payload import FieldMissing, Payload
from iac_ci_triggers.verification import Sender

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOSTS: Final = {Sender.GITHUB: github_events, Sender.GITLAB: gitlab_events, Sender.BITBUCKET: bitbucket_events}

_DELIVERY_HEADERS: Final = {
    Sender.GITHUB: ("x-github-delivery",),
    # The first is signed if the webhook has a signing token. GitLab's other UUIDs identify the webhook, or the cause of
    # several events.
    Sender.GITLAB: ("webhook-id", "idempotency-key"),
    Sender.BITBUCKET: ("x-request-uuid",),
}
_DELIVERY: Final = re.compile(r"\{?([A-Za-z0-9_.:=+/-]{1,200})\}?")
_CAUSE: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


def read_payload(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON object of a body: JSON, or a form with JSON in its field ``payload`` (an option of GitHub).

    Raises ``InputProblems`` for anything else.
    """
    try:
        content = json.loads(form_payload(body, headers), object_pairs_hook=_members, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise InputProblems([Problem("body", "is neither JSON nor a form with JSON in its field payload")]) from None
    if not isinstance(content, dict):
        raise InputProblems([Problem("body", "is not a JSON object")])
    return content


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raise ``ValueError`` for a duplicate name, which parsers read differently."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("an object has a name twice")
    return content


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse_event(kind: Sender, headers: Mapping[str, str], payload: Mapping[str, Any]) -> HostEvent | Ignored:
    """Return the event of a payload of a host that sends one at a time; see ``parse_events``."""
    found = parse_events(kind, headers, payload)
    return found if isinstance(found, Ignored) else found[0]


def parse_events(
    kind: Sender, headers: Mapping[str, str], payload: Mapping[str, Any]
) -> tuple[HostEvent, ...] | Ignored:
    """Return the events of a payload: Bitbucket sends all branches of a push together.

    What cannot be parsed is ignored, with the field's name in the reason.
    """
    try:
        fields = _HOSTS[kind].read(headers, Payload(payload))
    except FieldMissing as missing:
        return Ignored(f"the event's field {missing.path} is missing or differs from the host's documentation")
    if isinstance(fields, Ignored):
        # A reason may contain text of the payload.
        return Ignored("".join(letter if letter.isprintable() else "?" for letter in fields.reason))
    repository = _HOSTS[kind].repository(Payload(payload))
    if repository is None or not is_repository(repository):
        return Ignored("the event names no repository")
    parsed = [_event(kind, repository, one) for one in (fields if isinstance(fields, list) else [fields])]
    events = tuple(one for one in parsed if isinstance(one, HostEvent))
    return events or next(one for one in parsed if isinstance(one, Ignored))


def _event(kind: Sender, repository: str, fields: Mapping[str, Any]) -> HostEvent | Ignored:
    if fields["kind"] in {EventKind.PUSH, EventKind.MERGE_GROUP} and not fields.get("sha"):
        return Ignored("the event names no commit")
    try:
        return HostEvent(host=kind, repository=repository, **fields)
    except ValidationError as error:
        names = ", ".join(sorted({".".join(map(str, entry["loc"])) for entry in error.errors(include_input=False)}))
        return Ignored(f"fields of the event differ from the host's documentation: {names}")


def delivery_id(kind: Sender, headers: Mapping[str, str]) -> str | None:
    """Return the host's id of a delivery, equal when it is sent again; None if there is none."""
    for name in _DELIVERY_HEADERS[kind]:
        match = _DELIVERY.fullmatch(headers.get(name, ""))
        if match is not None:
            return match[1]
    return None


def cause_id(kind: Sender, headers: Mapping[str, str]) -> str | None:
    """Return GitLab's id of what a person or program did, which several events may share; None if there is none.

    Versions before 17.4 have no other id that differs between two events (gitlab-org/gitlab!160952).
    """
    found = headers.get("x-gitlab-event-uuid", "") if kind is Sender.GITLAB else ""
    return found if _CAUSE.fullmatch(found) is not None else None
