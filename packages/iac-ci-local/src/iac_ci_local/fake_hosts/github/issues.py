"""GitHub's operations on issues (GitHub REST API, "Issues"), of which pull requests are some."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.fake_hosts import issues

if TYPE_CHECKING:
    from iac_ci_local.fake_hosts.issues import Refused
    from iac_ci_local.fake_hosts.messages import Answer, Request
    from iac_ci_local.fake_hosts.project import OpenPullRequest, Person, WrittenIssue

_MOST_TITLE: Final = 256
_MOST_CHARACTERS: Final = 65_536


class IssueRoutes(issues.IssueRoutes):
    """The issues of one repository."""

    edit_method = "PATCH"
    has_no_issues = (410, "Issues has been disabled in this repository.")
    needs_a_title = (422, "Validation Failed: title is missing")
    may_not_edit = (403, "Must have admin rights to Repository.")

    def _list(self, request: Request, person: Person) -> Answer:
        """List issues and pull requests of one creator, the oldest first, which is all that the engine asks for."""
        if (request.query.get("state"), request.query.get("sort")) != ("all", "created"):
            return self._refusal(422, "this code host lists issues of any state by the time of their creation only")
        creator = request.query.get("creator", "").lower()
        listed: list[OpenPullRequest | WrittenIssue] = [*self._project.pull_requests.values()]
        listed += self._project.issues() if self._project.has_issues else []
        return self._page(request, [one for one in listed if one.author.login.lower() == creator], self._payload)

    def fields(self, payload: dict[str, Any]) -> dict[str, Any] | Refused:
        """Return the fields, unless a text is too long."""
        fields: dict[str, Any] = {name: payload[name] for name in ("title", "body") if name in payload}
        if len(fields.get("title", "")) > _MOST_TITLE or len(fields.get("body", "")) > _MOST_CHARACTERS:
            return 422, "Validation Failed: title or body is too long"
        if "state" in payload:
            fields["is_open"] = payload["state"] == "open"
        return fields


__all__ = ["IssueRoutes"]
