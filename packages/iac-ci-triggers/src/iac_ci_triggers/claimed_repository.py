"""Reads the one thing that is needed before an event is verified: the repository whose secret signed it.

Nothing else of an event's body becomes an object of Python before the signature holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError

from iac_ci_triggers.verification import Sender
from iac_ci_vcs.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 8


class _Part(BaseModel):
    """A part of a payload; its other fields are skipped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _GitHubRepository(_Part):
    html_url: StrictStr


class _GitHubPayload(_Part):
    repository: _GitHubRepository

    @property
    def url(self) -> str:
        return self.repository.html_url


class _GitLabProject(_Part):
    web_url: StrictStr


class _GitLabPayload(_Part):
    project: _GitLabProject

    @property
    def url(self) -> str:
        return self.project.web_url


class _BitbucketLink(_Part):
    href: StrictStr


class _BitbucketLinks(_Part):
    html: _BitbucketLink


class _BitbucketRepository(_Part):
    links: _BitbucketLinks


class _BitbucketPayload(_Part):
    repository: _BitbucketRepository

    @property
    def url(self) -> str:
        return self.repository.links.html.href


_PAYLOADS: Final[dict[Sender, type[_GitHubPayload | _GitLabPayload | _BitbucketPayload]]] = {
    Sender.GITHUB: _GitHubPayload,
    Sender.GITLAB: _GitLabPayload,
    Sender.BITBUCKET: _BitbucketPayload,
}


def claimed_repository(kind: Sender, body: bytes, headers: Mapping[str, str]) -> str | None:
    """Return the URL of the repository that an unverified body names, None if it names none. Never raises."""
    try:
        url = _PAYLOADS[kind].model_validate_json(form_payload(body, headers)).url
    except (ValidationError, ValueError):
        return None
    return url if is_repository(url) else None


def is_repository(url: str | None) -> bool:
    """Return whether a text is the https URL of a repository on a code host."""
    return url is not None and url.startswith("https://") and parse_address(url) is not None


def form_payload(body: bytes, headers: Mapping[str, str]) -> str:
    """Return a body's JSON: the whole body, or the field ``payload`` of a form (an option of GitHub).

    The JSON is not parsed; it is empty if a form does not have the field once. Raises ``ValueError`` for a body that is
    not UTF-8 or not a form.
    """
    text = body.decode("utf-8")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return text
    fields = parse_qs(text, strict_parsing=True, max_num_fields=_MOST_FIELDS).get("payload", [])
    return fields[0] if len(fields) == 1 else ""


__all__ = ["claimed_repository", "form_payload", "is_repository"]
