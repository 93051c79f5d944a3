"""Bitbucket's operations on issues (Bitbucket Cloud REST API, "Issue tracker"), where the tracker is switched on."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.fake_hosts import issues
from iac_ci_local.fake_hosts.bitbucket.payloads import uuid_of
from iac_ci_local.fake_hosts.messages import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import Person

_REPORTER: Final = re.compile(r'reporter\.uuid="(\{[0-9a-f-]{36}\})"')
_STATES: Final = {"new": True, "open": True, "resolved": False, "closed": False}


class IssueRoutes(issues.IssueRoutes):
    """The issues of one repository."""

    has_no_issues = (404, "Repository has no issue tracker.")
    needs_a_title = (400, "title: This field is required")

    def routes(self, path: str) -> tuple[tuple[str, str, Callable[..., Answer]], ...]:
        """Return the routes below a repository's path."""
        return (*super().routes(path), ("GET", path + r"/issues/(\d+)", self._read))

    def _list(self, request: Request, person: Person) -> Answer:
        if not self._project.has_issues:
            return self._refusal(*self.has_no_issues)
        found = self._project.issues()
        wanted = _REPORTER.fullmatch(request.query.get("q", ""))
        if wanted is not None:
            found = [issue for issue in found if uuid_of(issue.author.id) == wanted[1]]
        return self._page(request, found, self._payload, most=50)

    def _read(self, request: Request, person: Person, number: str) -> Answer:
        if not self._project.has_issues:
            return self._refusal(*self.has_no_issues)
        return Answer.of_json(200, self._payload(self._project.issue(int(number))))

    def fields(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the fields; the body is the raw content."""
        fields: dict[str, Any] = {"title": payload["title"]} if "title" in payload else {}
        if "content" in payload:
            fields["body"] = (payload["content"] or {}).get("raw", "")
        if "state" in payload:
            fields["is_open"] = _STATES[payload["state"]]
        return fields


__all__ = ["IssueRoutes"]
