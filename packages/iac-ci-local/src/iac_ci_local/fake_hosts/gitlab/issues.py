"""GitLab's operations on issues (GitLab Docs, "Issues API")."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.routes import json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.gitlab.payloads import Payloads
    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import Person, Project

_STATES = {"close": False, "reopen": True}


class IssueRoutes:
    """The issues of one project."""

    def __init__(
        self,
        project: Project,
        payloads: Payloads,
        page: Callable[..., Answer],
        refusal: Callable[[int, str], Answer],
    ) -> None:
        """Serve the project's issues; ``page`` writes lists, ``refusal`` errors."""
        self._project, self._payloads, self._page, self._refusal = project, payloads, page, refusal

    def routes(self, path: str) -> tuple[tuple[str, str, Callable[..., Answer]], ...]:
        """Return the routes below a project's path."""
        return (
            ("GET", path + "/issues", self._list),
            ("POST", path + "/issues", self._create),
            ("PUT", path + r"/issues/(\d+)", self._edit),
        )

    def _list(self, request: Request, person: Person) -> Answer:
        if not self._project.has_issues:
            return self._refusal(404, "404 Not Found")
        if request.query.get("scope") != "all":
            return self._refusal(400, "this code host lists issues of the scope `all` only")
        author = request.query.get("author_id")
        found = [issue for issue in self._project.issues() if str(issue.author.id) == author]
        return self._page(request, found, self._payloads.issue)

    def _create(self, request: Request, person: Person) -> Answer:
        if not self._project.has_issues:
            return self._refusal(403, "403 Forbidden")
        payload = json_object(request) or {}
        if not payload.get("title"):
            return self._refusal(400, "400 Bad request - title is missing")
        written = self._project.write_issue(person, payload["title"], payload.get("description", ""))
        return Answer.of_json(201, self._payloads.issue(written))

    def _edit(self, request: Request, person: Person, number: str) -> Answer:
        before = self._project.issue(int(number))
        if before.author.id != person.id and self._project.right(person) not in {"admin", "write"}:
            return self._refusal(403, "403 Forbidden")
        payload = json_object(request) or {}
        names = {"title": "title", "description": "body"}
        fields: dict[str, Any] = {name: payload[sent] for sent, name in names.items() if sent in payload}
        if "state_event" in payload:
            fields["is_open"] = _STATES[payload["state_event"]]
        return Answer.of_json(200, self._payloads.issue(self._project.edit_issue(int(number), **fields)))


__all__ = ["IssueRoutes"]
