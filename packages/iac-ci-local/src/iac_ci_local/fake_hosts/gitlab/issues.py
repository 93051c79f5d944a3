"""GitLab's operations on issues (GitLab Docs, "Issues API")."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.fake_hosts import issues

if TYPE_CHECKING:
    from iac_ci_local.fake_hosts.messages import Answer, Request
    from iac_ci_local.fake_hosts.project import Person

_NAMES: Final = {"title": "title", "description": "body"}
_STATES: Final = {"close": False, "reopen": True}


class IssueRoutes(issues.IssueRoutes):
    """The issues of one project."""

    has_no_issues = (403, "403 Forbidden")
    needs_a_title = (400, "400 Bad request - title is missing")
    may_not_edit = (403, "403 Forbidden")

    def _list(self, request: Request, person: Person) -> Answer:
        if not self._project.has_issues:
            return self._refusal(404, "404 Not Found")
        if request.query.get("scope") != "all":
            return self._refusal(400, "this code host lists issues of the scope `all` only")
        author = request.query.get("author_id")
        found = [issue for issue in self._project.issues() if str(issue.author.id) == author]
        return self._page(request, found, self._payload)

    def fields(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the fields under the names of a project."""
        fields: dict[str, Any] = {name: payload[sent] for sent, name in _NAMES.items() if sent in payload}
        if "state_event" in payload:
            fields["is_open"] = _STATES[payload["state_event"]]
        return fields


__all__ = ["IssueRoutes"]
