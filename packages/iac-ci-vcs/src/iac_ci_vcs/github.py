"""GitHub and GitHub Enterprise, over their REST API.

PyGithub is not used: it knows no conditional requests, and waits for limits without a deadline.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_vcs.github_app import InstallationTokens
from iac_ci_vcs.http_session import BearerAuth, HostSession, json_of, read_bounded
from iac_ci_vcs.provider import (
    Account,
    AppCredentials,
    ChangedFile,
    ChangedFiles,
    ChangeKind,
    Clone,
    Comment,
    Permission,
    PullRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_vcs.provider import CommitStatus, Credentials, RepositoryAddress

_JSON: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_RAW: Final = {**_JSON, "Accept": "application/vnd.github.raw+json"}
_PAGE: Final = 100
_PAGES_OF_FILES: Final = 30
"""GitHub tells at most 3,000 files (GitHub REST API, "List pull requests files")."""

_PERMISSIONS: Final = {"admin": Permission.ADMIN, "write": Permission.WRITE, "read": Permission.READ}
_KINDS: Final = {
    "added": ChangeKind.ADDED,
    "copied": ChangeKind.ADDED,
    "removed": ChangeKind.REMOVED,
    "renamed": ChangeKind.RENAMED,
}


class GitHub:
    """One repository on GitHub."""

    kind = "github"
    max_comment_chars = 65_536

    def __init__(
        self,
        address: RepositoryAddress,
        credentials: Credentials,
        *,
        api_url: str | None = None,
        seconds: float = 60,
    ) -> None:
        """Open the repository; see ``Provider``."""
        root = api_url or (
            "https://api.github.com" if address.host == "github.com" else f"https://{address.host}/api/v3"
        )
        self._root = root.rstrip("/")
        self._address = address
        self._here = f"{self._root}/repos/{quote(address.path)}"
        self._me: Account | None = None
        self._app: InstallationTokens | None = None
        if isinstance(credentials, AppCredentials):
            self._app = InstallationTokens(
                credentials, host=address.host, root=self._root, repository=address.path, seconds=seconds
            )
            self._token = self._app.token
        else:
            fixed = credentials.token
            self._token = lambda: fixed
        self._wire = HostSession(address.host, BearerAuth(self._token), seconds=seconds)

    def me(self) -> Account:
        """Return the token's account, or the app's."""
        if self._me is None:
            what = "engine's own account"
            # A bot's token may not ask for /user.
            place = "user" if self._app is None else f"users/{quote(self._app.slug() + '[bot]')}"
            with self._wire.doing(what):
                self._me = _account(self._get(f"{self._root}/{place}", what))
        return self._me

    def clone(self) -> Clone:
        """Return the address and a token."""
        return Clone(self._address.clone_url, "x-access-token", self._token())

    def pull_request(self, number: int) -> PullRequest:
        """Read a pull request."""
        with self._wire.doing("pull request"):
            said = self._pull(number)
        head, base = said["head"], said["base"]
        return PullRequest(
            number=number,
            title=said["title"],
            author=_account(said["user"]),
            is_open=said["state"] == "open",
            head_sha=head["sha"],
            head_branch=head["ref"],
            head_repository=head["repo"]["full_name"] if head["repo"] else None,
            base_sha=base["sha"],
            base_branch=base["ref"],
            is_fork=head["repo"] is None or head["repo"]["id"] != base["repo"]["id"],
            url=said["html_url"],
        )

    def changed_files(self, number: int) -> ChangedFiles:
        """List the changed files, a hundred a request; GitHub tells the first 3,000."""
        what = "pull request's files"
        with self._wire.doing(what):
            count = self._pull(number)["changed_files"]
            files = tuple(
                ChangedFile(
                    said["filename"], _KINDS.get(said["status"], ChangeKind.MODIFIED), said.get("previous_filename")
                )
                for said in self._pages(f"{self._here}/pulls/{number}/files", what, pages=_PAGES_OF_FILES)
            )
        return ChangedFiles(files, complete=len(files) >= count)

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Read a file's bytes."""
        what = f"file {path:.200}"
        if any(part in {"", ".", ".."} for part in path.split("/")):
            raise NotFound(f"{path!r:.200} names no file of a repository")
        with self._wire.doing(what):
            response = self._ask(
                "GET",
                f"{self._here}/contents/{quote(path)}",
                what,
                headers=_RAW,
                params={"ref": ref},
                stream=True,
            )
            body = read_bounded(response, what, max_bytes)
            if response.headers.get("Content-Type", "").startswith("application/json"):
                # A folder is listed as JSON whatever was asked for; a file never is.
                raise NotFound(f"{self._address.host} has no {what}: it is a folder")
            return body

    def branch_head(self, branch: str) -> str:
        """Read a branch's commit."""
        what = "branch"
        if any(part in {"", ".", ".."} for part in branch.split("/")):
            raise NotFound(f"{branch!r:.200} names no branch")
        with self._wire.doing(what):
            said = self._get(f"{self._here}/git/ref/heads/{quote(branch)}", what)
        sha: str = said["object"]["sha"]
        return sha

    def permission(self, account: Account) -> Permission:
        """Ask for the user's highest right, teams and organisation included."""
        what = "user's permission"
        with self._wire.doing(what):
            try:
                said = self._get(f"{self._here}/collaborators/{quote(account.login, safe='')}/permission", what)
            except NotFound:
                return Permission.NONE
        # A login can be given up and taken by somebody else.
        same = not account.id or str((said.get("user") or {}).get("id")) == account.id
        return _PERMISSIONS.get(said["permission"], Permission.NONE) if same else Permission.NONE

    def comment(self, number: int, comment_id: str) -> Comment:
        """Read one comment."""
        what = "comment"
        with self._wire.doing(what):
            said = self._get(f"{self._here}/issues/comments/{int(comment_id)}", what)
        if not said["issue_url"].endswith(f"/issues/{number}"):
            raise NotFound(f"comment {comment_id} is not one of #{number}")
        return _comment(said)

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Look for our own comment."""
        what = "comments"
        with self._wire.doing(what):
            for said in self._pages(f"{self._here}/issues/{number}/comments", what):
                if not (said.get("body") or "").startswith(marker) or not said["user"]:
                    continue
                if _account(said["user"]).id == self.me().id:
                    return _comment(said)
        return None

    def create_comment(self, number: int, body: str) -> Comment:
        """Write a comment."""
        what = "comment"
        with self._wire.doing(what, repeatable=False):
            place = f"{self._here}/issues/{number}/comments"
            return _comment(json_of(self._ask("POST", place, what, headers=_JSON, json={"body": body})))

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:  # noqa: ARG002 - others need it
        """Replace a comment's text."""
        what = "comment"
        with self._wire.doing(what):
            place = f"{self._here}/issues/comments/{int(comment_id)}"
            return _comment(json_of(self._ask("PATCH", place, what, headers=_JSON, json={"body": body})))

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Set a commit's status."""
        what = "commit's status"
        sent = {"state": status.state.value, "description": status.description, "context": status.context}
        if url is not None:
            sent["target_url"] = url
        with self._wire.doing(what):
            self._ask("POST", f"{self._here}/statuses/{quote(status.commit)}", what, headers=_JSON, json=sent)

    def close(self) -> None:
        """Let the connections go."""
        self._wire.close()
        if self._app is not None:
            self._app.close()

    def _pull(self, number: int) -> dict[str, Any]:
        return self._get(f"{self._here}/pulls/{number}", "pull request")

    def _get(self, url: str, what: str) -> dict[str, Any]:
        said: dict[str, Any] = json_of(self._ask("GET", url, what, headers=_JSON))
        return said

    def _pages(self, url: str, what: str, *, pages: int | None = None) -> Iterator[dict[str, Any]]:
        place: str | None = url
        parameters: dict[str, int] | None = {"per_page": _PAGE}
        read = 0
        while place is not None and (pages is None or read < pages):
            response = self._ask("GET", place, what, headers=_JSON, params=parameters)
            yield from json_of(response)
            read += 1
            place, parameters = response.links.get("next", {}).get("url"), None
            if place is not None and not place.startswith(f"{self._root}/"):
                raise PortFailed(f"{self._address.host} sent us elsewhere for more {what}")

    def _ask(self, method: str, url: str, what: str, **arguments: Any) -> requests.Response:
        if self._app is not None:
            response = self._wire.request(method, url, allow_redirects=method == "GET", **arguments)
            if response.status_code != requests.codes.unauthorized:
                return self._wire.good(response, what)
            # Taken back before its time: once more with a new one.
            self._app.forget()
        return self._wire.ask(method, url, what, **arguments)


def _account(said: dict[str, Any]) -> Account:
    return Account(str(said["id"]), said["login"])


def _comment(said: dict[str, Any]) -> Comment:
    return Comment(
        id=str(said["id"]),
        author=_account(said["user"]) if said["user"] else Account("", "ghost"),
        body=said.get("body") or "",
        created_at=datetime.fromisoformat(said["created_at"]),
        edited=said["updated_at"] != said["created_at"],
        url=said.get("html_url"),
    )
