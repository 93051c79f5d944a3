"""The port to a code host: one Protocol for every provider.

A ``CodeHost`` is one repository opened with one set of credentials. Its methods raise ``iac_ci_common.errors`` only:
``NotFound`` (no such pull request, file or comment), ``Throttled`` with ``retry_after`` (the host asked for a longer
wait than the deadline allows), ``PortFailed`` (refused; with ``retry_is_safe`` the host or the network failed).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from iac_ci_common.command_lines import command_line
from iac_ci_common.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the host. ``id`` never changes, ``login`` may; Bitbucket's id is the account's UUID in braces."""

    id: str
    login: str


class Permission(IntEnum):
    """A user's permission on the repository, lowest first."""

    UNKNOWN = -1
    """The host does not tell it to the engine's token."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3

    @property
    def can_write(self) -> bool:
        """Whether the user's commands and approvals count."""
        return self >= Permission.WRITE


GHOST: Final = Account("", "ghost")
"""The author of what an account has left that was deleted; the name is GitHub's and GitLab's."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request (GitLab: merge request) as it is now.

    ``head_repository`` is a full name (``owner/name``), None if the fork was deleted. ``is_fork`` is True if the head
    is in another repository than the base, or if that is unknown. ``head_sha`` is empty while the host does not know it
    yet. ``base_sha`` may be abbreviated. ``updated_at`` is the time of the last change, None if the host does not tell
    it. Bitbucket has no ``labels``. ``merge_sha`` is the commit that a merge has added last to the base branch, the
    head where the merge made none; empty while the host does not tell it. It counts only once the base branch has it.
    ``merged_at`` is None if the host does not tell it.
    """

    number: int
    title: str
    author: Account
    is_open: bool
    head_sha: str
    head_branch: str
    head_repository: str | None
    base_sha: str
    base_branch: str
    is_fork: bool
    url: str
    is_draft: bool = False
    labels: tuple[str, ...] = ()
    updated_at: datetime | None = None
    is_merged: bool = False
    merge_sha: str = ""
    merged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedPullRequest:
    """An open pull request as the host lists it. ``head`` may be abbreviated, or empty while the host does not know it.

    Bitbucket has no ``labels``.
    """

    number: int
    author: Account
    head: str
    base_branch: str
    updated_at: datetime
    is_draft: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenPullRequests:
    """Open pull requests, those that changed last first.

    ``version`` names this list for a later request with the same token; empty if the host gives it no name.
    ``complete`` is False if further pages may have pull requests that changed after the asked moment.
    ``requests`` is the number of pages that were read.
    """

    pulls: tuple[ListedPullRequest, ...]
    version: str = ""
    complete: bool = True
    requests: int = 1


MOST_BEHIND: Final = 101
"""Most commits that are counted between a head and its base branch: it stands for more than 100."""


@dataclass(frozen=True, slots=True)
class MergeState:
    """What the host knows about the merge of a pull request into a commit of its base branch.

    ``behind`` is the number of commits of the base branch that the head does not have, at most ``MOST_BEHIND``; None if
    the host does not tell it. ``commit`` is the newest merge that it has made; it may be one of other commits, which
    only its parents tell.
    """

    behind: int | None = None
    commit: str | None = None


class ChangeKind(StrEnum):
    """How a pull request changes a file."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One changed file. Path filters apply to both names of a rename or copy."""

    path: str
    kind: ChangeKind
    previous_path: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that the change touches."""
        return (self.path,) if self.previous_path is None else (self.path, self.previous_path)


@dataclass(frozen=True, slots=True)
class ChangedFiles:
    """The changed files. ``complete`` is False if the host lists only the first of them: then any path may match."""

    files: tuple[ChangedFile, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a pull request. ``edited`` is True if its text differs, or may differ, from the first version."""

    id: str
    author: Account
    body: str
    created_at: datetime
    edited: bool
    url: str | None = None


class CommitState(StrEnum):
    """The state of a commit status."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


MAX_STATUS_NAME_CHARS: Final = 255
"""Longest name of a status on GitHub (Atlantis issue 2506), GitLab and Bitbucket alike."""

_DIGEST_CHARS: Final = 12


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """One commit status. A later one with the same ``context`` replaces the earlier one."""

    commit: str
    context: str
    state: CommitState
    description: str
    url: str | None = None
    """The link of the status."""

    @property
    def name(self) -> str:
        """The context, for hosts; a longer one than they take is cut, and a part of its hash tells it from others."""
        if len(self.context) <= MAX_STATUS_NAME_CHARS:
            return self.context
        digest = hashlib.sha256(self.context.encode()).hexdigest()[:_DIGEST_CHARS]
        return f"{self.context[: MAX_STATUS_NAME_CHARS - len(digest) - 1]}-{digest}"


@dataclass(frozen=True, slots=True)
class Clone:
    """The URL and credentials for git. The token is passed beside the URL, never in it."""

    url: str
    username: str
    token: str = field(repr=False)

    @property
    def git_token(self) -> str:
        """The token for ``Repositories.checkout``: ``user:token``."""
        return f"{self.username}:{self.token}"


def moment_of(text: object) -> datetime | None:
    """Return the moment of an ISO 8601 text with a time zone, in UTC, None for anything else."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        # Years are 1 to 9999, also in UTC.
        return None


def text_of(value: object) -> str:
    """Return a text that an answer must have; raise ``ValueError`` if it is missing, empty or of another type."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text is missing")
    return value


def account_of(identity: object, login: object) -> Account:
    """Return an account; raise ``ValueError`` without an id, which is never 0."""
    if not identity or isinstance(identity, bool) or not isinstance(identity, (int, str)):
        raise ValueError("an account has no id")
    return Account(str(identity), login if isinstance(login, str) else "")


def named_branch(branch: str, name: object, sha: object) -> str:
    """Return the commit of a branch if the host's answer is about this very branch.

    Hosts may compare names in another way, for example ignoring case. Raises ``NotFound`` for another branch and
    ``ValueError`` for an answer without a commit.
    """
    if name != branch:
        raise NotFound(f"there is no branch {branch!r:.200}; the code host answered with {name!r:.200}")
    return text_of(sha)


def open_since(
    listed: Sequence[ListedPullRequest], since: datetime, version: str, *, requests: int, complete: bool = True
) -> OpenPullRequests:
    """Return those of a list that changed after a moment; a list that is not complete has no version."""
    kept = tuple(pull for pull in listed if pull.updated_at >= since)
    return OpenPullRequests(kept, version if complete else "", complete, requests)


MAX_COMMENT_CHARS: Final = 65_536
"""GitHub's limit for a comment, in characters; other providers have their own."""


@dataclass(frozen=True, slots=True)
class CommentStyle:
    """What a host's comments can hold: so many characters, and HTML or Markdown alone.

    ``command_options`` are the options that name the stack in command lines, each with a space in front.
    """

    max_chars: int = MAX_COMMENT_CHARS
    has_html: bool = True
    command_options: str = ""

    def command(self, name: str, *words: str) -> str:
        """Return a command line as Markdown, with the options that reach the stack."""
        return f"`{command_line(name, *words, options=self.command_options)}`"


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A webhook that its host could not deliver: the ``identity`` in the host's log, the ``guid`` of the delivery."""

    identity: str
    guid: str


@dataclass(frozen=True, slots=True)
class FailedDeliveries:
    """The webhooks that a host could not deliver, and how many requests were sent to learn them."""

    found: tuple[FailedDelivery, ...] = ()
    requests: int = 1


@runtime_checkable
class DeliveryLog(Protocol):
    """A code host that tells the engine which webhooks it could not deliver."""

    def failed_deliveries(self, since: datetime, *, pages: int = 1) -> FailedDeliveries:
        """Return what was not delivered after ``since``, from at most so many pages of the log, the newest first.

        There is none if the credentials may not ask.
        """
        ...

    def delivery(self, failed: FailedDelivery) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the headers, with lower-case names, and the payload of a delivery, by one request."""
        ...


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue as it is now. ``number`` is the one that people see."""

    number: int
    title: str
    body: str
    is_open: bool


class Issues(Protocol):
    """The issues of a repository. Hosts answer ``NotFound`` where the repository has none."""

    def problem(self) -> str | None:
        """Return why the engine cannot write issues, None if nothing is known to be in the way. At most two requests.

        Where the host does not tell what the token may do, only a refusal will.
        """
        ...

    def own(self, marker: str, known: Collection[int]) -> tuple[Issue, ...]:
        """Return the engine's own issues that begin with ``marker``, open and closed, the oldest first.

        Those of other accounts are ignored, because any user can write a marker. If the host does not tell the engine
        its own account, only those with the numbers ``known`` are returned, which the engine has created.
        """
        ...

    def create(self, title: str, body: str) -> Issue:
        """Create an open issue. A request that the host may have carried out is not repeated."""
        ...

    def edit(self, number: int, *, title: str, body: str, is_open: bool) -> Issue:
        """Replace an issue's title, text and state by one request."""
        ...


@runtime_checkable
class HasIssues(Protocol):
    """A code host whose issues the engine can write."""

    def issues(self) -> Issues:
        """Return the repository's issues, without a request."""
        ...


class Merging(Protocol):
    """Merges pull requests of a repository."""

    def merge(self, number: int, commit: str) -> str | None:
        """Merge an open pull request if its head is this commit and no other; return None if it is merged.

        Otherwise return why the host refused, in its own words: it would refuse it again. A request that is refused for
        a reason that may pass is repeated for some seconds. Raises ``PortFailed``, safe to retry, if the host failed or
        may merge it later. Merging again what is merged is refused and changes nothing.
        """
        ...


@runtime_checkable
class CanMerge(Protocol):
    """A code host that merges one commit of a pull request and no other."""

    def merging(self) -> Merging:
        """Return what merges the repository's pull requests, without a request."""
        ...


@runtime_checkable
class KnowsMerges(Protocol):
    """A code host that tells which pull requests have a commit."""

    def pull_requests_of(self, commit: str) -> tuple[int, ...]:
        """Return the numbers of the pull requests that have brought a commit, by one request, at most 100.

        There are none where the host does not know any, or does not know them yet.
        """
        ...


class CodeHost(Protocol):
    """One repository on a code host."""

    kind: str
    """The provider's registered name: ``github``, ``gitlab``, ``bitbucket``."""

    max_comment_chars: int
    """The host's limit for a comment, in characters."""

    comments_have_html: bool
    """Whether the host renders ``<details>`` and hides HTML comments; if not, it shows them as they are written."""

    lag_seconds: float
    """How long the host's API may answer as before a change that its webhook has announced, in seconds."""

    def me(self) -> Account | None:
        """Return the engine's own account, None if the host does not tell it; only the first call sends a request."""
        ...

    def clone(self) -> Clone:
        """Return URL and credentials for git; a token that expires lives for at least five minutes."""
        ...

    def pull_request(self, number: int) -> PullRequest:
        """Return a pull request as it is now."""
        ...

    def open_pull_requests(self, since: datetime, *, known: str = "", pages: int = 1) -> OpenPullRequests | None:
        """Return the open pull requests that changed after ``since``, from at most so many pages.

        Returns None if the list is still that of the version ``known``, which the host may answer for less than a whole
        answer costs: GitHub does not count such a request.
        """
        ...

    def merge_state(self, number: int, base: str, head: str) -> MergeState:
        """Return what the host knows about the merge of a pull request's head commit into a commit of its base."""
        ...

    def changed_files(self, number: int) -> ChangedFiles:
        """Return the files that a pull request changes, from all pages: at most 31 requests for 3,000 files."""
        ...

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Return a file's bytes at a commit or branch; raise ``NotFound``, or ``PortFailed`` beyond ``max_bytes``.

        A name may be a tag's too, so a file that decides what runs is read at the commit that ``branch_head`` returns.
        """
        ...

    def has_folder(self, path: str, commit: str) -> bool:
        """Return whether a commit has a folder at this path; False also for a file."""
        ...

    def default_branch(self) -> str:
        """Return the name of the repository's default branch, as it is now."""
        ...

    def is_private(self) -> bool | None:
        """Return whether only people with access see the repository (private or internal); None if it is not known."""
        ...

    def branch_head(self, branch: str) -> str:
        """Return the full hash of a branch's newest commit; raise ``NotFound`` if there is no such branch.

        The full reference ``refs/heads/<branch>`` is resolved, so a tag with the same name is never returned.
        """
        ...

    def permission(self, account: Account) -> Permission:
        """Return a user's permission; NONE for an unknown user, UNKNOWN if the token may not ask for it."""
        ...

    def comment(self, number: int, comment_id: str) -> Comment:
        """Return one comment of a pull request as it is now; raise ``NotFound`` if there is none."""
        ...

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Return the first comment of the engine's own account that begins with the hidden ``marker``; None if none.

        Comments of other accounts are ignored, because any user can write a marker.
        """
        ...

    def create_comment(self, number: int, body: str) -> Comment:
        """Create a comment. A request that the host may have carried out is not repeated."""
        ...

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:
        """Replace a comment's text."""
        ...

    def fold_comments(self, number: int, markers: Collection[str]) -> int:
        """Fold the engine's own comments that begin with one of the markers, and return how many.

        Returns 0 without a request if the host cannot fold comments.
        """
        ...

    def react(self, number: int, comment_id: str | None = None) -> bool:
        """Add a reaction to a comment, or to the pull request itself; adding it again is harmless.

        Returns False without a request if the host has no reactions.
        """
        ...

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Set a commit's status by its ``name`` (a run's, an order's); setting it again is harmless.

        Raises ``PortFailed`` if the status cannot speak for the commit, for example because another account's status of
        the same name is still open.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """A personal, project or repository access token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """A GitHub app; its tokens last an hour. Without ``installation_id``, the repository's is looked up."""

    app_id: str
    private_key: str = field(repr=False)
    installation_id: str | None = None


Credentials = TokenCredentials | AppCredentials


@dataclass(frozen=True, slots=True)
class HostSettings:
    """A host's provider (``kind``) and the URL of its API, if its name does not show them."""

    kind: str
    api_url: str | None = None


@dataclass(frozen=True, slots=True)
class RepositoryAddress:
    """The parts of a repository's address: ``git.example.com`` and ``group/sub/name``."""

    host: str
    path: str

    @property
    def clone_url(self) -> str:
        """The repository's URL for git over HTTPS."""
        return f"https://{self.host}/{self.path}.git"


@runtime_checkable
class Provider(Protocol):
    """The callable that the entry point group ``iac_ci.code_hosts`` registers under the provider's name."""

    def __call__(
        self,
        address: RepositoryAddress,
        credentials: Credentials,
        *,
        api_url: str | None = None,
        seconds: float = 60,
    ) -> CodeHost:
        """Open a repository without a request to the host.

        ``api_url`` is the API's root if it does not follow from the host's name; ``seconds`` limits each call of the
        Protocol with all its pages, retries and waits.
        """
        ...


__all__ = [
    "GHOST",
    "MAX_COMMENT_CHARS",
    "MOST_BEHIND",
    "Account",
    "AppCredentials",
    "CanMerge",
    "ChangeKind",
    "ChangedFile",
    "ChangedFiles",
    "Clone",
    "CodeHost",
    "Comment",
    "CommentStyle",
    "Credentials",
    "DeliveryLog",
    "FailedDeliveries",
    "FailedDelivery",
    "HasIssues",
    "HostSettings",
    "Issue",
    "Issues",
    "KnowsMerges",
    "ListedPullRequest",
    "MergeState",
    "Merging",
    "OpenPullRequests",
    "Permission",
    "Provider",
    "PullRequest",
    "RepositoryAddress",
    "TokenCredentials",
    "account_of",
    "moment_of",
    "named_branch",
    "open_since",
    "text_of",
]
