"""Operations on issues, as far as the three code hosts are alike; each host's ``issues.py`` has the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.routes import json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import Person, Project

Refused = tuple[int, str]
"""The status and the message of an answer that refuses."""


class IssueRoutes(ABC):
    """The issues of one project."""

    edit_method: ClassVar[str] = "PUT"
    has_no_issues: ClassVar[Refused]
    needs_a_title: ClassVar[Refused]
    may_not_edit: ClassVar[Refused | None] = None
    """The answer to who is not the author and may not write; None if everybody who is let in may edit."""

    def __init__(
        self,
        project: Project,
        payload: Callable[[Any], dict[str, Any]],
        page: Callable[..., Answer],
        refusal: Callable[[int, str], Answer],
    ) -> None:
        """Serve the project's issues; ``payload`` writes one, ``page`` lists, ``refusal`` errors."""
        self._project, self._payload, self._page, self._refusal = project, payload, page, refusal

    def routes(self, path: str) -> tuple[tuple[str, str, Callable[..., Answer]], ...]:
        """Return the routes below a repository's path."""
        return (
            ("GET", path + "/issues", self._list),
            ("POST", path + "/issues", self._create),
            (self.edit_method, path + r"/issues/(\d+)", self._edit),
        )

    @abstractmethod
    def fields(self, payload: dict[str, Any]) -> dict[str, Any] | Refused:
        """Return the fields of an issue that a request sends, or why it is refused."""

    @abstractmethod
    def _list(self, request: Request, person: Person) -> Answer: ...

    def _create(self, request: Request, person: Person) -> Answer:
        fields = self._fields(request)
        if isinstance(fields, Answer):
            return fields
        if not fields.get("title"):
            return self._refusal(*self.needs_a_title)
        written = self._project.write_issue(person, fields["title"], fields.get("body", ""))
        return Answer.of_json(201, self._payload(written))

    def _edit(self, request: Request, person: Person, number: str) -> Answer:
        before = self._project.issue(int(number))
        is_own = before.author.id == person.id or self._project.right(person) in {"admin", "write"}
        if self.may_not_edit is not None and not is_own:
            return self._refusal(*self.may_not_edit)
        fields = self._fields(request)
        if isinstance(fields, Answer):
            return fields
        return Answer.of_json(200, self._payload(self._project.edit_issue(int(number), **fields)))

    def _fields(self, request: Request) -> dict[str, Any] | Answer:
        if not self._project.has_issues:
            return self._refusal(*self.has_no_issues)
        payload = json_object(request)
        fields = self.fields(payload) if payload is not None else (400, "Problems parsing JSON")
        return self._refusal(*fields) if isinstance(fields, tuple) else fields


__all__ = ["IssueRoutes", "Refused"]
