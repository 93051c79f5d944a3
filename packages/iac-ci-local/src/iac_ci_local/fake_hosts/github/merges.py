"""GitHub's merge of a pull request (GitHub REST API, "Merge a pull request"); refusals are those that users report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import PortFailed
from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.routes import json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.github.payloads import Payloads
    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.person import Person
    from iac_ci_local.fake_hosts.project import OpenPullRequest, Project

_NOT_ALLOWED: Final = {
    "merge": "Merge commits are not allowed on this repository.",
    "squash": "Squash merges are not allowed on this repository.",
    "rebase": "Rebase merges are not allowed on this repository.",
}


class MergeRoutes:
    """Merges pull requests of one project."""

    def __init__(self, project: Project, payloads: Payloads, refusal: Callable[[int, str], Answer]) -> None:
        """Merge in the project; ``refusal`` writes errors."""
        self._project, self._payloads, self._refusal = project, payloads, refusal

    def routes(self, path: str) -> tuple[tuple[str, str, Callable[..., Answer]], ...]:
        """Return the routes below a repository's path."""
        return (("PUT", path + r"/pulls/(\d+)/merge", self._merge),)

    def _merge(self, request: Request, person: Person, number: str) -> Answer:
        sent = json_object(request) or {}
        project, book = self._project, self._project.merging
        pull = project.pull_request(int(number))
        wanted, method = sent.get("sha"), sent.get("merge_method", "merge")
        book.asked.append(str(wanted))
        if project.right(person) not in {"admin", "write"} or not book.may_merge:
            return self._refusal(403, "Resource not accessible by integration")
        if book.refusals:
            return self._refusal(*book.refusals.pop(0))
        head = project.newest_head(pull)
        refused = self._refused(pull, head, wanted, method)
        if refused is not None:
            return self._refusal(*refused)
        try:
            landed = project.land(pull.number, method)
        except PortFailed:
            return self._refusal(405, "Pull Request is not mergeable")
        book.land(pull.number, person)
        return Answer.of_json(
            200, {"sha": landed.landed, "merged": True, "message": "Pull Request successfully merged"}
        )

    def _refused(self, pull: OpenPullRequest, head: str, wanted: object, method: str) -> tuple[int, str] | None:
        """Return why GitHub does not merge, None if it does."""
        book, rules = self._project.merging, self._project.book.rules
        if not pull.is_open:
            return 405, "Pull Request is not mergeable"
        if pull.is_draft:
            return 405, "Pull Request is still a draft"
        if wanted not in {None, head}:
            return 409, "Head branch was modified. Review and try the merge again."
        if book.has_queue:
            return 405, "Repository rule violations found\n\nChanges must be made through the merge queue\n\n"
        if method not in book.methods:
            return 405, _NOT_ALLOWED[method]
        if self._payloads.review_decision(pull.number) not in {None, "APPROVED"}:
            return 405, f"At least {rules.approvals} approving review is required by reviewers with write access."
        passed = {status.context: status.state for status in self._project.statuses(head)}
        missing = [name for name in rules.checks if passed.get(name) != "success"]
        if missing:
            return 405, f'Required status check "{missing[0]}" is expected.'
        return None


__all__ = ["MergeRoutes"]
