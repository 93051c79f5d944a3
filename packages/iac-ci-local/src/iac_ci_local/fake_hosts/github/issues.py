"""GitHub's operations on issues (GitHub REST API, "Issues"), of which pull requests are some."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.routes import json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.github.payloads import Payloads
    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import OpenPullRequest, Person, Project, WrittenIssue

_MOST_TITLE: Final = 256
_MOST_CHARACTERS: Final = 65_536


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
        """Return the routes below a repository's path."""
        return (
            ("GET", path + "/issues", self._list),
            ("POST", path + "/issues", self._create),
            ("PATCH", path + r"/issues/(\d+)", self._edit),
        )

    def _list(self, request: Request, person: Person) -> Answer:
        """List issues and pull requests of one creator, the oldest first, which is all that the engine asks for."""
        if (request.query.get("state"), request.query.get("sort")) != ("all", "created"):
            return self._refusal(422, "this code host lists issues of any state by the time of their creation only")
        creator = request.query.get("creator", "").lower()
        listed: list[OpenPullRequest | WrittenIssue] = [*self._project.pull_requests.values()]
        listed += self._project.issues() if self._project.has_issues else []
        found = [one for one in listed if one.author.login.lower() == creator]
        return self._page(request, found, self._payloads.any_issue)

    def _create(self, request: Request, person: Person) -> Answer:
        if not self._project.has_issues:
            return self._refusal(410, "Issues has been disabled in this repository.")
        fields, problem = self._fields(request)
        if problem is not None:
            return problem
        if not fields.get("title"):
            return self._refusal(422, "Validation Failed: title is missing")
        written = self._project.write_issue(person, fields["title"], fields.get("body", ""))
        return Answer.of_json(201, self._payloads.any_issue(written))

    def _edit(self, request: Request, person: Person, number: str) -> Answer:
        before = self._project.issue(int(number))
        if before.author.id != person.id and self._project.right(person) not in {"admin", "write"}:
            return self._refusal(403, "Must have admin rights to Repository.")
        fields, problem = self._fields(request)
        if problem is not None:
            return problem
        return Answer.of_json(200, self._payloads.any_issue(self._project.edit_issue(int(number), **fields)))

    def _fields(self, request: Request) -> tuple[dict[str, Any], Answer | None]:
        payload = json_object(request)
        if payload is None:
            return {}, self._refusal(400, "Problems parsing JSON")
        fields: dict[str, Any] = {name: payload[name] for name in ("title", "body") if name in payload}
        if len(fields.get("title", "")) > _MOST_TITLE or len(fields.get("body", "")) > _MOST_CHARACTERS:
            return {}, self._refusal(422, "Validation Failed: title or body is too long")
        if "state" in payload:
            fields["is_open"] = payload["state"] == "open"
        return fields, None


__all__ = ["IssueRoutes"]
