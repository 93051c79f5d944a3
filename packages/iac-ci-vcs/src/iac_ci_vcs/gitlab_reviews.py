"""GitLab's approvals, merge status, jobs and groups."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iac_ci_vcs.provider import account_of, moment_of
from iac_ci_vcs.reviews import (
    MOST_PAGES,
    Approval,
    Approvals,
    Checks,
    CheckState,
    Mergeability,
    Mergeable,
    is_own_context,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from iac_ci_vcs.provider import Account

_PAGE: Final = 100
_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403
_SHOWN: Final = 5
_ROLES: Final = {"developer": 30, "maintainer": 40, "owner": 50}
"""Roles that CODEOWNERS may name, also in the plural, with their levels of access."""

_PENDING: Final = frozenset(
    {
        "unchecked",
        "checking",
        "preparing",
        "approvals_syncing",
        "cannot_be_merged_recheck",
        "cannot_be_merged_rechecking",
    }
)
_MERGES: Final = frozenset({"mergeable", "can_be_merged"})
_BY_JOBS: Final = frozenset({"ci_must_pass", "ci_still_running"})
"""States that the engine's own statuses give, which are jobs of the commit's pipeline."""

_WHY: Final = {
    "conflict": "it conflicts with its target branch",
    "cannot_be_merged": "it conflicts with its target branch, or a rule of the project does not allow it",
    "broken_status": "it conflicts with its target branch",
    "draft_status": "it is a draft",
    "discussions_not_resolved": "discussions are not resolved",
    "not_approved": "a required approval is missing",
    "requested_changes": "a reviewer has requested changes",
    "need_rebase": "it must be rebased onto its target branch",
    "not_open": "it is closed",
    "blocked_status": "another merge request blocks it",
}
_PASSED: Final = frozenset({"success", "skipped"})
_FAILED: Final = frozenset({"failed", "canceled", "canceling", "skipped"})
_APPROVED: Final = "approved this merge request"
_UNAPPROVED: Final = "unapproved this merge request"
_PRIVATE_EMAIL: Final = re.compile(r"(\d+)-[^@]+@users\.noreply\..+")
"""The address that GitLab gives to a person for commits."""


@dataclass(frozen=True, slots=True)
class GitLabCalls:
    """How the project's host is asked: the calls of its provider.

    ``just_read`` returns, once, the merge request that was read a moment ago; None if none was. ``failed`` is the class
    of the client's errors, which have a ``response_code``.
    """

    project_path: str
    doing: Callable[[str], AbstractContextManager[None]]
    get: Callable[..., dict[str, Any]]
    listed: Callable[..., Iterator[dict[str, Any]]]
    just_read: Callable[[int], dict[str, Any] | None]
    failed: type[Exception]


class GitLabReviews:
    """The reviews of one project on GitLab."""

    owner_files = ("CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")

    def __init__(self, calls: GitLabCalls) -> None:
        """Ask by the provider's calls."""
        self._calls = calls

    def approvals(self, number: int) -> Approvals:
        """Return who has approved, whether or not the project has rules that ask for it.

        Older versions do not tell when, so it is looked for in GitLab's own notes. Commits have names and
        addresses of people, not accounts: an approval by someone with such a name counts as one of a committer.
        """
        path = self._path(number)
        with self._calls.doing("approvals"):
            entries = self._calls.get(f"{path}/approvals").get("approved_by") or []
            if not entries:
                return Approvals()
            noted = {} if all(entry.get("approved_at") for entry in entries) else self._noted(path)
            commits = list(islice(self._calls.listed(f"{path}/commits"), MOST_PAGES * _PAGE))
            names = {str(commit.get(f"{side}_name") or "").casefold() for commit in commits for side in _SIDES} - {""}
            addresses = [str(commit.get(f"{side}_email") or "") for commit in commits for side in _SIDES]
            ids = {match[1] for address in addresses if (match := _PRIVATE_EMAIL.fullmatch(address))}
            given = []
            for entry in entries:
                user = entry["user"]
                account = account_of(user["id"], user["username"])
                own = {str(user.get(name) or "").casefold() for name in ("name", "username")}
                at = moment_of(entry.get("approved_at")) or noted.get(account.id)
                given.append(Approval(account, at, bool(own & names) or account.id in ids))
        unknown = None
        if len(commits) >= MOST_PAGES * _PAGE:
            unknown = f"the merge request has {len(commits)} commits or more, whose people are too many to read"
        return Approvals(tuple(given), unknown)

    def _noted(self, path: str) -> dict[str, datetime]:
        """Return the times of approvals by GitLab's own notes; each person's newest note counts."""
        found: dict[str, datetime | None] = {}
        listed = self._calls.listed(f"{path}/notes", sort="desc", order_by="created_at")
        for note in islice(listed, MOST_PAGES * _PAGE):
            body = str(note.get("body") or "")
            if note.get("system") is not True or not note.get("author"):
                continue
            if body.startswith((_APPROVED, _UNAPPROVED)):
                at = moment_of(note.get("created_at")) if body.startswith(_APPROVED) else None
                found.setdefault(str(note["author"]["id"]), at)
        return {account: at for account, at in found.items() if at is not None}

    def mergeability(self, number: int) -> Mergeability:
        """Return whether GitLab would merge. Where its jobs forbid it, they are judged without the engine's own."""
        payload = self._calls.just_read(number)
        with self._calls.doing("merge request"):
            if payload is None:
                payload = self._calls.get(self._path(number))
            status = str(payload.get("detailed_merge_status") or payload.get("merge_status") or "unchecked")
            if status in _PENDING:
                return Mergeability(Mergeable.PENDING)
            if status in _MERGES:
                return Mergeability(Mergeable.YES)
            if status in _BY_JOBS:
                return self._beside_own(number, payload, status)
        return Mergeability(Mergeable.NO, _WHY.get(status, f"GitLab calls its state {status[:60]!r}"))

    def _beside_own(self, number: int, payload: dict[str, Any], status: str) -> Mergeability:
        """Return what forbids the merge besides the engine's own statuses: GitLab tells the first reason alone."""
        problems = [
            text
            for is_so, text in (
                (payload.get("has_conflicts"), _WHY["conflict"]),
                (payload.get("draft"), _WHY["draft_status"]),
                (payload.get("blocking_discussions_resolved") is False, _WHY["discussions_not_resolved"]),
                ((self._calls.get(f"{self._path(number)}/approvals").get("approvals_left") or 0) > 0,
                 _WHY["not_approved"]),
            )
            if is_so
        ]  # fmt: skip
        rows, is_cut = self._rows(number, payload)
        open_rows = [row for row in rows if row["status"] not in _PASSED and not row.get("allow_failure")]
        others = dict.fromkeys(row["name"] for row in open_rows if not is_own_context(row["name"]))
        problems += [f"the job {name[:80]} has not passed" for name in list(others)[:_SHOWN]]
        if problems:
            return Mergeability(Mergeable.NO, "; ".join(problems))
        if is_cut:
            return Mergeability(Mergeable.UNKNOWN, "its commit has more jobs than are read")
        if open_rows:
            return Mergeability(Mergeable.YES)
        return Mergeability(Mergeable.UNKNOWN, f"GitLab calls its state {status!r}, and no job of its commit is open")

    def checks(self, number: int, commit: str) -> Checks:  # noqa: ARG002 - other hosts need it
        """Return jobs and external statuses of the newest commit, and of the pipeline of the merged result."""
        found: dict[str, CheckState] = {}
        with self._calls.doing("statuses"):
            rows, is_cut = self._rows(number, self._calls.get(self._path(number)))
            for row in rows:
                state = CheckState.PENDING
                if row["status"] == "success":
                    state = CheckState.PASSED
                elif row["status"] in _FAILED:
                    state = CheckState.FAILED
                found[row["name"].casefold()] = worst(found, row["name"], state)
        return Checks(found, "the commit has more jobs than are read" if is_cut else None)

    def _rows(self, number: int, payload: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """Return the newest job of each name; a list of a commit has the jobs of other merge requests too."""
        refs = {payload.get("source_branch"), *(f"refs/merge-requests/{number}/{kind}" for kind in _REFS)}
        pipeline = (payload.get("head_pipeline") or {}).get("sha")
        shas = dict.fromkeys(str(sha) for sha in (payload.get("sha"), pipeline) if sha)
        found: list[dict[str, Any]] = []
        is_cut = False
        for sha in shas:
            path = f"{self._calls.project_path}/repository/commits/{quote(sha)}/statuses"
            rows = list(islice(self._calls.listed(path), MOST_PAGES * _PAGE))
            is_cut = is_cut or len(rows) >= MOST_PAGES * _PAGE
            newest = {(row["name"], row.get("ref"), (row.get("author") or {}).get("id")): row for row in rows}
            found += [row for row in newest.values() if row.get("ref") in refs]
        return found, is_cut

    def may_be_team(self, owner: str) -> bool:
        """Return whether an owner is a group or a role. People and groups at the top share one set of names."""
        if owner.startswith("@"):
            return _role(owner) is not None
        if "/" in owner:
            return True
        with self._calls.doing("people of a name"):
            try:
                return next(self._calls.listed("/users", username=owner), None) is None
            except self._calls.failed as error:
                if getattr(error, "response_code", None) in {_NOT_FOUND, _FORBIDDEN}:
                    return True
                raise

    def is_member(self, team: str, account: Account) -> bool | None:
        """Return whether an account is in a group, also by a group above or one that was invited.

        Roles, such as ``@maintainers``, have the direct members of the project with just this role, as in CODEOWNERS
        on GitLab.
        """
        if team.startswith("@"):
            with self._calls.doing("members of the project"):
                found = self._found(f"{self._calls.project_path}/members/{int(account.id)}")
            return found is not None and _is_active(found) and found.get("access_level") == _role(team)
        path = f"/groups/{quote(team, safe='')}"
        with self._calls.doing("members of a group"):
            found = self._found(f"{path}/members/all/{int(account.id)}")
            if found is None:
                return None if self._found(path) is None else False
        return _is_active(found) and (found.get("access_level") or 0) > 0

    def _found(self, path: str) -> dict[str, Any] | None:
        try:
            return self._calls.get(path)
        except self._calls.failed as error:
            if getattr(error, "response_code", None) in {_NOT_FOUND, _FORBIDDEN}:
                return None
            raise

    def merge_base(self, base: str, head: str) -> str | None:
        """Return the best common ancestor."""
        with self._calls.doing("common ancestor"):
            query = f"refs[]={quote(base)}&refs[]={quote(head)}"
            found = self._found(f"{self._calls.project_path}/repository/merge_base?{query}")
            return str(found["id"]) if found is not None else None

    def _path(self, number: int) -> str:
        return f"{self._calls.project_path}/merge_requests/{number}"


def _role(name: str) -> int | None:
    return _ROLES.get(name.removeprefix("@").lower().removesuffix("s"))


def _is_active(member: dict[str, Any]) -> bool:
    return bool(member.get("state", "active") == "active")


_SIDES: Final = ("author", "committer")
_REFS: Final = ("head", "merge", "train")

__all__ = ["GitLabCalls", "GitLabReviews"]
