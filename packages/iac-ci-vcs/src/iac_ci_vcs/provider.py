"""What the engine asks of a code host: one Protocol, whatever the host's name.

A ``CodeHost`` speaks for one repository with one set of credentials. Every method raises ``iac_ci_common.errors`` only:
``NotFound`` (no such pull request, file, comment), ``Throttled`` with ``retry_after`` (the host asked for more patience
than there was time), ``PortFailed`` (refused, or with ``retry_is_safe`` the host or the network failed).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the host. ``id`` never changes, ``login`` may; Bitbucket's id is the account's UUID in braces."""

    id: str
    login: str


class Permission(IntEnum):
    """What a user may do with the repository, least first."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3

    @property
    def can_write(self) -> bool:
        """Return whether the user's commands and approvals count."""
        return self >= Permission.WRITE


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request (GitLab: merge request) as it is now.

    ``head_repository`` is a full name (``owner/name``), None where the fork is gone; ``is_fork``: the head lies
    in another repository than the base, or that nobody can tell.
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


class ChangeKind(StrEnum):
    """What a pull request does to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One changed file; of a rename (or copy) both names count for path filters."""

    path: str
    kind: ChangeKind
    previous_path: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Return every name that the change touches."""
        return (self.path,) if self.previous_path is None else (self.path, self.previous_path)


@dataclass(frozen=True, slots=True)
class ChangedFiles:
    """The changed files. ``complete`` is False where the host tells only the first of them: then any path may match."""

    files: tuple[ChangedFile, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a pull request. ``edited`` says that its text is not, or may not be, what was first written."""

    id: str
    author: Account
    body: str
    created_at: datetime
    edited: bool
    url: str | None = None


class CommitState(StrEnum):
    """What a code host shows beside a commit."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """One status. Of two with the same ``context`` on one commit the later one counts."""

    commit: str
    context: str
    state: CommitState
    description: str


@dataclass(frozen=True, slots=True)
class Clone:
    """How git gets at the repository. The token is given to git beside the URL, never in it."""

    url: str
    username: str
    token: str = field(repr=False)

    @property
    def git_token(self) -> str:
        """Return what ``Repositories.checkout`` takes as its token: the user's name and the token."""
        return f"{self.username}:{self.token}"


class CodeHost(Protocol):
    """One repository on a code host."""

    kind: str
    """The provider's registered name: ``github``, ``gitlab``, ``bitbucket``."""

    max_comment_chars: int
    """Longest comment that the host takes, in characters."""

    def me(self) -> Account:
        """Return the engine's own account; asked once."""
        ...

    def clone(self) -> Clone:
        """Return address and credentials for git; a token that expires is fresh."""
        ...

    def pull_request(self, number: int) -> PullRequest:
        """Read a pull request."""
        ...

    def changed_files(self, number: int) -> ChangedFiles:
        """List what a pull request changes, all pages: at most 31 requests for 3,000 files."""
        ...

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Read a file at a commit or branch; ``NotFound`` if there is none, ``PortFailed`` if it is larger."""
        ...

    def branch_head(self, branch: str) -> str:
        """Return the full commit that a branch is at now; ``NotFound`` if there is no such branch."""
        ...

    def permission(self, account: Account) -> Permission:
        """Return what a user may do; NONE for a stranger."""
        ...

    def comment(self, number: int, comment_id: str) -> Comment:
        """Read one comment of a pull request as it is now."""
        ...

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Find the first comment that begins with the hidden ``marker`` and that our own account wrote.

        Anybody may write a marker; a comment of somebody else's is never found.
        """
        ...

    def create_comment(self, number: int, body: str) -> Comment:
        """Write a comment; never repeated by itself where the host may have taken it."""
        ...

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:
        """Replace a comment's text."""
        ...

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Set a status (one per context: a run's, an order's) on a commit; setting it again is harmless."""
        ...

    def close(self) -> None:
        """Let the connections go."""
        ...


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """A personal, project or repository access token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """A GitHub app: its key mints tokens of an hour. Without ``installation_id`` the repository's is asked for."""

    app_id: str
    private_key: str = field(repr=False)
    installation_id: str | None = None


Credentials = TokenCredentials | AppCredentials


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What is known of a host beyond its name: the provider that speaks to it and where its API is."""

    kind: str
    api_url: str | None = None


@dataclass(frozen=True, slots=True)
class RepositoryAddress:
    """A repository's address taken apart: ``git.example.com`` and ``group/sub/name``."""

    host: str
    path: str

    @property
    def clone_url(self) -> str:
        """Write the address as git takes it over HTTPS."""
        return f"https://{self.host}/{self.path}.git"


@runtime_checkable
class Provider(Protocol):
    """What the entry point group ``iac_ci.code_hosts`` registers under the provider's name."""

    def __call__(
        self,
        address: RepositoryAddress,
        credentials: Credentials,
        *,
        api_url: str | None = None,
        seconds: float = 60,
    ) -> CodeHost:
        """Open a repository without asking the host anything.

        ``api_url`` is the API's root where it is not the one that follows from the host's name; ``seconds`` bounds each
        call of the Protocol with all its pages, retries and waits.
        """
        ...


__all__ = [
    "Account",
    "AppCredentials",
    "ChangeKind",
    "ChangedFile",
    "ChangedFiles",
    "Clone",
    "CodeHost",
    "Comment",
    "Credentials",
    "HostSettings",
    "Permission",
    "Provider",
    "PullRequest",
    "RepositoryAddress",
    "TokenCredentials",
]
