"""Bitbucket's approvals, conflicts and builds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iac_ci_common.errors import NotFound
from iac_ci_vcs.provider import account_of, moment_of
from iac_ci_vcs.reviews import (
    MOST_PAGES,
    Approval,
    Approvals,
    Checks,
    CheckState,
    Mergeability,
    Mergeable,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from iac_ci_vcs.provider import Account

_FILES: Final = 500
_PAGE: Final = 100
_CHANGES: Final = frozenset({"added", "removed", "modified", "renamed"})
"""States of a file that merges; others, such as ``merge conflict``, are of a file that does not."""

_SHOWN: Final = 3
_STATES: Final = {"SUCCESSFUL": CheckState.PASSED, "INPROGRESS": CheckState.PENDING}


@dataclass(frozen=True, slots=True)
class BitbucketCalls:
    """How the repository's host is asked: the calls of its provider.

    ``just_read`` returns, once, the pull request that was read a moment ago; None if none was.
    """

    repository_url: str
    doing: Callable[[str], AbstractContextManager[None]]
    get: Callable[[str, str], dict[str, Any]]
    pages: Callable[[str, str, int], Iterator[dict[str, Any]]]
    just_read: Callable[[int], dict[str, Any] | None]


class BitbucketReviews:
    """The reviews of one repository on Bitbucket."""

    owner_files: tuple[str, ...] = ()

    def __init__(self, calls: BitbucketCalls) -> None:
        """Ask by the provider's calls."""
        self._calls = calls

    def approvals(self, number: int) -> Approvals:
        """Return who has approved. Of one who approved, ``participated_on`` is the time of the approval.

        It stays when an approval is withdrawn, so it counts only with ``approved``.
        """
        with self._calls.doing("approvals"):
            payload = self._calls.get(self._url(number), "pull request")
            entries = [entry for entry in payload.get("participants") or () if entry.get("approved") is True]
            if not entries:
                return Approvals()
            listed = self._calls.pages(f"{self._url(number)}/commits", "commits", _PAGE)
            commits = list(islice(listed, MOST_PAGES * _PAGE))
            committers = {((commit.get("author") or {}).get("user") or {}).get("uuid") for commit in commits}
            given = []
            for entry in entries:
                user = entry.get("user") or {}
                if user.get("uuid"):
                    account = account_of(user["uuid"], user.get("nickname") or user.get("display_name"))
                    given.append(Approval(account, moment_of(entry.get("participated_on")), account.id in committers))
        unknown = None
        if len(commits) >= MOST_PAGES * _PAGE:
            unknown = f"the pull request has {len(commits)} commits or more, whose people are too many to read"
        return Approvals(tuple(given), unknown)

    def mergeability(self, number: int) -> Mergeability:
        """Return whether the files merge: Bitbucket has no field for it, and its list of changes names conflicts."""
        payload = self._calls.just_read(number)
        with self._calls.doing("pull request"):
            if payload is None:
                payload = self._calls.get(self._url(number), "pull request")
            if payload["state"] != "OPEN":
                return Mergeability(Mergeable.NO, "it is closed")
            if payload.get("draft"):
                return Mergeability(Mergeable.NO, "it is a draft")
            listed = self._calls.pages(f"{self._url(number)}/diffstat", "pull request's files", _FILES)
            files = list(islice(listed, MOST_PAGES * _FILES))
            conflicts = [file for file in files if file.get("status") not in _CHANGES]
            named = "; ".join(f"{_path(file)[:120]}: {str(file.get('status'))[:40]}" for file in conflicts[:_SHOWN])
        if not files:
            return Mergeability(Mergeable.PENDING)
        if conflicts:
            more = f" and {len(conflicts) - _SHOWN} more files" if len(conflicts) > _SHOWN else ""
            return Mergeability(Mergeable.NO, f"it conflicts with its base branch: {named}{more}")
        if len(files) >= MOST_PAGES * _FILES:
            return Mergeability(Mergeable.UNKNOWN, f"it changes {len(files)} files or more, which are too many to read")
        return Mergeability(Mergeable.YES)

    def checks(self, number: int, commit: str) -> Checks:  # noqa: ARG002 - other hosts need it
        """Return the builds of a commit, by their names and keys."""
        found: dict[str, CheckState] = {}
        url = f"{self._calls.repository_url}/commit/{quote(commit)}/statuses"
        with self._calls.doing("builds"):
            builds = list(islice(self._calls.pages(url, "builds", _PAGE), MOST_PAGES * _PAGE))
            for build in builds:
                for name in {str(build[field]) for field in ("name", "key") if build.get(field)}:
                    found[name.casefold()] = worst(found, name, _STATES.get(build.get("state", ""), CheckState.FAILED))
        return Checks(found, "the commit has more builds than are read" if len(builds) >= MOST_PAGES * _PAGE else None)

    def may_be_team(self, owner: str) -> bool:  # noqa: ARG002 - other hosts need it
        """Return False: the engine reads no owners of files on Bitbucket."""
        return False

    def is_member(self, team: str, account: Account) -> bool | None:  # noqa: ARG002 - other hosts need them
        """Return None: Bitbucket does not tell the members of groups to tokens of repositories."""
        return None

    def merge_base(self, base: str, head: str) -> str | None:
        """Return the best common ancestor; the repository of the base does not have a fork's commit."""
        with self._calls.doing("common ancestor"):
            url = f"{self._calls.repository_url}/merge-base/{quote(base)}..{quote(head)}"
            try:
                return str(self._calls.get(url, "common ancestor")["hash"])
            except NotFound:
                return None

    def _url(self, number: int) -> str:
        return f"{self._calls.repository_url}/pullrequests/{number}"


def _path(file: dict[str, Any]) -> str:
    return str((file.get("new") or file.get("old") or {}).get("path") or "a file")


__all__ = ["BitbucketCalls", "BitbucketReviews"]
