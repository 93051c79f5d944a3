"""Merges pull requests on GitHub (GitHub REST API, "Merge a pull request")."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import PortFailed
from iac_ci_vcs.http_session import reason_of
from iac_ci_vcs.waiting import settled

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from iac_ci_vcs.http_session import HostSession

_SUBJECT: Final = "merge of the pull request"
_SECONDS: Final = 22.0
"""How long a refusal that may pass is asked for again: GitHub computes whether a pull request can be merged after each
status and each change of the base branch."""

_METHODS: Final = {"merge": "allow_merge_commit", "squash": "allow_squash_merge", "rebase": "allow_rebase_merge"}
_BASE_MOVED: Final = "base branch was modified"
_MAY_PASS: Final = re.compile(
    rf"{_BASE_MOVED}|required status check|is not mergeable|is in unstable|already in progress", re.IGNORECASE
)
_IS_ABOUT_METHOD: Final = re.compile(
    r"(merge commits|squash merges|rebase merges) are not allowed|linear history|must not contain merge commits"
    r"|merge method|can't be rebased|cannot be rebased",
    re.IGNORECASE,
)
_REFUSALS: Final = frozenset({403, 404, 405, 409, 422})
_FORBIDDEN: Final = frozenset({403, 404})


class GitHubMerges:
    """Merges pull requests of one repository by the first method that it allows: a merge commit, a squash, a rebase."""

    def __init__(
        self,
        session: HostSession,
        url: str,
        send: Callable[..., requests.Response],
        repository: Callable[[], dict[str, Any]],
    ) -> None:
        """Use the host's session; ``url`` is the repository's, ``send`` returns an answer with any status."""
        self._session, self._url, self._send, self._repository = session, url, send, repository

    def merge(self, number: int, commit: str) -> str | None:
        """Merge a pull request whose head is this commit."""
        with self._session.doing(_SUBJECT):
            repository = self._repository()
        # GitHub tells what is allowed to a token with write access only.
        allowed = [name for name, field in _METHODS.items() if repository.get(field) is not False]
        refusal: str | None = "the repository allows no method of merging"
        for method in allowed:
            refusal = settled(partial(self._tried, number, commit, method), _is_final, seconds=_SECONDS)
            if refusal is None or not _IS_ABOUT_METHOD.search(refusal):
                break
        if refusal is not None and _BASE_MOVED in refusal.lower():
            raise PortFailed(f"the base branch changed at every attempt to merge: {refusal}", retry_is_safe=True)
        return refusal

    def _tried(self, number: int, commit: str, method: str) -> str | None:
        """Ask for a merge; return None if it is done, else GitHub's reason."""
        with self._session.doing(_SUBJECT):
            sent = {"sha": commit, "merge_method": method}
            response = self._send("PUT", f"{self._url}/pulls/{number}/merge", json=sent)
            if response.status_code not in _REFUSALS:
                self._session.good(response, _SUBJECT)
                return None
            reason = " ".join(reason_of(response).split())
            if response.status_code in _FORBIDDEN:
                reason += " (the token may not merge: a GitHub app needs Contents: write)"
            return f"HTTP {response.status_code}: {reason}"


def _is_final(refusal: str | None) -> bool:
    return refusal is None or _MAY_PASS.search(refusal) is None


__all__ = ["GitHubMerges"]
