"""Actions of people on the code host, each followed by the webhook that GitHub sends for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_local.fake_github.payloads import Payloads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_local.fake_github.project import OpenPullRequest, Person, Project, WrittenComment
    from iac_ci_local.fake_github.repository import File
    from iac_ci_local.fake_github.webhooks import Deliveries


class Activity:
    """Acts on one project and sends its webhooks. Each method returns a function that waits for the delivery."""

    def __init__(self, project: Project, web: str, deliveries: Deliveries) -> None:
        """Act on the project; ``web`` is the host's URL."""
        self._project = project
        self._payloads = Payloads(project, web)
        self._deliveries = deliveries

    def opened(self, number: int) -> Callable[[], None]:
        """Send the event of an opened pull request."""
        pull = self._project.pull_request(number)
        return self._deliveries.begin("pull_request", self.payload_of_pull_request("opened", pull, pull.author))

    def push(
        self, number: int, files: Mapping[str, File | bytes | None], *, message: str = "Change it again"
    ) -> Callable[[], None]:
        """Add a commit to a pull request's branch and send the event."""
        pull = self._project.pull_request(number)
        before = self._project.repository.head(pull.head_branch)
        after = self._project.repository.commit(pull.head_branch, files, message)
        payload = self.payload_of_pull_request("synchronize", pull, pull.author)
        return self._deliveries.begin("pull_request", {**payload, "before": before, "after": after})

    def comment(self, number: int, person: Person, text: str) -> Callable[[], None]:
        """Write a comment as ``person`` and send the event."""
        written = self._project.write_comment(number, person, text)
        return self._deliveries.begin("issue_comment", self.payload_of_comment(written))

    def payload_of_pull_request(self, action: str, pull: OpenPullRequest, sender: Person) -> dict[str, Any]:
        """Return the payload of a ``pull_request`` event."""
        return {
            "action": action,
            "number": pull.number,
            "pull_request": self._payloads.pull_request(pull),
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


__all__ = ["Activity"]
