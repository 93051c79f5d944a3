"""What differs between the code hosts: their API, their webhooks, and the addresses of their pages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_local.fake_hosts.messages import Answer, Request
    from iac_ci_local.fake_hosts.project import OpenPullRequest, Person, Project, WrittenComment


class Change(StrEnum):
    """What happened to a pull request."""

    OPENED = "opened"
    PUSHED = "pushed"
    RETARGETED = "retargeted"
    APPROVED = "approved"
    CLOSED = "closed"
    MERGED = "merged"
    REOPENED = "reopened"
    COMMENTED = "commented"


@dataclass(frozen=True, slots=True)
class Happened:
    """One change of a pull request, and who made it.

    ``before`` and ``after`` are the heads of a push, ``previous_base`` is the base branch before another was chosen.
    """

    change: Change
    pull: OpenPullRequest
    actor: Person
    comment: WrittenComment | None = None
    before: str = ""
    after: str = ""
    previous_base: str = ""


class Sent(NamedTuple):
    """A webhook: the name of its event, and its payload."""

    event: str
    payload: dict[str, Any]


class Shape(Protocol):
    """One project in the shapes of one host."""

    kind: ClassVar[str]
    """The engine's name of the host."""

    name: ClassVar[str]
    """The host's name for people."""

    root: ClassVar[str]
    """Path of the API."""

    has_html: ClassVar[bool]
    """Whether comments may hold HTML; if not, it is shown as text."""

    def __init__(self, project: Project, web: str) -> None:
        """Serve the project; ``web`` is the host's URL."""
        ...

    def serves(self, path: str) -> bool:
        """Return whether a path is one of the API's."""
        ...

    def answer(self, request: Request) -> Answer:
        """Return the API's answer."""
        ...

    def refusal(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return an error as the host writes it."""
        ...

    def with_limits(self, answer: Answer, *, spent: int) -> Answer:
        """Add the headers about the caller's rate limit."""
        ...

    def page(self, number: int | str) -> str:
        """Return the path of a pull request's page; the number may be a pattern."""
        ...

    def webhook(self, happened: Happened) -> Sent:
        """Return the webhook of a change."""
        ...

    @staticmethod
    def headers(event: str, identity: str, body: bytes, secret: str) -> dict[str, str]:
        """Return the headers of a delivery, with the host's signature."""
        ...


__all__ = ["Change", "Happened", "Sent", "Shape"]
