"""Bitbucket's operations on issues (Bitbucket Cloud REST API, "Issue tracker"), where the tracker is switched on."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.fake_hosts.bitbucket.payloads import uuid_of
from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.routes import json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.bitbucket.payloads import Payloads
    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import Person, Project

_REPORTER: Final = re.compile(r'reporter\.uuid="(\{[0-9a-f-]{36}\})"')
_STATES: Final = {"new": True, "open": True, "resolved": False, "closed": False}


class IssueRoutes:
    """The issues of one repository."""

    def __init__(
        self,
        project: Project,
        payloads: Payloads,
        page: Callable[..., Answer],
        refusal: Callable[[int, str], Answer],
    ) -> None:
        """Serve the repository's issues; ``page`` writes lists, ``refusal`` errors."""
        self._project, self._payloads, self._page, self._refusal = project, payloads, page, refusal

    def routes(self, path: str) -> tuple[tuple[str, str, Callable[..., Answer]], ...]:
        """Return the routes below a repository's path."""
        return (
            ("GET", path + "/issues", self._list),
            ("POST", path + "/issues", self._create),
            ("GET", path + r"/issues/(\d+)", self._read),
            ("PUT", path + r"/issues/(\d+)", self._edit),
        )

    def _list(self, request: Request, person: Person) -> Answer:
        if not self._project.has_issues:
            return self._no_tracker()
        found = self._project.issues()
        wanted = _REPORTER.fullmatch(request.query.get("q", ""))
        if wanted is not None:
            found = [issue for issue in found if uuid_of(issue.author.id) == wanted[1]]
        return self._page(request, found, self._payloads.issue, most=50)

    def _create(self, request: Request, person: Person) -> Answer:
        if not self._project.has_issues:
            return self._no_tracker()
        payload = json_object(request) or {}
        if not payload.get("title"):
            return self._refusal(400, "title: This field is required")
        written = self._project.write_issue(person, payload["title"], (payload.get("content") or {}).get("raw", ""))
        return Answer.of_json(201, self._payloads.issue(written))

    def _read(self, request: Request, person: Person, number: str) -> Answer:
        if not self._project.has_issues:
            return self._no_tracker()
        return Answer.of_json(200, self._payloads.issue(self._project.issue(int(number))))

    def _edit(self, request: Request, person: Person, number: str) -> Answer:
        if not self._project.has_issues:
            return self._no_tracker()
        payload = json_object(request) or {}
        fields: dict[str, Any] = {"title": payload["title"]} if "title" in payload else {}
        if "content" in payload:
            fields["body"] = payload["content"]["raw"]
        if "state" in payload:
            fields["is_open"] = _STATES[payload["state"]]
        return Answer.of_json(200, self._payloads.issue(self._project.edit_issue(int(number), **fields)))

    def _no_tracker(self) -> Answer:
        return self._refusal(404, "Repository has no issue tracker.")


__all__ = ["IssueRoutes"]
