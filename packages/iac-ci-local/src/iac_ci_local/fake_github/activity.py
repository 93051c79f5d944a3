"""What people do on the code host, each followed by the webhook that GitHub sends for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_local.fake_github.payloads import Payloads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_local.fake_github.project import OpenPullRequest, Person, Project, WrittenComment
    from iac_ci_local.fake_github.repository import File
    from iac_ci_local.fake_github.webhooks import Deliveries


class Activity:
    """Acts on one project and tells its webhook. Each method gives back what waits for the delivery's end."""

    def __init__(self, project: Project, web: str, deliveries: Deliveries) -> None:
        """Act on the host at ``web``."""
        self._project = project
        self._shapes = Payloads(project, web)
        self._deliveries = deliveries

    def opened(self, number: int) -> Callable[[], None]:
        """Tell that a pull request was opened."""
        pull = self._project.pull_request(number)
        return self._deliveries.begin("pull_request", self.payload_of_pull_request("opened", pull, pull.author))

    def push(
        self, number: int, files: Mapping[str, File | bytes | None], *, message: str = "Change it again"
    ) -> Callable[[], None]:
        """Add a commit to a pull request's branch."""
        pull = self._project.pull_request(number)
        before = self._project.repository.head(pull.head_branch)
        after = self._project.repository.commit(pull.head_branch, files, message)
        payload = self.payload_of_pull_request("synchronize", pull, pull.author)
        return self._deliveries.begin("pull_request", {**payload, "before": before, "after": after})

    def comment(self, number: int, person: Person, text: str) -> Callable[[], None]:
        """Write a comment in a person's name."""
        written = self._project.write_comment(number, person, text)
        return self._deliveries.begin("issue_comment", self.payload_of_comment(written))

    def payload_of_pull_request(self, action: str, pull: OpenPullRequest, sender: Person) -> dict[str, Any]:
        """Write what a ``pull_request`` event tells."""
        return {
            "action": action,
            "number": pull.number,
            "pull_request": self._shapes.pull_request(pull),
            "repository": self._shapes.repository(),
            "sender": self._shapes.person(sender),
        }

    def payload_of_comment(self, written: WrittenComment) -> dict[str, Any]:
        """Write what an ``issue_comment`` event tells of a new comment."""
        return {
            "action": "created",
            "issue": self._shapes.issue(self._project.pull_request(written.number)),
            "comment": self._shapes.comment(written),
            "repository": self._shapes.repository(),
            "sender": self._shapes.person(written.author),
        }


__all__ = ["Activity"]
