"""GitLab's merge of a merge request (GitLab Docs, "Merge requests API", "Merge a merge request")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import PortFailed
from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.routes import json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.gitlab.payloads import Payloads
    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.person import Person
    from iac_ci_local.fake_hosts.project import Project


class MergeRoutes:
    """Merges merge requests of one project."""

    def __init__(self, project: Project, payloads: Payloads, refusal: Callable[[int, str], Answer]) -> None:
        """Merge in the project; ``refusal`` writes errors."""
        self._project, self._payloads, self._refusal = project, payloads, refusal

    def routes(self, path: str) -> tuple[tuple[str, str, Callable[..., Answer]], ...]:
        """Return the routes below a merge request's path."""
        return (("PUT", path + "/merge", self._merge),)

    def _merge(self, request: Request, person: Person, number: str) -> Answer:
        """Merge; GitLab says why it does not only for the head and a conflict."""
        project, book = self._project, self._project.merging
        pull = project.pull_request(int(number))
        wanted = (json_object(request) or {}).get("sha")
        book.asked.append(str(wanted))
        if project.right(person) not in {"admin", "write"} or not book.may_merge:
            return self._refusal(401, "401 Unauthorized")
        if book.refusals:
            return self._refusal(*book.refusals.pop(0))
        head = project.newest_head(pull)
        if not pull.is_open or pull.is_draft:
            return self._refusal(405, "405 Method Not Allowed")
        if wanted not in {None, head}:
            return self._refusal(409, f"SHA does not match HEAD of source branch: {head}")
        status = self._payloads.merge_request(pull)["detailed_merge_status"]
        if status == "conflict":
            return self._refusal(422, "Branch cannot be merged")
        if status != "mergeable":
            return self._refusal(405, "405 Method Not Allowed")
        try:
            landed = project.land(pull.number, book.methods[0])
        except PortFailed:
            return self._refusal(422, "Branch cannot be merged")
        book.land(pull.number, person)
        return Answer.of_json(200, self._payloads.merge_request(landed))


__all__ = ["MergeRoutes"]
