"""One project on the code host: people, permissions, pull requests, comments and statuses, without its git."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from iac_ci_common.errors import NotFound
from iac_ci_local.fake_hosts.merges import MergeBook
from iac_ci_local.fake_hosts.person import Person
from iac_ci_local.fake_hosts.reviews import Review, ReviewBook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_local.fake_hosts.installed_app import InstalledApp
    from iac_ci_local.fake_hosts.repository import File, HostedRepository, Landing
    from iac_ci_local.fake_hosts.reviews import ReviewState

Right = Literal["admin", "write", "read", "none"]

PROJECT_ID: Final = 1000
FORK_ID: Final = 2000
_FIRST_ISSUE: Final = 1001
APP_ACCOUNT_ID: Final = 50_000


@dataclass(frozen=True, slots=True)
class WrittenComment:
    """A comment on a pull request; its times are whole seconds, as on GitHub."""

    id: int
    number: int
    author: Person
    body: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WrittenIssue:
    """An issue; its times are whole seconds."""

    number: int
    title: str
    body: str
    author: Person
    created_at: datetime
    updated_at: datetime
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Reaction:
    """A reaction to ``issues/<number>`` or ``comments/<id>``."""

    id: int
    subject: str
    author: Person
    content: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SetStatus:
    """A commit status; a later one with the same context replaces it.

    ``state`` is one of GitHub's, whatever the host. ``ref`` and ``pipeline`` are GitLab's.
    """

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: Person
    created_at: datetime
    ref: str | None = None
    pipeline: int | None = None


@dataclass(frozen=True, slots=True)
class OpenPullRequest:
    """A pull request. ``fork`` is the full name of the head's repository if that is another one."""

    number: int
    title: str
    body: str
    author: Person
    base_branch: str
    head_branch: str
    created_at: datetime
    fork: str | None = None
    is_open: bool = True
    is_merged: bool = False
    is_draft: bool = False
    labels: tuple[str, ...] = ()
    updated_at: datetime | None = None
    merged_from: str = ""
    """The base branch's commit before the merge."""

    merged_head: str = ""
    landed: str = ""
    """The base branch's newest commit after the merge."""

    landing: Landing = "merge"
    merged_at: datetime | None = None

    @property
    def changed_at(self) -> datetime:
        """The moment of the last change."""
        return self.updated_at or self.created_at


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Project:
    """One project on the host. Thread-safe."""

    owner: str
    name: str
    repository: HostedRepository
    tokens: Mapping[str, Person]
    """The owner of each token."""

    rights: Mapping[str, Right]
    """The permission of each login; every other account may only read."""

    app: InstalledApp | None = None
    """The installed GitHub app, if any; it acts as ``<slug>[bot]``."""

    now: Callable[[], datetime] = _now
    lag: timedelta = timedelta()
    """How long after a change the API answers as before it."""

    may_ask_about_people: bool = True
    """Whether the engine's token may ask who it belongs to and what others may do, as Bitbucket's may not."""

    visibility: str | None = None
    """``public``, ``private`` or ``internal``; empty if the host does not tell it. None is each host's usual one."""

    has_issues: bool = True
    """Whether the project's issues are switched on; those of Bitbucket are off at first."""

    pipelines: dict[str, int] = field(default_factory=dict)
    """Pipelines of other origin, by commit."""

    pull_requests: dict[int, OpenPullRequest] = field(default_factory=dict)
    _comments: dict[int, WrittenComment] = field(default_factory=dict)
    reactions: dict[tuple[str, int, str], Reaction] = field(default_factory=dict)
    minimized: set[int] = field(default_factory=set)
    """The ids of the comments that are folded."""

    merge_seconds: float = 3.0
    """How long GitHub takes to make a test merge, and GitLab to check one, from the request that asks for it."""

    landing_seconds: float = 0.0
    """How long after a merge the API does not tell which commit it made."""

    rebases_heads: bool = False
    """Whether a rebase moves the pull request's own branch, which is then fast-forwarded, as on GitLab."""

    links_commits: bool = True
    """Whether Bitbucket knows which pull requests have a commit; others do not until an app is installed."""

    book: ReviewBook = field(default_factory=ReviewBook)
    merging: MergeBook = field(default_factory=MergeBook)

    _merges: dict[int, list[tuple[datetime, tuple[str, str], str | None]]] = field(default_factory=dict)
    _issues: dict[int, WrittenIssue] = field(default_factory=dict)
    _history: dict[int, list[tuple[datetime, OpenPullRequest]]] = field(default_factory=dict)
    _heads: dict[str, list[tuple[datetime, str]]] = field(default_factory=dict)
    _statuses: list[SetStatus] = field(default_factory=list)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def full_name(self) -> str:
        """The full name, ``owner/name``."""
        return f"{self.owner}/{self.name}"

    def speaker(self, token: str) -> Person | None:
        """Return the owner of a token; None for an unknown or expired token."""
        if self.app is not None and self.app.knows(token):
            return self.app_account(self.app)
        return self.tokens.get(token)

    @staticmethod
    def app_account(app: InstalledApp) -> Person:
        """Return the bot account of an app."""
        return Person(APP_ACCOUNT_ID + app.id, f"{app.slug}[bot]")

    def people(self) -> list[Person]:
        """Return everyone who is known, each once."""
        apps = [] if self.app is None else [self.app_account(self.app)]
        authors = (pull.author for pull in self.pull_requests.values())
        reviewers = (review.author for review in self.book.reviews)
        return list(dict.fromkeys([*apps, *self.tokens.values(), *authors, *reviewers]))

    def person(self, login: str) -> Person | None:
        """Return a known person by login, compared ignoring case; None if there is none."""
        return next((person for person in self.people() if person.login.lower() == login.lower()), None)

    def right(self, person: Person) -> Right:
        """Return a person's permission; ``read`` if none is set."""
        return self.rights.get(person.login, "read")

    def open_pull_request(
        self, *, title: str, author: Person, head_branch: str, base_branch: str, body: str = "", fork: str | None = None
    ) -> OpenPullRequest:
        """Create and return a pull request; numbers start at 1."""
        with self._lock:
            number = len(self.pull_requests) + 1
            made = OpenPullRequest(number, title, body, author, base_branch, head_branch, self._moment(), fork=fork)
            self.pull_requests[number] = made
            self._history[number] = [(self.now(), made)]
            return made

    def change(self, number: int, **fields: Any) -> OpenPullRequest:
        """Change and return a pull request."""
        with self._lock:
            before = self.pull_request(number)
            changed = replace(before, **{"updated_at": self._later(before.changed_at), **fields})
            self.pull_requests[number] = changed
            self._history.setdefault(number, [(before.created_at, before)]).append((self.now(), changed))
            return changed

    def push(self, number: int, files: Mapping[str, File | bytes | None], message: str) -> tuple[str, str]:
        """Add a commit to a pull request's branch, and return its heads before and after."""
        branch = self.pull_request(number).head_branch
        before = self.repository.head(branch)
        after = self.repository.commit(branch, files, message)
        with self._lock:
            self._heads.setdefault(branch, [(datetime.min.replace(tzinfo=UTC), before)]).append((self.now(), after))
            self.change(number)
            for one in self.book.approvals(number) if self.book.resets else ():
                self.review(number, one.author, "WITHDRAWN")
        return before, after

    def land(self, number: int, how: Landing, *, deletes_branch: bool = False) -> OpenPullRequest:
        """Merge a pull request and return it."""
        with self._lock:
            pull = self.pull_request(number)
            base, head = self.repository.head(pull.base_branch), self.repository.head(pull.head_branch)
            landed = self.repository.land(pull.base_branch, head, how)
            # The hosts keep the commits of pull requests whose branches are deleted.
            self.repository.name(f"refs/pull/{number}/head", head)
            if how == "rebase" and self.rebases_heads:
                head, how = landed, "fast-forward"
            if deletes_branch:
                self.repository.name(f"refs/heads/{pull.head_branch}", None)
            return self.change(
                number, is_open=False, is_merged=True, merged_from=base, merged_head=head, landed=landed,
                landing=how, merged_at=self.now(),
            )  # fmt: skip

    def landed(self, pull: OpenPullRequest) -> str | None:
        """Return the base branch's newest commit after a merge; None as long as the API does not tell it."""
        if not pull.is_merged or not pull.landed or pull.merged_at is None:
            return None
        return pull.landed if self.now() >= pull.merged_at + timedelta(seconds=self.landing_seconds) else None

    def pulls_of(self, sha: str) -> list[OpenPullRequest]:
        """Return the pull requests that have brought a commit, as the API knows them now."""
        return [pull for pull in map(self.seen, self.pull_requests) if self.landed(pull) == sha]

    def compared(self, pull: OpenPullRequest) -> tuple[str, str]:
        """Return the commit of the base branch and the head that a pull request compares, also after its merge."""
        return pull.merged_from or self.repository.head(pull.base_branch), self.seen_head(pull)

    def newest_head(self, pull: OpenPullRequest) -> str:
        """Return a pull request's head as its webhooks have it."""
        return pull.merged_head or self.repository.head(pull.head_branch)

    def review(self, number: int, person: Person, state: ReviewState) -> Review:
        """Add and return a review."""
        self.pull_request(number)
        with self._lock:
            made = Review(next(self._ids), number, person, state, self.now())
            self.book.reviews.append(made)
            return made

    def seen(self, number: int) -> OpenPullRequest:
        """Return a pull request as the API shows it now; the first state of one that was opened a moment ago."""
        pull = self.pull_request(number)
        if not self.lag:
            return pull
        states = self._history.get(number, [(pull.created_at, pull)])
        return [state for moment, state in states if moment <= self.now() - self.lag or state is states[0][1]][-1]

    def seen_head(self, pull: OpenPullRequest) -> str:
        """Return a pull request's head as the API shows it now."""
        if pull.merged_head:
            return pull.merged_head
        heads = self._heads.get(pull.head_branch)
        if not self.lag or heads is None:
            return self.repository.head(pull.head_branch)
        return [sha for moment, sha in heads if moment <= self.now() - self.lag][-1]

    def listed(self) -> list[OpenPullRequest]:
        """Return the open pull requests as the API lists them now, those that changed last first."""
        seen = [self.seen(number) for number in self.pull_requests if not self.is_unknown(number)]
        return sorted((pull for pull in seen if pull.is_open), key=lambda pull: pull.changed_at, reverse=True)

    def test_merge(self, pull: OpenPullRequest) -> str | None:
        """Return the test merge that GitHub has now, also one of older commits, and begin to make the newest.

        GitHub makes none before the pull request is asked for, and ``refs/pull/<number>/merge`` is the last one.
        """
        wanted = self.compared(pull)
        with self._lock:
            made = self._merges.setdefault(pull.number, [])
            ready = [commit for moment, _, commit in made if moment <= self.now()]
            if not made or made[-1][1] != wanted:
                commit = self.repository.merge(*wanted, f"refs/pull/{pull.number}/merge")
                made.append((self.now() + timedelta(seconds=self.merge_seconds), wanted, commit))
            return ready[-1] if ready else None

    def merges(self, pull: OpenPullRequest) -> bool | None:
        """Return whether the present commits merge without a conflict; None until the host has tried it."""
        self.test_merge(pull)
        with self._lock:
            ready_at, _, commit = self._merges[pull.number][-1]
            return None if ready_at > self.now() else commit is not None

    def commits(self, pull: OpenPullRequest) -> list[str]:
        """Return the commits of a pull request, the oldest first."""
        base, head = self.compared(pull)
        return self.repository.missing(head, base)[::-1]

    def is_unknown(self, number: int) -> bool:
        """Return whether a pull request was opened so recently that the API does not have it yet."""
        states = self._history.get(number)
        return bool(self.lag) and states is not None and states[0][0] > self.now() - self.lag

    def is_new(self, number: int) -> bool:
        """Return whether a pull request was opened or changed so recently that the host has not looked at it yet."""
        states = self._history.get(number)
        return bool(self.lag) and states is not None and states[-1][0] > self.now() - self.lag

    def pull_request(self, number: int) -> OpenPullRequest:
        """Return a pull request; raise ``NotFound`` if there is none with that number."""
        if number not in self.pull_requests:
            raise NotFound(f"there is no pull request {number}")
        return self.pull_requests[number]

    def react(self, subject: str, author: Person, content: str) -> tuple[Reaction, bool]:
        """Add a reaction to ``issues/<number>`` or ``comments/<id>``, and return it and whether it is new."""
        with self._lock:
            key = (subject, author.id, content)
            is_new = key not in self.reactions
            if is_new:
                self.reactions[key] = Reaction(len(self.reactions) + 1, subject, author, content, self._moment())
            return self.reactions[key], is_new

    def comments(self, number: int) -> list[WrittenComment]:
        """Return a pull request's comments, oldest first."""
        with self._lock:
            return [comment for comment in self._comments.values() if comment.number == number]

    def comment(self, identity: int) -> WrittenComment:
        """Return a comment; raise ``NotFound`` if there is none."""
        with self._lock:
            if identity not in self._comments:
                raise NotFound(f"there is no comment {identity}")
            return self._comments[identity]

    def seen_comment(self, identity: int) -> WrittenComment:
        """Return a comment as the API shows it; raise ``NotFound`` for one that was written a moment ago."""
        found = self.comment(identity)
        if self.lag and found.created_at > self.now() - self.lag:
            raise NotFound(f"there is no comment {identity} yet")
        return found

    def write_comment(self, number: int, author: Person, body: str) -> WrittenComment:
        """Add and return a comment."""
        self.pull_request(number)
        with self._lock:
            moment = self._moment()
            written = WrittenComment(next(self._ids), number, author, body, moment, moment)
            self._comments[written.id] = written
            return written

    def edit_comment(self, identity: int, body: str) -> WrittenComment:
        """Replace a comment's text and return the comment."""
        with self._lock:
            before = self.comment(identity)
            edited = replace(before, body=body, updated_at=self._later(before.updated_at))
            self._comments[identity] = edited
            return edited

    def touch_comment(self, identity: int) -> None:
        """Move the time at which a comment was updated; its text stays."""
        with self._lock:
            before = self.comment(identity)
            self._comments[identity] = replace(before, updated_at=self._later(before.updated_at))

    def issues(self) -> list[WrittenIssue]:
        """Return all issues, oldest first."""
        with self._lock:
            return list(self._issues.values())

    def issue(self, number: int) -> WrittenIssue:
        """Return an issue; raise ``NotFound`` if there is none."""
        with self._lock:
            if number not in self._issues:
                raise NotFound(f"there is no issue {number}")
            return self._issues[number]

    def write_issue(self, author: Person, title: str, body: str) -> WrittenIssue:
        """Add and return an issue; on GitHub no pull request has its number."""
        with self._lock:
            moment = self._moment()
            written = WrittenIssue(_FIRST_ISSUE + len(self._issues), title, body, author, moment, moment)
            self._issues[written.number] = written
            return written

    def edit_issue(self, number: int, **fields: Any) -> WrittenIssue:
        """Change and return an issue."""
        with self._lock:
            before = self.issue(number)
            self._issues[number] = replace(before, **{"updated_at": self._later(before.updated_at), **fields})
            return self._issues[number]

    def rows(self, sha: str) -> list[SetStatus]:
        """Return every status that was set on a commit, the oldest first."""
        with self._lock:
            return [status for status in self._statuses if status.sha == sha]

    def statuses(self, sha: str) -> list[SetStatus]:
        """Return a commit's current statuses, one per context."""
        with self._lock:
            return list({status.context: status for status in self._statuses if status.sha == sha}.values())

    def set_status(
        self,
        sha: str,
        creator: Person,
        *,
        state: str,
        context: str,
        description: str | None,
        target_url: str | None,
        ref: str | None = None,
        pipeline: int | None = None,
        replaces: SetStatus | None = None,
    ) -> SetStatus:
        """Set and return a commit's status; ``replaces`` is the one that changes, None for a new one."""
        with self._lock:
            number = next(self._ids) if replaces is None else replaces.id
            status = SetStatus(
                number, sha, state, context, description, target_url, creator, self._moment(), ref, pipeline
            )
            if replaces is not None:
                self._statuses.remove(replaces)
            self._statuses.append(status)
            return status

    def _later(self, before: datetime) -> datetime:
        """Return the present second. Times are whole seconds: a change within the same one shows the next."""
        return max(self._moment(), before + timedelta(seconds=1))

    def _moment(self) -> datetime:
        return self.now().replace(microsecond=0)


__all__ = [
    "FORK_ID",
    "PROJECT_ID",
    "OpenPullRequest",
    "Person",
    "Project",
    "Right",
    "SetStatus",
    "WrittenComment",
    "WrittenIssue",
]
