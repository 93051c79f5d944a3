"""Reads a code host's request: its body, the repository it speaks of, and what it tells."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from pydantic import ValidationError

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_triggers import bitbucket_events, github_events, gitlab_events
from iac_ci_triggers.event import EventKind, HostEvent, Ignored
from iac_ci_triggers.payload import FieldMissing, Payload
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOSTS: Final = {Sender.GITHUB: github_events, Sender.GITLAB: gitlab_events, Sender.BITBUCKET: bitbucket_events}

_DELIVERY_HEADERS: Final = {
    Sender.GITHUB: ("x-github-delivery",),
    # The first is signed where the webhook has a signing token. GitLab's other UUIDs name the webhook, or the cause of
    # several events.
    Sender.GITLAB: ("webhook-id", "idempotency-key"),
    Sender.BITBUCKET: ("x-request-uuid",),
}
_DELIVERY: Final = re.compile(r"\{?([A-Za-z0-9_.:=+/-]{1,200})\}?")


def read_payload(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Read a body: JSON, or a form with the JSON in its field ``payload``, as GitHub sends if told to.

    Raises ``InputProblems`` where it is neither, or no object.
    """
    try:
        text = body.decode("utf-8")
        if headers.get("content-type", "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            fields = parse_qs(text, strict_parsing=True, max_num_fields=8).get("payload", [])
            text = fields[0] if len(fields) == 1 else ""
        content = json.loads(text, object_pairs_hook=_members, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise InputProblems([Problem("body", "is no JSON, and no form with JSON in its field payload")]) from None
    if not isinstance(content, dict):
        raise InputProblems([Problem("body", "is no JSON object")])
    return content


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that comes twice: two readers could take it for two different things."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name comes twice in one object")
    return content


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def claimed_repository(kind: Sender, payload: Mapping[str, Any]) -> str | None:
    """Return the address of the repository that a payload names; None where it names none."""
    named = _HOSTS[kind].repository(Payload(payload))
    is_one = named is not None and named.startswith("https://") and parse_address(named) is not None
    return named if is_one else None


def parse_event(kind: Sender, headers: Mapping[str, str], payload: Mapping[str, Any]) -> HostEvent | Ignored:
    """Return what a payload tells; what cannot be understood asks for nothing, and the reason names the field."""
    try:
        fields = _HOSTS[kind].read(headers, Payload(payload))
    except FieldMissing as missing:
        return Ignored(f"the event's field {missing.path} is missing, or is not what this host documents")
    if isinstance(fields, Ignored):
        # A reason may repeat the payload's own words.
        return Ignored("".join(letter if letter.isprintable() else "?" for letter in fields.reason))
    repository = claimed_repository(kind, payload)
    if repository is None:
        return Ignored("the event names no repository")
    if fields["kind"] is EventKind.PUSH and not fields.get("sha"):
        return Ignored("the event names no commit")
    try:
        return HostEvent(host=kind, repository=repository, **fields)
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, said["loc"])) for said in error.errors(include_input=False)}))
        return Ignored(f"the event's {wrong} is not what this host documents")


def delivery_id(kind: Sender, headers: Mapping[str, str]) -> str | None:
    """Return the id by which a host names one delivery, the same when it is sent again; None where it gives none."""
    for name in _DELIVERY_HEADERS[kind]:
        given = _DELIVERY.fullmatch(headers.get(name, ""))
        if given is not None:
            return given[1]
    return None
