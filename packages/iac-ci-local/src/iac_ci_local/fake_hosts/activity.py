"""Actions of people on the code host, each followed by the webhook that the host sends for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_local.fake_hosts.github.shape import GitHub
from iac_ci_local.fake_hosts.shape import Change, Happened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_local.fake_hosts.deliveries import Deliveries
    from iac_ci_local.fake_hosts.project import OpenPullRequest, Person, Project
    from iac_ci_local.fake_hosts.repository import File, Landing
    from iac_ci_local.fake_hosts.shape import Shape


class Activity:
    """Acts on one project and sends its webhooks. Each method returns a function that waits for the delivery."""

    def __init__(self, project: Project, web: str, deliveries: Deliveries, *, shape: type[Shape] = GitHub) -> None:
        """Act on the project; ``web`` is the host's URL."""
        self._project = project
        self._deliveries = deliveries
        self.shape: Shape = shape(project, web)
        project.merging.landed = self.merged

    def opened(self, number: int) -> Callable[[], None]:
        """Send the event of an opened pull request."""
        pull = self._project.pull_request(number)
        return self._send(Happened(Change.OPENED, pull, pull.author))

    def push(
        self,
        number: int,
        files: Mapping[str, File | bytes | None],
        *,
        message: str = "Change it again",
        person: Person | None = None,
    ) -> Callable[[], None]:
        """Add a commit to a pull request's branch as ``person``, or else as its author, and send the event."""
        before, after = self._project.push(number, files, message)
        pull = self._project.pull_request(number)
        return self._send(Happened(Change.PUSHED, pull, person or pull.author, before=before, after=after))

    def retarget(self, number: int, base_branch: str) -> Callable[[], None]:
        """Choose another base branch and send the event."""
        before = self._project.pull_request(number).base_branch
        pull = self._project.change(number, base_branch=base_branch)
        return self._send(Happened(Change.RETARGETED, pull, pull.author, previous_base=before))

    def close(self, number: int, *, merged: bool = False) -> Callable[[], None]:
        """Close a pull request, or merge it, and send the event. The branches stay as they are."""
        pull = self._project.change(number, is_open=False, is_merged=merged)
        return self._send(Happened(Change.MERGED if merged else Change.CLOSED, pull, pull.author))

    def merge(
        self, number: int, how: Landing = "merge", *, person: Person | None = None, deletes_branch: bool = False
    ) -> Callable[[], None]:
        """Merge a pull request as ``person``, or else as its author, and send the event."""
        pull = self._project.land(number, how, deletes_branch=deletes_branch)
        return self._send(Happened(Change.MERGED, pull, person or pull.author))

    def merged(self, number: int, person: Person) -> Callable[[], None]:
        """Send the event of a merge that was asked for by the API."""
        return self._send(Happened(Change.MERGED, self._pull(number), person))

    def reopen(self, number: int) -> Callable[[], None]:
        """Open a closed pull request again and send the event."""
        pull = self._project.change(number, is_open=True)
        return self._send(Happened(Change.REOPENED, pull, pull.author))

    def approve(self, number: int, person: Person) -> Callable[[], None]:
        """Approve a pull request as ``person`` and send the event."""
        self._project.review(number, person, "APPROVED")
        return self._send(Happened(Change.APPROVED, self._project.change(number), person))

    def comment(self, number: int, person: Person, text: str) -> Callable[[], None]:
        """Write a comment as ``person`` and send the event."""
        written = self._project.write_comment(number, person, text)
        return self._send(Happened(Change.COMMENTED, self._pull(number), person, written))

    def _pull(self, number: int) -> OpenPullRequest:
        return self._project.pull_request(number)

    def _send(self, happened: Happened) -> Callable[[], None]:
        sent = self.shape.webhook(happened)
        return self._deliveries.begin(sent.event, sent.payload)


__all__ = ["Activity"]
