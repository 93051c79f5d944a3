"""GitLab: its API, and its webhooks (GitLab Docs, "Webhook events")."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from iac_ci_local.fake_hosts.gitlab import api
from iac_ci_local.fake_hosts.gitlab.payloads import Payloads
from iac_ci_local.fake_hosts.shape import Change, Sent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_local.fake_hosts.messages import Answer, Request
    from iac_ci_local.fake_hosts.project import Project
    from iac_ci_local.fake_hosts.shape import Happened

_ACTIONS: Final = {
    Change.OPENED: "open",
    Change.PUSHED: "update",
    Change.RETARGETED: "update",
    Change.APPROVED: "approved",
    Change.CLOSED: "close",
    Change.MERGED: "merge",
    Change.REOPENED: "reopen",
}
_LIMIT: Final = 2000
"""Requests in a minute on gitlab.com (GitLab Docs, "Rate limits")."""


class GitLab:
    """One project on GitLab."""

    kind: ClassVar[str] = "gitlab"
    name: ClassVar[str] = "GitLab"
    root: ClassVar[str] = api.ROOT
    has_html: ClassVar[bool] = True

    def __init__(self, project: Project, web: str) -> None:
        """Serve the project; ``web`` is the host's URL."""
        self._project = project
        self._api = api.Api(project, web)
        self._payloads = Payloads(project, web)

    def serves(self, path: str) -> bool:
        """Return whether a path is one of the API's."""
        return path.startswith(f"{self.root}/")

    def answer(self, request: Request) -> Answer:
        """Return the API's answer."""
        return self._api.answer(request)

    def refusal(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return an error as GitLab writes it."""
        return api.refusal(status, message, headers)

    def with_limits(self, answer: Answer, *, spent: int) -> Answer:
        """Add GitLab's headers about the caller's rate limit."""
        limits = {
            "RateLimit-Limit": str(_LIMIT),
            "RateLimit-Observed": str(spent),
            "RateLimit-Remaining": str(max(1, _LIMIT - spent)),
            "RateLimit-Reset": str(int(time.time()) + 60),
        }
        return replace(answer, headers={**limits, **answer.headers})

    def page(self, number: int | str) -> str:
        """Return the path of a merge request's page."""
        return f"/{self._project.full_name}/-/merge_requests/{number}"

    def webhook(self, happened: Happened) -> Sent:
        """Return the webhook of a change."""
        hook = self._payloads.hook(happened.actor)
        attributes = self._payloads.hook_attributes(happened.pull)
        if happened.comment is not None:
            note = {"object_kind": "note", "event_type": "note", "merge_request": attributes}
            return Sent("Note Hook", {**note, **hook, "object_attributes": self._payloads.hook_note(happened.comment)})
        attributes["action"] = _ACTIONS[happened.change]
        if happened.change is Change.PUSHED:
            attributes["oldrev"] = happened.before
        payload: dict[str, Any] = {"object_kind": "merge_request", "event_type": "merge_request", **hook}
        return Sent(
            "Merge Request Hook", {**payload, "object_attributes": attributes, "changes": self._changes(happened)}
        )

    @staticmethod
    def _changes(happened: Happened) -> dict[str, Any]:
        """Return what GitLab says to have changed, which is not all that has."""
        if happened.change is Change.OPENED:
            return {"merge_status": {"previous": "preparing", "current": "checking"}}
        if happened.change is Change.RETARGETED:
            return {"merge_status": {"previous": "can_be_merged", "current": "unchecked"}}
        return {"updated_at": {"previous": None, "current": None}}

    @staticmethod
    def headers(event: str, identity: str, body: bytes, secret: str) -> dict[str, str]:  # noqa: ARG004 - see Shape
        """Return the headers of a delivery. GitLab sends the secret itself."""
        return {
            "Content-Type": "application/json",
            "User-Agent": "GitLab/18.0.0",
            "Idempotency-Key": identity,
            "X-Gitlab-Event": event,
            "X-Gitlab-Event-UUID": identity,
            "X-Gitlab-Webhook-UUID": "00000000-0000-4000-8000-000000000001",
            "X-Gitlab-Token": secret,
        }


__all__ = ["GitLab"]
