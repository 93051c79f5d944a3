"""Merges merge requests on GitLab (GitLab Docs, "Merge requests API", "Merge a merge request")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import PortFailed
from iac_ci_vcs.waiting import settled

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

_SUBJECT: Final = "merge of the merge request"
_SECONDS: Final = 60.0
"""How long a refusal that may pass is asked for again: GitLab sees a status of the engine in the pipeline some seconds
after it was set (runatlantis/atlantis#1609)."""

_REFUSALS: Final = frozenset({400, 401, 403, 404, 405, 406, 409, 422})
_FORBIDDEN: Final = frozenset({401, 403, 404})
_MAY_PASS: Final = frozenset(
    {"approvals_syncing", "checking", "ci_still_running", "locked", "mergeable", "preparing", "unchecked"}
)
"""What GitLab says of a merge request that it may merge soon (GitLab Docs, "Merge requests API", "Merge status")."""


class GitLabMerges:
    """Merges merge requests of one project, by its own method and the merge request's own choice of a squash."""

    def __init__(
        self,
        api: Any,
        path: str,
        doing: Callable[..., AbstractContextManager[None]],
        project: Callable[[], dict[str, Any]],
        failed: type[Exception],
    ) -> None:
        """Use the client, whose errors are ``failed``; ``path`` is the project's, ``doing`` is its host's."""
        self._api, self._path, self._doing, self._project, self._failed = api, path, doing, project, failed

    def merge(self, number: int, commit: str) -> str | None:
        """Merge a merge request whose head is this commit."""
        with self._doing(_SUBJECT):
            if self._project().get("merge_trains_enabled"):
                return "the project uses merge trains, which a merge by the API would overtake; add it to the train"
        refusal, status = settled(
            lambda: self._tried(number, commit), lambda tried: tried[0] is None or tried[1] not in _MAY_PASS,
            seconds=_SECONDS,
        )  # fmt: skip
        if refusal is not None and status in _MAY_PASS and status != "ci_still_running":
            raise PortFailed(f"GitLab refuses the merge and says {status}: {refusal}", retry_is_safe=True)
        return refusal

    def _tried(self, number: int, commit: str) -> tuple[str | None, str]:
        """Ask for a merge; return None if it is done, else GitLab's reason, and what it says of the merge request."""
        path = f"{self._path}/merge_requests/{number}"
        with self._doing(_SUBJECT):
            try:
                merged = self._api.http_put(f"{path}/merge", post_data={"sha": commit})
            except self._failed as error:
                code = getattr(error, "response_code", None)
                if code not in _REFUSALS:
                    raise
                reason = f"HTTP {code}: {' '.join(str(getattr(error, 'error_message', '')).split())}"
            else:
                if merged["state"] == "merged":
                    return None, ""
                code, reason = 0, f"the merge request is {merged['state']}"
            if code in _FORBIDDEN:
                return f"{reason} (the token may not merge into this branch)", ""
            if "SHA does not match" in reason:
                return reason, ""
            found = self._api.http_get(path)
            status = str(found.get("detailed_merge_status") or found.get("merge_status") or "")
            return f"{reason} ({status})" if status else reason, status


__all__ = ["GitLabMerges"]
