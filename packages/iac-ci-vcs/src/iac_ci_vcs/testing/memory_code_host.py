"""A code host in memory: pull requests, files at commits, comments, statuses and rights as plain attributes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from iac_ci_common.errors import NotFound
from iac_ci_vcs.provider import (
    Account,
    ChangedFiles,
    Clone,
    Comment,
    Issue,
    ListedPullRequest,
    MergeState,
    OpenPullRequests,
    Permission,
    PullRequest,
    open_since,
)
from iac_ci_vcs.reviews import Approvals, Checks, Mergeability, Mergeable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from iac_ci_vcs.provider import ChangedFile, CommitStatus

ENGINE = Account("1", "engine")
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryReviews:
    """Reviews as plain attributes: nobody has approved, everything is mergeable, nothing is behind its base."""

    owner_files: tuple[str, ...] = ("CODEOWNERS",)

    def __init__(self) -> None:
        """Start without approvals, checks and teams."""
        self.approved: Approvals = Approvals()
        self.mergeable: Mergeability = Mergeability(Mergeable.YES)
        self.checked: Checks = Checks()
        self.members: dict[tuple[str, str], bool | None] = {}
        self.merge_bases: dict[str, str | None] = {}

    def approvals(self, number: int) -> Approvals:
        """Return what was set."""
        return self.approved

    def mergeability(self, number: int) -> Mergeability:
        """Return what was set."""
        return self.mergeable

    def checks(self, number: int, commit: str) -> Checks:
        """Return what was set."""
        return self.checked

    def may_be_team(self, owner: str) -> bool:
        """Return whether the name has a slash."""
        return "/" in owner

    def is_member(self, team: str, account: Account) -> bool | None:
        """Return what was set for a team and the id of an account."""
        return self.members.get((team, account.id), False)

    def merge_base(self, base: str, head: str) -> str | None:
        """Return what was set for a head; else the base, so that the head is not behind."""
        return self.merge_bases.get(head, base)


class MemoryCodeHost:
    """One repository. It is its own ``CodeHosts`` too: ``open`` always returns this one."""

    kind = "memory"
    max_comment_chars = 65_536
    comments_have_html = True
    lag_seconds = 0.0

    def __init__(self) -> None:
        """Start empty, without permissions for any account."""
        self.pulls: dict[int, PullRequest] = {}
        self.merges: dict[int, MergeState] = {}
        self.changes: dict[int, tuple[ChangedFile, ...]] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.reviewed = MemoryReviews()
        self.default = "main"
        self.private: bool | None = None
        self.now = _MOMENT
        self.heads: dict[str, str] = {}
        self.permissions: dict[str, Permission] = {}
        self.comments: dict[int, list[Comment]] = {}
        self.statuses: list[CommitStatus] = []
        self.reactions: list[tuple[int, str | None]] = []
        self.written: list[str] = []
        self.folded: set[str] = set()
        self.opened: list[tuple[str, str]] = []
        self.issued: dict[int, Issue] = {}
        self.issues_problem: str | None = None
        self.merge_problem: str | None = None
        self.merged: list[tuple[int, str]] = []

    @contextmanager
    def open(self, repository: str, token_location: str) -> Iterator[MemoryCodeHost]:
        """Return this host and record the arguments."""
        self.opened.append((repository, token_location))
        yield self

    def me(self) -> Account:
        """Return the engine's account."""
        return ENGINE

    def clone(self) -> Clone:
        """Return a URL that is never fetched."""
        return Clone("https://memory.invalid/a/b.git", "engine", "token")

    def pull_request(self, number: int) -> PullRequest:
        """Return a pull request."""
        if number not in self.pulls:
            raise NotFound(f"there is no pull request {number}")
        return self.pulls[number]

    def open_pull_requests(self, since: datetime, *, known: str = "", pages: int = 1) -> OpenPullRequests:
        """Return the open pull requests; one without a time of change changed at ``now``."""
        listed = [
            ListedPullRequest(
                pull.number,
                pull.author,
                pull.head_sha,
                pull.base_branch,
                pull.updated_at or self.now,
                pull.is_draft,
                pull.labels,
            )
            for pull in self.pulls.values()
            if pull.is_open
        ]
        return open_since(listed, since, "", requests=1)

    def merge_state(self, number: int, base: str, head: str) -> MergeState:
        """Return the state that was set in ``merges``."""
        return self.merges.get(number, MergeState())

    def pull_requests_of(self, commit: str) -> tuple[int, ...]:
        """Return the merged pull requests whose merge made a commit."""
        return tuple(pull.number for pull in self.pulls.values() if pull.merge_sha == commit)

    def reviews(self) -> MemoryReviews:
        """Return the reviews, which a test may change."""
        return self.reviewed

    def changed_files(self, number: int) -> ChangedFiles:
        """Return the changed files, complete."""
        return ChangedFiles(self.changes.get(number, ()))

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Return a file's bytes at a commit or branch."""
        if (path, ref) not in self.files:
            raise NotFound(f"there is no {path} at {ref}")
        return self.files[path, ref]

    def has_folder(self, path: str, commit: str) -> bool:
        """Return whether a file is in the folder at a commit."""
        return any(known.startswith(f"{path}/") for known, ref in self.files if ref == commit)

    def branch_head(self, branch: str) -> str:
        """Return a branch's commit."""
        if branch not in self.heads:
            raise NotFound(f"there is no branch {branch}")
        return self.heads[branch]

    def default_branch(self) -> str:
        """Return the default branch, ``main`` at first."""
        return self.default

    def is_private(self) -> bool | None:
        """Return what was set, not known at first."""
        return self.private

    def permission(self, account: Account) -> Permission:
        """Return an account's permission."""
        return self.permissions.get(account.id, Permission.NONE)

    def comment(self, number: int, comment_id: str) -> Comment:
        """Return a comment."""
        for comment in self.comments.get(number, []):
            if comment.id == comment_id:
                return comment
        raise NotFound(f"there is no comment {comment_id}")

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Return the engine's own comment that begins with ``marker``."""
        ours = (comment for comment in self.comments.get(number, []) if comment.author == ENGINE)
        return next((comment for comment in ours if comment.body.startswith(marker)), None)

    def create_comment(self, number: int, body: str) -> Comment:
        """Create a comment of the engine."""
        self.written.append(body)
        return self.write(number, ENGINE, body)

    def write(self, number: int, author: Account, body: str, *, edited: bool = False) -> Comment:
        """Create a comment of any account at the moment ``now``."""
        comments = self.comments.setdefault(number, [])
        comment = Comment(str(sum(map(len, self.comments.values())) + 1), author, body, self.now, edited)
        comments.append(comment)
        return comment

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:
        """Replace a comment's text."""
        self.written.append(body)
        comment = replace(self.comment(number, comment_id), body=body, edited=True)
        comments = self.comments[number]
        comments[[known.id for known in comments].index(comment_id)] = comment
        return comment

    def fold_comments(self, number: int, markers: Collection[str]) -> int:
        """Store which comments are folded."""
        ours = (comment for comment in self.comments.get(number, []) if comment.author == ENGINE)
        folded = {comment.id for comment in ours if comment.body.startswith(tuple(markers))}
        self.folded |= folded
        return len(folded)

    def react(self, number: int, comment_id: str | None = None) -> bool:
        """Store a reaction."""
        self.reactions.append((number, comment_id))
        return True

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Store a status."""
        self.statuses.append(status)

    def merging(self) -> MemoryCodeHost:
        """Return this host, which merges too."""
        return self

    def merge(self, number: int, commit: str) -> str | None:
        """Merge an open pull request whose head this is, unless ``merge_problem`` is set."""
        pull = self.pull_request(number)
        if self.merge_problem is not None or not pull.is_open or pull.head_sha != commit:
            return self.merge_problem or "the pull request is closed or has another head"
        self.merged.append((number, commit))
        self.pulls[number] = replace(pull, is_open=False, is_merged=True)
        return None

    def issues(self) -> MemoryCodeHost:
        """Return this host, which has the issues too."""
        return self

    def problem(self) -> str | None:
        """Return ``issues_problem``."""
        return self.issues_problem

    def own(self, marker: str, known: Collection[int]) -> tuple[Issue, ...]:
        """Return the engine's own issues."""
        if self.issues_problem is not None:
            raise NotFound(self.issues_problem)
        return tuple(issue for issue in self.issued.values() if issue.body.startswith(marker))

    def create(self, title: str, body: str) -> Issue:
        """Create an issue."""
        issue = Issue(len(self.issued) + 1, title, body, is_open=True)
        self.issued[issue.number] = issue
        return issue

    def edit(self, number: int, *, title: str, body: str, is_open: bool) -> Issue:
        """Replace an issue."""
        if number not in self.issued:
            raise NotFound(f"there is no issue {number}")
        self.issued[number] = Issue(number, title, body, is_open)
        return self.issued[number]

    def close(self) -> None:
        """Do nothing: there are no connections."""
