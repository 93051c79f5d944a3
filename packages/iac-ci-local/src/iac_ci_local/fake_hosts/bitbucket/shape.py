"""Bitbucket Cloud: its API, and its webhooks (Atlassian Support, "Event payloads")."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from iac_ci_local.fake_hosts.bitbucket import api
from iac_ci_local.fake_hosts.bitbucket.payloads import Payloads
from iac_ci_local.fake_hosts.shape import Change, Sent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_local.fake_hosts.messages import Answer, Request
    from iac_ci_local.fake_hosts.project import Project
    from iac_ci_local.fake_hosts.shape import Happened

_EVENTS: Final = {
    Change.OPENED: "pullrequest:created",
    Change.PUSHED: "pullrequest:updated",
    Change.RETARGETED: "pullrequest:updated",
    Change.APPROVED: "pullrequest:approved",
    Change.CLOSED: "pullrequest:rejected",
    Change.MERGED: "pullrequest:fulfilled",
    Change.COMMENTED: "pullrequest:comment_created",
}
_LIMIT: Final = 1000
"""Requests in an hour ("API request limits")."""


class Bitbucket:
    """One repository on Bitbucket."""

    kind: ClassVar[str] = "bitbucket"
    name: ClassVar[str] = "Bitbucket"
    root: ClassVar[str] = api.ROOT
    has_html: ClassVar[bool] = False

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
        """Return an error as Bitbucket writes it."""
        return api.refusal(status, message, headers)

    def with_limits(self, answer: Answer, *, spent: int) -> Answer:
        """Add Bitbucket's headers about the caller's rate limit."""
        near = str(spent > _LIMIT * 4 // 5).lower()
        limits = {"X-RateLimit-Limit": str(_LIMIT), "X-RateLimit-NearLimit": near, "X-RateLimit-Resource": "api"}
        return replace(answer, headers={**limits, **answer.headers})

    def page(self, number: int | str) -> str:
        """Return the path of a pull request's page."""
        return f"/{self._project.full_name}/pull-requests/{number}"

    def webhook(self, happened: Happened) -> Sent:
        """Return the webhook of a change. It does not say what an update has changed, and nothing can be reopened."""
        head = self._project.newest_head(happened.pull)
        payload = self._payloads.hook(happened.actor)
        payload["pullrequest"] = self._payloads.pull_request(happened.pull, head)
        if happened.comment is not None:
            payload["comment"] = self._payloads.comment(happened.comment)
        return Sent(_EVENTS[happened.change], payload)

    @staticmethod
    def headers(event: str, identity: str, body: bytes, secret: str) -> dict[str, str]:
        """Return the headers of a delivery, with its signature."""
        return {
            "Content-Type": "application/json",
            "User-Agent": "Bitbucket-Webhooks/2.0",
            "X-Attempt-Number": "1",
            "X-Event-Key": event,
            "X-Hook-UUID": "00000000-0000-4000-8000-000000000002",
            "X-Request-UUID": identity,
            "X-Hub-Signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
        }


__all__ = ["Bitbucket"]
