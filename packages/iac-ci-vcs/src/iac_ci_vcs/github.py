"""GitHub and GitHub Enterprise, over their REST API.

PyGithub is not used: it does not send conditional requests, and its waits for rate limits have no deadline.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_vcs.github_app import InstallationTokens
from iac_ci_vcs.github_issues import GitHubIssues
from iac_ci_vcs.github_merges import GitHubMerges
from iac_ci_vcs.github_reviews import GitHubCalls, GitHubReviews
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
    FailedDeliveries,
    FailedDelivery,
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

_JSON: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_RAW: Final = {**_JSON, "Accept": "application/vnd.github.raw+json"}
_MINIMIZE: Final = (
    "mutation($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: OUTDATED})"
    " { minimizedComment { isMinimized } } }"
)
_NOT_IN_STATUSES: Final = re.compile("[\U00010000-\U0010ffff]")
"""Characters of four bytes in UTF-8, such as most emoji: GitHub refuses a status whose description has one
(ouzi-dev/commit-status-updater#526)."""

_PAGE: Final = 100
_PAGES_OF_FILES: Final = 30
"""GitHub lists at most 3,000 files (GitHub REST API, "List pull requests files")."""

_MOST_FILES: Final = _PAGES_OF_FILES * _PAGE

_CHANGES_SECONDS: Final = 12.0
"""How long changes that do not agree with their count are asked for again: a pull request may also change nothing."""

_PERMISSIONS: Final = {"admin": Permission.ADMIN, "write": Permission.WRITE, "read": Permission.READ}
_KINDS: Final = {
    "added": ChangeKind.ADDED,
    "copied": ChangeKind.ADDED,
    "removed": ChangeKind.REMOVED,
    "renamed": ChangeKind.RENAMED,
}


def api_root(host: str, api_url: str | None) -> str:
    """Return the URL of a host's API without a slash at its end: ``api_url`` if it is set.

    GitHub's own hosts, those below ``ghe.com`` too, have a host for the API (GitHub Enterprise Cloud Docs, "About
    GitHub Enterprise Cloud with data residency").
    """
    is_cloud = host == "github.com" or host.endswith(".ghe.com")
    known = f"https://api.{host}" if is_cloud else f"https://{host}/api/v3"
    return (api_url or known).rstrip("/")


class GitHub:
    """One repository on GitHub."""

    kind = "github"
    max_comment_chars = 65_536
    comments_have_html = True
    lag_seconds = LAG_SECONDS

    def __init__(
        self,
        address: RepositoryAddress,
        credentials: Credentials,
        *,
        api_url: str | None = None,
        seconds: float = 60,
    ) -> None:
        """Open the repository without a request; see ``Provider``."""
        self._root = api_root(address.host, api_url)
        self._address = address
        self._repository_url = f"{self._root}/repos/{quote(address.path)}"
        self._me: Account | None = None
        self._read: dict[int, dict[str, Any]] = {}
        self._merges: dict[int, str | None] = {}
        self._fresh: dict[int, dict[str, Any]] = {}
        self._default: str | None = None
        self._private: bool | None = None
        self._known_repository: Any = None
        self._app: InstallationTokens | None = None
        if isinstance(credentials, AppCredentials):
            self._app = InstallationTokens(
                credentials, host=address.host, root=self._root, repository=address.path, seconds=seconds
            )
            self._token = self._app.token
        else:
            fixed = credentials.token
            self._token = lambda: fixed
        self._session = HostSession(address.host, BearerAuth(self._token), root=self._root, seconds=seconds)

    def me(self) -> Account:
        """Return the token's account, or the app's."""
        if self._me is None:
            subject = "engine's own account"
            # An installation token may not request /user.
            path = "user" if self._app is None else f"users/{quote(self._app.slug() + '[bot]')}"
            with self._session.doing(subject):
                self._me = _account(self._get(f"{self._root}/{path}", subject))
        return self._me

    def clone(self) -> Clone:
        """Return the address and a token; a token of a GitHub app lives for at least five minutes."""
        return Clone(self._address.clone_url, "x-access-token", self._token())

    def pull_request(self, number: int) -> PullRequest:
        """Return a pull request."""
        with self._session.doing("pull request"):
            payload = self._get(f"{self._repository_url}/pulls/{number}", "pull request")
            self._read[number] = self._fresh[number] = payload
            self._private = _is_private(payload["base"]["repo"])
            self._merges[number] = payload.get("merge_commit_sha") or None
            head, base = payload["head"], payload["base"]
            fork = head.get("repo")
            is_merged = bool(payload.get("merged"))
            return PullRequest(
                number=number,
                title=payload["title"],
                author=_author(payload),
                is_open=payload["state"] == "open",
                head_sha=head.get("sha") or "",
                head_branch=text_of(head["ref"]),
                head_repository=fork["full_name"] if fork else None,
                base_sha=base.get("sha") or "",
                base_branch=text_of(base["ref"]),
                is_fork=not fork or fork["id"] != base["repo"]["id"],
                url=payload["html_url"],
                is_draft=bool(payload.get("draft")),
                labels=tuple(label["name"] for label in payload.get("labels") or ()),
                updated_at=moment_of(payload.get("updated_at")),
                is_merged=is_merged,
                # Of one that is not merged, this is a test merge.
                merged_at=moment_of(payload.get("merged_at")),
                merge_sha=(payload.get("merge_commit_sha") or "") if is_merged else "",
            )

    def open_pull_requests(self, since: datetime, *, known: str = "", pages: int = 1) -> OpenPullRequests | None:
        """Return the open pull requests, 100 per request; an unchanged list costs nothing of the token's rate limit."""
        subject = "open pull requests"
        query = {"state": "open", "sort": "updated", "direction": "desc", "per_page": str(_PAGE)}
        with self._session.doing(subject):
            response, version = self._session.versioned(
                f"{self._repository_url}/pulls", subject, known=known, headers=_JSON, params=query
            )
            if response is None:
                return None
            found: list[ListedPullRequest] = []
            for number in range(1, pages + 1):
                found += [_listed(payload) for payload in json_of(response)]
                page = response.links.get("next", {}).get("url")
                if page is None or found[-1].updated_at < since:
                    return open_since(found, since, version, requests=number)
                if number < pages:
                    response = self._ask("GET", self._checked_page(page, subject), subject, headers=_JSON)
            return open_since(found, since, version, requests=pages, complete=False)

    def failed_deliveries(self, since: datetime, *, pages: int = 1) -> FailedDeliveries:
        """Return the webhooks of the app that were not delivered; none for a token, which may not ask for them."""
        return FailedDeliveries() if self._app is None else self._app.failed_deliveries(since, pages=pages)

    def delivery(self, failed: FailedDelivery) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the headers and the payload of a webhook of the app."""
        if self._app is None:
            raise NotFound("a token has no log of webhooks")
        return self._app.delivery(failed)

    def merge_state(self, number: int, base: str, head: str) -> MergeState:
        """Return how far the head is behind, and the test merge.

        The test merge is none, or one of older commits, until GitHub has made the next one some seconds after it was
        asked for the pull request (rocq-prover/bot#1, hub4j/github-api#1136).
        """
        subject = "comparison of commits"
        with self._session.doing(subject):
            if number not in self._merges:
                self.pull_request(number)
            url = f"{self._repository_url}/compare/{quote(base)}...{quote(head)}"
            try:
                found = json_of(self._ask("GET", url, subject, headers=_JSON, params={"per_page": "1"}))["behind_by"]
            except NotFound:
                found = None
            behind = min(found, MOST_BEHIND) if isinstance(found, int) else None
            return MergeState(behind, self._merges[number])

    def pull_requests_of(self, commit: str) -> tuple[int, ...]:
        """Return the pull requests that have brought a commit."""
        subject = "pull requests of a commit"
        with self._session.doing(subject):
            url = f"{self._repository_url}/commits/{quote(commit)}/pulls"
            try:
                found = json_of(self._ask("GET", url, subject, headers=_JSON, params={"per_page": str(_PAGE)}))
            except NotFound:
                return ()
            return tuple(payload["number"] for payload in found)

    def reviews(self) -> GitHubReviews:
        """Return the repository's reviews."""
        return GitHubReviews(
            GitHubCalls(
                root=self._root,
                repository_url=self._repository_url,
                repository=self._address.path,
                doing=self._session.doing,
                get=self._get,
                pages=self._pages,
                graphql=self._graphql,
                just_read=lambda number: self._fresh.pop(number, None),
            )
        )

    def changed_files(self, number: int) -> ChangedFiles:
        """Return the changed files, 100 per request; ``complete`` is False beyond GitHub's limit of 3,000.

        The count and the list may not be those of the newest commit yet. Where they differ, or both say that nothing
        changes, GitHub is asked again for some seconds; then ``complete`` is False.
        """
        found = settled(
            lambda: self._changed_files(number),
            lambda found: bool(found.files) and (found.complete or len(found.files) >= _MOST_FILES),
            seconds=_CHANGES_SECONDS,
        )
        return found if found.files else ChangedFiles((), complete=False)

    def _changed_files(self, number: int) -> ChangedFiles:
        subject = "pull request's files"
        with self._session.doing(subject):
            # The answer with the pull request has the count, so a caller who read it first costs no second request.
            read = self._read.pop(number, None)
            if read is None:
                read = self._get(f"{self._repository_url}/pulls/{number}", "pull request")
            count = read.get("changed_files")
            files = tuple(
                ChangedFile(
                    payload["filename"],
                    _KINDS.get(payload["status"], ChangeKind.MODIFIED),
                    payload.get("previous_filename"),
                )
                for payload in self._pages(
                    f"{self._repository_url}/pulls/{number}/files", subject, pages=_PAGES_OF_FILES
                )
            )
            self._default = self._default or read["base"]["repo"].get("default_branch")
            return ChangedFiles(files, complete=count is not None and len(files) >= count)

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Return a file's bytes."""
        subject = f"file {path:.200}"
        if any(part in {"", ".", ".."} for part in path.split("/")):
            raise NotFound(f"{path!r:.200} is not the path of a file in a repository")
        with self._session.doing(subject):
            response = self._ask(
                "GET",
                f"{self._repository_url}/contents/{quote(path)}",
                subject,
                headers=_RAW,
                params={"ref": ref},
                stream=True,
            )
            body = read_bounded(response, subject, max_bytes)
            if response.headers.get("Content-Type", "").startswith("application/json"):
                # GitHub answers JSON for a folder, whatever the Accept header says, and never for a file.
                raise NotFound(f"{self._address.host} has no {subject}: it is a folder")
            return body

    def has_folder(self, path: str, commit: str) -> bool:
        """Return whether a commit has the folder."""
        subject = f"folder {path:.200}"
        if any(part in {"", ".", ".."} for part in path.split("/")):
            return False
        with self._session.doing(subject):
            url = f"{self._repository_url}/contents/{quote(path)}"
            try:
                listed = json_of(self._ask("GET", url, subject, headers=_JSON, params={"ref": commit}))
            except NotFound:
                return False
        return isinstance(listed, list)

    def branch_head(self, branch: str) -> str:
        """Return a branch's commit."""
        subject = "branch"
        if any(part in {"", ".", ".."} for part in branch.split("/")):
            raise NotFound(f"{branch!r:.200} is not the name of a branch")
        with self._session.doing(subject):
            payload = self._get(f"{self._repository_url}/git/ref/heads/{quote(branch)}", subject)
            return named_branch(branch, payload["ref"].removeprefix("refs/heads/"), payload["object"]["sha"])

    def default_branch(self) -> str:
        """Return the repository's default branch."""
        with self._session.doing("repository"):
            for payload in self._read.values():
                self._default = payload["base"]["repo"].get("default_branch") or self._default
            return self._default or str(self._repository()["default_branch"])

    def is_private(self) -> bool | None:
        """Return whether the repository is private or internal; a read pull request tells it."""
        if self._private is None:
            with self._session.doing("repository"):
                self._private = _is_private(self._repository())
        return self._private

    def _repository(self) -> Any:
        """Return the repository, by one request for each opened host."""
        if self._known_repository is None:
            self._known_repository = self._get(self._repository_url, "repository")
        return self._known_repository

    def permission(self, account: Account) -> Permission:
        """Return the user's highest permission; teams and the organisation count."""
        subject = "user's permission"
        with self._session.doing(subject):
            try:
                payload = self._get(
                    f"{self._repository_url}/collaborators/{quote(account.login, safe='')}/permission", subject
                )
            except NotFound:
                return Permission.NONE
            # Another account can take a login that its owner gave up.
            same = not account.id or str((payload.get("user") or {}).get("id")) == account.id
            if not payload.get("user") or not payload.get("permission"):
                return Permission.UNKNOWN
            return _PERMISSIONS.get(payload["permission"], Permission.NONE) if same else Permission.NONE

    def comment(self, number: int, comment_id: str) -> Comment:
        """Return one comment."""
        subject = "comment"
        with self._session.doing(subject):
            payload = self._get(f"{self._repository_url}/issues/comments/{int(comment_id)}", subject)
            if not payload["issue_url"].endswith(f"/issues/{number}"):
                raise NotFound(f"comment {comment_id} does not belong to #{number}")
            return _comment(payload)

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Return the engine's own comment that begins with ``marker``; None if there is none."""
        subject = "comments"
        with self._session.doing(subject):
            for payload in self._pages(f"{self._repository_url}/issues/{number}/comments", subject):
                if (payload.get("body") or "").startswith(marker) and self._is_own(payload):
                    return _comment(payload)
        return None

    def create_comment(self, number: int, body: str) -> Comment:
        """Create a comment."""
        subject = "comment"
        with self._session.doing(subject, repeatable=False):
            url = f"{self._repository_url}/issues/{number}/comments"
            return _comment(json_of(self._ask("POST", url, subject, headers=_JSON, json={"body": body})))

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:  # noqa: ARG002 - other providers need it
        """Replace a comment's text."""
        subject = "comment"
        with self._session.doing(subject):
            url = f"{self._repository_url}/issues/comments/{int(comment_id)}"
            return _comment(json_of(self._ask("PATCH", url, subject, headers=_JSON, json={"body": body})))

    def fold_comments(self, number: int, markers: Collection[str]) -> int:
        """Minimize the comments as outdated. Only the GraphQL API can (GitHub GraphQL API, "minimizeComment")."""
        subject = "comments"
        folded = 0
        with self._session.doing(subject):
            for payload in self._pages(f"{self._repository_url}/issues/{number}/comments", subject):
                is_named = (payload.get("body") or "").startswith(tuple(markers))
                if is_named and self._is_own(payload):
                    self._minimize(payload["node_id"])
                    folded += 1
        return folded

    def react(self, number: int, comment_id: str | None = None) -> bool:
        """Add the reaction with two eyes."""
        subject = "reaction"
        path = f"issues/{number}" if comment_id is None else f"issues/comments/{int(comment_id)}"
        with self._session.doing(subject):
            url = f"{self._repository_url}/{path}/reactions"
            self._ask("POST", url, subject, headers=_JSON, json={"content": "eyes"})
        return True

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Set a commit's status."""
        subject = "commit's status"
        description = _NOT_IN_STATUSES.sub("\ufffd", status.description)
        sent = {"state": status.state.value, "description": description, "context": status.name}
        if (link := url or status.url) is not None:
            sent["target_url"] = link
        with self._session.doing(subject):
            self._ask(
                "POST", f"{self._repository_url}/statuses/{quote(status.commit)}", subject, headers=_JSON, json=sent
            )

    def issues(self) -> GitHubIssues:
        """Return the repository's issues."""

        def ask(method: str, url: str, subject: str, **arguments: Any) -> requests.Response:
            return self._ask(method, url, subject, headers=_JSON, **arguments)

        return GitHubIssues(self._session, self._repository_url, ask, self._pages, self.me)

    def merging(self) -> GitHubMerges:
        """Return what merges the repository's pull requests."""

        def send(method: str, url: str, **arguments: Any) -> requests.Response:
            return self._send(method, url, headers=_JSON, **arguments)

        return GitHubMerges(self._session, self._repository_url, send, self._repository)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        if self._app is not None:
            self._app.close()

    def _is_own(self, payload: dict[str, Any]) -> bool:
        return bool(payload.get("user")) and _account(payload["user"]).id == self.me().id

    def _minimize(self, node: str) -> None:
        """Minimize a comment."""
        self._graphql(_MINIMIZE, {"id": node}, "folding of a comment")

    def _graphql(self, query: str, variables: dict[str, Any], subject: str) -> dict[str, Any]:
        """Return the data of an answer; GraphQL answers 200 for an error too."""
        url = f"{self._root.removesuffix('/v3')}/graphql"
        sent = {"query": query, "variables": variables}
        answer = json_of(self._ask("POST", url, subject, headers=_JSON, json=sent))
        if answer.get("errors"):
            reason = str(answer["errors"][0].get("message", ""))
            raise PortFailed(f"{self._address.host} refused {subject}: {reason[:200]}")
        data: dict[str, Any] = answer["data"]
        return data

    def _get(self, url: str, subject: str) -> dict[str, Any]:
        payload: dict[str, Any] = json_of(self._ask("GET", url, subject, headers=_JSON))
        return payload

    def _pages(
        self, url: str, subject: str, *, pages: int | None = None, key: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list; ``key`` is the field that has them, None if the answer is the list."""
        page: str | None = url
        parameters: dict[str, int] | None = {"per_page": _PAGE}
        read = 0
        while page is not None and (pages is None or read < pages):
            response = self._ask("GET", page, subject, headers=_JSON, params=parameters)
            listed = json_of(response)
            yield from listed if key is None else listed[key]
            read += 1
            page, parameters = response.links.get("next", {}).get("url"), None
            if page is not None:
                self._checked_page(page, subject)

    def _checked_page(self, page: str, subject: str) -> str:
        """Return the address of a list's next page; raise ``PortFailed`` if the token must not be sent there."""
        if not page.startswith(f"{self._root}/"):
            raise PortFailed(
                f"the next page of {subject} is not below {self._root}/: {self._address.host} is not trusted"
            )
        return page

    def _ask(self, method: str, url: str, subject: str, **arguments: Any) -> requests.Response:
        return self._session.good(self._send(method, url, **arguments), subject)

    def _send(self, method: str, url: str, **arguments: Any) -> requests.Response:
        """Send a request and return the response, whatever its status is."""
        response = self._session.request(method, url, allow_redirects=method == "GET", **arguments)
        if self._app is None or response.status_code != requests.codes.unauthorized:
            return response
        # The token was revoked before its expiry: repeat once with a new one.
        self._app.forget()
        return self._session.request(method, url, allow_redirects=method == "GET", **arguments)


def _is_private(repository: dict[str, Any]) -> bool | None:
    """Return what GitHub says of a repository: an internal one is ``private``, too."""
    private, visibility = repository.get("private"), repository.get("visibility")
    if not isinstance(private, bool) or visibility not in {None, "public", "private", "internal"}:
        return None
    return private and visibility != "public"


def _account(payload: dict[str, Any]) -> Account:
    return account_of(payload["id"], payload["login"])


def _author(payload: dict[str, Any]) -> Account:
    return _account(payload["user"]) if payload.get("user") else GHOST


def _listed(payload: dict[str, Any]) -> ListedPullRequest:
    return ListedPullRequest(
        number=payload["number"],
        author=_author(payload),
        head=payload["head"].get("sha") or "",
        base_branch=text_of(payload["base"]["ref"]),
        updated_at=datetime.fromisoformat(payload["updated_at"]),
        is_draft=bool(payload.get("draft")),
        labels=tuple(label["name"] for label in payload.get("labels") or ()),
    )


def _comment(payload: dict[str, Any]) -> Comment:
    return Comment(
        id=str(payload["id"]),
        author=_author(payload),
        body=payload.get("body") or "",
        created_at=datetime.fromisoformat(payload["created_at"]),
        edited=payload["updated_at"] != payload["created_at"],
        url=payload.get("html_url"),
    )
