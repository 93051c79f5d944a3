"""GitHub: its API, and its webhooks (GitHub Docs, "Webhook events and payloads")."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, ClassVar, Final

from iac_ci_local.fake_hosts.github import api
from iac_ci_local.fake_hosts.github.payloads import Payloads
from iac_ci_local.fake_hosts.shape import Change, Sent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_local.fake_hosts.messages import Answer, Request
    from iac_ci_local.fake_hosts.project import OpenPullRequest, Person, Project, WrittenComment
    from iac_ci_local.fake_hosts.shape import Happened

_ACTIONS: Final = {
    Change.OPENED: "opened",
    Change.PUSHED: "synchronize",
    Change.RETARGETED: "edited",
    Change.CLOSED: "closed",
    Change.MERGED: "closed",
    Change.REOPENED: "reopened",
}


class GitHub:
    """One project on GitHub."""

    kind: ClassVar[str] = "github"
    name: ClassVar[str] = "GitHub"
    root: ClassVar[str] = api.ROOT
    has_html: ClassVar[bool] = True

    def __init__(self, project: Project, web: str) -> None:
        """Serve the project; ``web`` is the host's URL."""
        self._project = project
        self._api = api.Api(project, web)
        self._payloads = Payloads(project, web)

    def serves(self, path: str) -> bool:
        """Return whether a path is one of the REST API's, or that of GraphQL."""
        return path.startswith(f"{self.root}/") or path == api.GRAPHQL

    def answer(self, request: Request) -> Answer:
        """Return the API's answer."""
        if request.path == api.GRAPHQL and request.method == "POST":
            return self._api.graphql(request)
        return self._api.answer(request)

    def refusal(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return an error as GitHub writes it."""
        return api.refusal(status, message, headers)

    def with_limits(self, answer: Answer, *, spent: int) -> Answer:
        """Add GitHub's headers about the caller's rate limit."""
        return api.with_limits(answer, spent=spent)

    def page(self, number: int | str) -> str:
        """Return the path of a pull request's page."""
        return f"/{self._project.full_name}/pull/{number}"

    def webhook(self, happened: Happened) -> Sent:
        """Return the webhook of a change."""
        if happened.comment is not None:
            return Sent("issue_comment", self.payload_of_comment(happened.comment))
        if happened.change is Change.APPROVED:
            return Sent("pull_request_review", self._review(happened))
        payload = self.payload_of_pull_request(_ACTIONS[happened.change], happened.pull, happened.actor)
        if happened.change is Change.PUSHED:
            payload |= {"before": happened.before, "after": happened.after}
        if happened.change is Change.RETARGETED:
            payload["changes"] = {"base": {"ref": {"from": happened.previous_base}, "sha": {"from": "0" * 40}}}
        return Sent("pull_request", payload)

    def payload_of_pull_request(self, action: str, pull: OpenPullRequest, sender: Person) -> dict[str, Any]:
        """Return the payload of a ``pull_request`` event: the new state, with what GitHub fills in later empty."""
        return {
            "action": action,
            "number": pull.number,
            "pull_request": self._payloads.announced(pull),
            "repository": self._payloads.repository(),
            "sender": self._payloads.person(sender),
        }

    def payload_of_comment(self, written: WrittenComment) -> dict[str, Any]:
        """Return the payload of an ``issue_comment`` event for a new comment."""
        return {
            "action": "created",
            "issue": self._payloads.issue(self._project.pull_request(written.number)),
            "comment": self._payloads.comment(written),
            "repository": self._payloads.repository(),
            "sender": self._payloads.person(written.author),
        }

    def _review(self, happened: Happened) -> dict[str, Any]:
        payload = self.payload_of_pull_request("submitted", happened.pull, happened.actor)
        review = {"state": "approved", "user": payload["sender"], "commit_id": payload["pull_request"]["head"]["sha"]}
        return payload | {"review": review}

    @staticmethod
    def headers(event: str, identity: str, body: bytes, secret: str) -> dict[str, str]:
        """Return the headers of a delivery, with both of GitHub's signatures; only the SHA-256 one is secure."""
        return {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": f"GitHub-Hookshot/{hashlib.sha256(secret.encode()).hexdigest()[:7]}",
            "X-GitHub-Delivery": identity,
            "X-GitHub-Event": event,
            "X-GitHub-Hook-ID": "1",
            "X-GitHub-Hook-Installation-Target-ID": "1000",
            "X-GitHub-Hook-Installation-Target-Type": "repository",
            "X-Hub-Signature": f"sha1={hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}",
            "X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
        }


__all__ = ["GitHub"]
