"""Bitbucket Cloud, over its REST API 2.0."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from requests.auth import HTTPBasicAuth

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_vcs.bitbucket_issues import BitbucketIssues
from iac_ci_vcs.bitbucket_reviews import BitbucketCalls, BitbucketReviews
from iac_ci_vcs.http_session import BearerAuth, HostSession, json_of, read_bounded
from iac_ci_vcs.provider import (
    GHOST,
    MOST_BEHIND,
    Account,
    AppCredentials,
    ChangedFile,
    ChangedFiles,
    ChangeKind,
    Clone,
    Comment,
    CommitState,
    ListedPullRequest,
    MergeState,
    OpenPullRequests,
    Permission,
    PullRequest,
    account_of,
    moment_of,
    named_branch,
    open_since,
    text_of,
)
from iac_ci_vcs.waiting import LAG_SECONDS, settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from iac_ci_vcs.provider import CommitStatus, Credentials, RepositoryAddress

_FULL_HASH: Final = re.compile(r"[0-9a-f]{40}")
_KEY_CHARS: Final = 40
"""Longest key of a build status, in characters (Bitbucket Cloud REST API, "Commit statuses")."""

_UNTOUCHED: Final = timedelta(seconds=0.5)
"""Longest time between the two time stamps of a comment that nobody edited: recorded are 0.05 to 8 milliseconds."""

_CHANGES_SECONDS: Final = 12.0
"""How long an empty list of changes is asked for again: a pull request may also change nothing."""

_FILES_PER_PAGE: Final = 500
_COMMENTS_PER_PAGE: Final = 100
_PULLS_PER_PAGE: Final = 50
_PERMISSIONS: Final = {"admin": Permission.ADMIN, "write": Permission.WRITE, "read": Permission.READ}
_STATES: Final = {
    CommitState.PENDING: "INPROGRESS",
    CommitState.SUCCESS: "SUCCESSFUL",
    CommitState.FAILURE: "FAILED",
    CommitState.ERROR: "STOPPED",
}


class Bitbucket:
    """One repository on Bitbucket Cloud."""

    kind = "bitbucket"
    max_comment_chars = 32_768
    comments_have_html = False
    lag_seconds = LAG_SECONDS

    def __init__(
        self,
        address: RepositoryAddress,
        credentials: Credentials,
        *,
        api_url: str | None = None,
        seconds: float = 60,
    ) -> None:
        """Open the repository without a request; see ``Provider``.

        The token is an access token of a repository or workspace, or ``<e-mail>:<token>`` for a user's API token.
        Raises ``PortFailed`` for the credentials of a GitHub app.
        """
        if isinstance(credentials, AppCredentials):
            raise PortFailed("Bitbucket has no GitHub apps: store an access token instead")
        self._address = address
        self._root = (api_url or "https://api.bitbucket.org/2.0").rstrip("/")
        self._repository_url = f"{self._root}/repositories/{quote(address.path)}"
        self._known_repository: Any = None
        user, colon, secret = credentials.token.rpartition(":")
        self._secret = secret
        self._git_user = "x-bitbucket-api-token-auth" if colon else "x-token-auth"
        auth = HTTPBasicAuth(user, secret) if colon else BearerAuth(lambda: secret)
        self._session = HostSession(address.host, auth, root=self._root, seconds=seconds)
        self._me: Account | None = None
        self._fresh: dict[int, dict[str, Any]] = {}
        self._is_personal = bool(colon)
        self._may_not_ask = False

    def me(self) -> Account | None:
        """Return the token's account, None until it is known.

        Bitbucket refuses to tell it to access tokens of repositories, projects and workspaces (decocms/studio#7231).
        Their account is known once this session has written or edited a comment.
        """
        if self._me is None and not self._may_not_ask:
            try:
                with self._session.doing("engine's own account"):
                    self._me = _account(self._get(f"{self._root}/user", "engine's own account"))
            except PortFailed as error:
                if error.retry_is_safe or self._is_personal:
                    raise
                self._may_not_ask = True
        return self._me

    def clone(self) -> Clone:
        """Return the address and the token."""
        return Clone(self._address.clone_url, self._git_user, self._secret)

    def pull_request(self, number: int) -> PullRequest:
        """Return a pull request. Bitbucket answers short hashes of commits; the full ones take two more requests."""
        with self._session.doing("pull request"):
            payload = self._get(f"{self._repository_url}/pullrequests/{number}", "pull request")
            self._fresh[number] = payload
            source, target = payload["source"], payload["destination"]
            repository = source.get("repository")
            head, base = (self._commit(side.get("commit"), repository) for side in (source, target))
            is_merged = payload["state"] == "MERGED"
            # A fast-forward makes no commit.
            made = self._commit(payload.get("merge_commit"), target["repository"]) or head if is_merged else ""
            return PullRequest(
                number=number,
                title=payload["title"],
                author=_author(payload, "author"),
                is_open=payload["state"] == "OPEN",
                head_sha=head,
                head_branch=(source.get("branch") or {}).get("name") or "",
                head_repository=repository["full_name"] if repository else None,
                base_sha=base,
                base_branch=text_of(target["branch"]["name"]),
                is_fork=not repository or repository["uuid"] != target["repository"]["uuid"],
                url=payload["links"]["html"]["href"],
                is_draft=bool(payload.get("draft")),
                updated_at=moment_of(payload.get("updated_on")),
                is_merged=is_merged,
                merge_sha=made,
            )

    def open_pull_requests(self, since: datetime, *, known: str = "", pages: int = 1) -> OpenPullRequests | None:
        """Return the open pull requests, 50 per request. Bitbucket documents no versions of lists."""
        subject = "open pull requests"
        query = {"state": "OPEN", "sort": "-updated_on", "pagelen": str(_PULLS_PER_PAGE)}
        with self._session.doing(subject):
            response, version = self._session.versioned(
                f"{self._repository_url}/pullrequests", subject, known=known, params=query
            )
            if response is None:
                return None
            found: list[ListedPullRequest] = []
            for number in range(1, pages + 1):
                payload = json_of(response)
                found += [_listed(entry) for entry in payload["values"]]
                page = payload.get("next")
                if not page or found[-1].updated_at < since:
                    return open_since(found, since, version, requests=number)
                if number < pages:
                    response = self._session.ask("GET", self._checked_page(page, subject), subject)
            return open_since(found, since, version, requests=pages, complete=False)

    def merge_state(self, number: int, base: str, head: str) -> MergeState:  # noqa: ARG002 - other hosts need it
        """Return how far the head is behind; Bitbucket makes no merge before the real one.

        The repository of the base does not have a fork's commit: then it is not known.
        """
        query = {"include": base, "exclude": head, "pagelen": str(MOST_BEHIND - 1)}
        with self._session.doing("commits"):
            try:
                url = f"{self._repository_url}/commits"
                payload = json_of(self._session.ask("GET", url, "commits", params=query))
            except NotFound:
                return MergeState()
            return MergeState(MOST_BEHIND if payload.get("next") else len(payload["values"]))

    def pull_requests_of(self, commit: str) -> tuple[int, ...]:
        """Return the pull requests that have a commit.

        Bitbucket knows them where its app for the links of pull requests is installed in the workspace, and answers
        without a list until it has found them.
        """
        subject = "pull requests of a commit"
        with self._session.doing(subject):
            url = f"{self._repository_url}/commit/{quote(commit)}/pullrequests"
            try:
                payload = json_of(self._session.ask("GET", url, subject, params={"pagelen": str(_PULLS_PER_PAGE)}))
            except NotFound:
                return ()
            return tuple(entry["id"] for entry in payload.get("values") or ())

    def reviews(self) -> BitbucketReviews:
        """Return the repository's reviews."""
        return BitbucketReviews(
            BitbucketCalls(
                repository_url=self._repository_url,
                doing=self._session.doing,
                get=self._get,
                pages=self._pages,
                just_read=lambda number: self._fresh.pop(number, None),
            )
        )

    def changed_files(self, number: int) -> ChangedFiles:
        """Return the changed files, 500 per request.

        Bitbucket does not count them. An empty list is asked for again for some seconds; then ``complete`` is False.
        """
        found = settled(lambda: self._changes(number), bool, seconds=_CHANGES_SECONDS)
        return ChangedFiles(found, complete=bool(found))

    def _changes(self, number: int) -> tuple[ChangedFile, ...]:
        subject = "pull request's files"
        with self._session.doing(subject):
            url = f"{self._repository_url}/pullrequests/{number}/diffstat"
            return tuple(_changed(payload) for payload in self._pages(url, subject, _FILES_PER_PAGE))

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Return a file's bytes. A first request reads the type: Bitbucket answers a folder with its listing."""
        subject = f"file {path:.200}"
        if any(part in {"", ".", ".."} for part in path.split("/")):
            raise NotFound(f"{path!r:.200} is not the path of a file in a repository")
        with self._session.doing(subject):
            url = f"{self._repository_url}/src/{self._commit_of(ref)}/{quote(path)}"
            known = json_of(self._session.ask("GET", url, subject, params={"format": "meta"}))
            if known["type"] != "commit_file":
                raise NotFound(f"{self._address.host} has no {subject}: it is a folder")
            return read_bounded(self._session.ask("GET", url, subject, stream=True), subject, max_bytes)

    def has_folder(self, path: str, commit: str) -> bool:
        """Return whether a commit has the folder."""
        subject = f"folder {path:.200}"
        if any(part in {"", ".", ".."} for part in path.split("/")):
            return False
        with self._session.doing(subject):
            url = f"{self._repository_url}/src/{quote(commit)}/{quote(path)}"
            try:
                known = json_of(self._session.ask("GET", url, subject, params={"format": "meta"}))
            except NotFound:
                return False
        return bool(known["type"] == "commit_directory")

    def branch_head(self, branch: str) -> str:
        """Return a branch's commit."""
        with self._session.doing("branch"):
            url = f"{self._repository_url}/refs/branches/{quote(branch, safe='')}"
            payload = self._get(url, "branch")
            return named_branch(branch, payload.get("name", branch), payload["target"]["hash"])

    def default_branch(self) -> str:
        """Return the repository's main branch."""
        with self._session.doing("repository"):
            return str(self._repository()["mainbranch"]["name"])

    def is_private(self) -> bool | None:
        """Return whether the repository is private."""
        with self._session.doing("repository"):
            private = self._repository().get("is_private")
            return private if isinstance(private, bool) else None

    def _repository(self) -> Any:
        """Return the repository, by one request for each opened host."""
        if self._known_repository is None:
            self._known_repository = self._get(self._repository_url, "repository")
        return self._known_repository

    def permission(self, account: Account) -> Permission:
        """Return the user's highest permission; groups and the workspace count.

        Only administrators of the workspace may ask for it. A token that administers the repository may ask for what
        was given to the user alone; where there is nothing, or it may not ask either, the permission is UNKNOWN.
        """
        subject = "user's permission"
        if not re.fullmatch(r"\{[0-9a-fA-F-]{36}\}", account.id):
            return Permission.NONE
        workspace, _, name = self._address.path.partition("/")
        url = f"{self._root}/workspaces/{quote(workspace)}/permissions/repositories/{quote(name)}"
        with self._session.doing(subject):
            try:
                payload = json_of(self._session.ask("GET", url, subject, params={"q": f'user.uuid="{account.id}"'}))
            except PortFailed as error:
                if error.retry_is_safe:
                    raise
                return self._own_permission(account, subject)
            mine = [
                entry.get("permission") or ""
                for entry in payload["values"]
                if (entry.get("user") or {}).get("uuid") == account.id
            ]
            return max((_PERMISSIONS.get(right, Permission.NONE) for right in mine), default=Permission.NONE)

    def _own_permission(self, account: Account, subject: str) -> Permission:
        url = f"{self._repository_url}/permissions-config/users/{quote(account.id, safe='')}"
        try:
            payload = self._get(url, subject)
        except PortFailed as error:
            if error.retry_is_safe:
                raise
            return Permission.UNKNOWN
        return _PERMISSIONS.get(payload.get("permission") or "", Permission.UNKNOWN)

    def comment(self, number: int, comment_id: str) -> Comment:
        """Return one comment; raise ``NotFound`` if it was deleted."""
        with self._session.doing("comment"):
            payload = self._get(f"{self._repository_url}/pullrequests/{number}/comments/{int(comment_id)}", "comment")
            if payload.get("deleted"):
                raise NotFound(f"comment {comment_id} of #{number} was deleted")
            return _comment(payload)

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Return the engine's own comment that begins with ``marker``; None if there is none."""
        with self._session.doing("comments"):
            url = f"{self._repository_url}/pullrequests/{number}/comments"
            for payload in self._pages(url, "comments", _COMMENTS_PER_PAGE):
                if payload.get("deleted") or not _body(payload).startswith(marker):
                    continue
                if self._is_own(number, payload):
                    return _comment(payload)
        return None

    def _is_own(self, number: int, payload: dict[str, Any]) -> bool:
        """Return whether the engine wrote a comment. Where it does not know its account, it tries to write it again.

        Bitbucket lets only the author edit a comment; the same text changes nothing.
        """
        author, me = _author(payload, "user"), self.me()
        if me is not None:
            return author.id == me.id
        try:
            self.edit_comment(number, str(payload["id"]), _body(payload))
        except PortFailed as error:
            if error.retry_is_safe:
                raise
            return False
        return True

    def create_comment(self, number: int, body: str) -> Comment:
        """Create a comment."""
        with self._session.doing("comment", repeatable=False):
            url = f"{self._repository_url}/pullrequests/{number}/comments"
            return self._own(json_of(self._session.ask("POST", url, "comment", json={"content": {"raw": body}})))

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:
        """Replace a comment's text."""
        with self._session.doing("comment"):
            url = f"{self._repository_url}/pullrequests/{number}/comments/{int(comment_id)}"
            return self._own(json_of(self._session.ask("PUT", url, "comment", json={"content": {"raw": body}})))

    def fold_comments(self, number: int, markers: Collection[str]) -> int:  # noqa: ARG002 - other hosts need them
        """Return 0: Bitbucket folds no comments."""
        return 0

    def react(self, number: int, comment_id: str | None = None) -> bool:  # noqa: ARG002 - other hosts need them
        """Return False: Bitbucket has no reactions."""
        return False

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Set a commit's build status. Bitbucket requires a link: without ``url`` it is the commit's page."""
        key = status.context
        if len(key) > _KEY_CHARS:
            key = hashlib.sha256(key.encode()).hexdigest()[:_KEY_CHARS]
        sent = {
            "key": key,
            "name": status.name,
            "state": _STATES[status.state],
            "description": status.description,
            "url": url or status.url or f"https://{self._address.host}/{self._address.path}/commits/{status.commit}",
        }
        with self._session.doing("commit's status"):
            url = f"{self._repository_url}/commit/{quote(status.commit)}/statuses/build"
            self._session.ask("POST", url, "commit's status", json=sent)

    def issues(self) -> BitbucketIssues:
        """Return the repository's issues."""
        return BitbucketIssues(self._session, self._repository_url, self._pages, self.me)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _own(self, payload: dict[str, Any]) -> Comment:
        """Return a comment that the engine has just written, and remember its author."""
        comment = _comment(payload)
        if comment.author.id:
            self._me = comment.author
        return comment

    def _commit(self, commit: dict[str, Any] | None, source: dict[str, Any] | None) -> str:
        """Return a commit's full hash, empty if there is none yet or its fork was deleted.

        A fork's commits may be in the fork only.
        """
        short = str((commit or {}).get("hash") or "")
        if not short or _FULL_HASH.fullmatch(short):
            return short
        path = f"commit/{quote(short)}"
        try:
            return str(self._get(f"{self._repository_url}/{path}", "commit")["hash"])
        except NotFound:
            if source is None:
                return ""
            name = source.get("full_name") or self._address.path
            if name.lower() == self._address.path.lower():
                raise
            return str(self._get(f"{self._root}/repositories/{quote(name)}/{path}", "commit")["hash"])

    def _commit_of(self, ref: str) -> str:
        if _FULL_HASH.fullmatch(ref):
            return ref
        return self.branch_head(ref)

    def _get(self, url: str, subject: str) -> dict[str, Any]:
        payload: dict[str, Any] = json_of(self._session.ask("GET", url, subject))
        return payload

    def _pages(self, url: str, subject: str, size: int) -> Iterator[dict[str, Any]]:
        payload = json_of(self._session.ask("GET", url, subject, params={"pagelen": size}))
        yield from payload["values"]
        while page := payload.get("next"):
            payload = json_of(self._session.ask("GET", self._checked_page(page, subject), subject))
            yield from payload["values"]

    def _checked_page(self, page: str, subject: str) -> str:
        """Return the address of a list's next page; raise ``PortFailed`` if the token must not be sent there."""
        if not page.startswith(f"{self._root}/"):
            raise PortFailed(
                f"the next page of {subject} is not below {self._root}/: {self._address.host} is not trusted"
            )
        return page


def _account(payload: dict[str, Any]) -> Account:
    return account_of(payload["uuid"], payload.get("nickname") or payload.get("display_name"))


def _author(payload: dict[str, Any], name: str) -> Account:
    """Return an author; Bitbucket has none for an account that was deleted."""
    found = payload.get(name)
    return _account(found) if found and found.get("uuid") else GHOST


def _body(payload: dict[str, Any]) -> str:
    return str((payload.get("content") or {}).get("raw") or "")


def _listed(payload: dict[str, Any]) -> ListedPullRequest:
    return ListedPullRequest(
        number=payload["id"],
        author=_author(payload, "author"),
        head=str((payload["source"].get("commit") or {}).get("hash") or ""),
        base_branch=text_of(payload["destination"]["branch"]["name"]),
        updated_at=datetime.fromisoformat(payload["updated_on"]),
        is_draft=bool(payload.get("draft")),
    )


def _changed(payload: dict[str, Any]) -> ChangedFile:
    old, new = ((payload.get(side) or {}).get("path") for side in ("old", "new"))
    status = payload.get("status")
    if old and new and old != new:
        # Also of a file that conflicts, whose status says that alone.
        return ChangedFile(new, ChangeKind.RENAMED, old)
    if status in {"added", "removed"}:
        return ChangedFile(new or old or "", ChangeKind.ADDED if status == "added" else ChangeKind.REMOVED)
    return ChangedFile(new or old or "", ChangeKind.MODIFIED)


def _comment(payload: dict[str, Any]) -> Comment:
    created = datetime.fromisoformat(payload["created_on"])
    updated = moment_of(payload.get("updated_on"))
    return Comment(
        id=str(payload["id"]),
        author=_author(payload, "user"),
        body=_body(payload),
        created_at=created,
        edited=updated is None or updated - created > _UNTOUCHED,
        url=((payload.get("links") or {}).get("html") or {}).get("href"),
    )
