"""Bitbucket Cloud, over its REST API 2.0."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from requests.auth import HTTPBasicAuth

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_vcs.http_session import BearerAuth, HostSession, json_of, read_bounded
from iac_ci_vcs.provider import (
    Account,
    AppCredentials,
    ChangedFile,
    ChangedFiles,
    ChangeKind,
    Clone,
    Comment,
    CommitState,
    Permission,
    PullRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_vcs.provider import CommitStatus, Credentials, RepositoryAddress

_FULL_HASH: Final = re.compile(r"[0-9a-f]{40}")
_KEY_CHARS: Final = 40
"""Longest key of a build status (Bitbucket Cloud REST API, "Commit statuses")."""

_FILES_A_PAGE: Final = 500
_COMMENTS_A_PAGE: Final = 100
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

    def __init__(
        self,
        address: RepositoryAddress,
        credentials: Credentials,
        *,
        api_url: str | None = None,
        seconds: float = 60,
    ) -> None:
        """Open the repository; see ``Provider``.

        The token is an access token of repository or workspace, or ``<e-mail>:<token>`` for a user's API token.
        """
        if isinstance(credentials, AppCredentials):
            raise PortFailed("Bitbucket knows no GitHub apps: give an access token")
        self._address = address
        self._root = (api_url or "https://api.bitbucket.org/2.0").rstrip("/")
        self._here = f"{self._root}/repositories/{quote(address.path)}"
        user, colon, secret = credentials.token.rpartition(":")
        self._secret = secret
        self._git_user = "x-bitbucket-api-token-auth" if colon else "x-token-auth"
        auth = HTTPBasicAuth(user, secret) if colon else BearerAuth(lambda: secret)
        self._wire = HostSession(address.host, auth, seconds=seconds)
        self._me: Account | None = None

    def me(self) -> Account:
        """Return the token's account; of a repository's token its bot."""
        if self._me is None:
            with self._wire.doing("engine's own account"):
                self._me = _account(self._get(f"{self._root}/user", "engine's own account"))
        return self._me

    def clone(self) -> Clone:
        """Return the address and the token."""
        return Clone(self._address.clone_url, self._git_user, self._secret)

    def pull_request(self, number: int) -> PullRequest:
        """Read a pull request; its commits are told in short and are asked for in full."""
        with self._wire.doing("pull request"):
            said = self._get(f"{self._here}/pullrequests/{number}", "pull request")
            source, target = said["source"], said["destination"]
            head, base = (self._commit(side["commit"]["hash"]) for side in (source, target))
        repository = source.get("repository")
        return PullRequest(
            number=number,
            title=said["title"],
            author=_account(said["author"]),
            is_open=said["state"] == "OPEN",
            head_sha=head,
            head_branch=source["branch"]["name"],
            head_repository=repository["full_name"] if repository else None,
            base_sha=base,
            base_branch=target["branch"]["name"],
            is_fork=not repository or repository["uuid"] != target["repository"]["uuid"],
            url=said["links"]["html"]["href"],
        )

    def changed_files(self, number: int) -> ChangedFiles:
        """List the changed files, five hundred a request."""
        what = "pull request's files"
        with self._wire.doing(what):
            place = f"{self._here}/pullrequests/{number}/diffstat"
            return ChangedFiles(tuple(_changed(said) for said in self._pages(place, what, _FILES_A_PAGE)))

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Read a file's bytes, after asking what it is: a folder is answered with its listing."""
        what = f"file {path:.200}"
        if any(part in {"", ".", ".."} for part in path.split("/")):
            raise NotFound(f"{path!r:.200} names no file of a repository")
        with self._wire.doing(what):
            place = f"{self._here}/src/{self._commit_of(ref)}/{quote(path)}"
            known = json_of(self._wire.ask("GET", place, what, params={"format": "meta"}))
            if known["type"] != "commit_file":
                raise NotFound(f"{self._address.host} has no {what}: it is a folder")
            return read_bounded(self._wire.ask("GET", place, what, stream=True), what, max_bytes)

    def branch_head(self, branch: str) -> str:
        """Read a branch's commit."""
        with self._wire.doing("branch"):
            place = f"{self._here}/refs/branches/{quote(branch, safe='')}"
            return str(self._get(place, "branch")["target"]["hash"])

    def permission(self, account: Account) -> Permission:
        """Ask for the user's highest right, groups and workspace included."""
        what = "user's permission"
        if not re.fullmatch(r"\{[0-9a-fA-F-]{36}\}", account.id):
            return Permission.NONE
        workspace, _, name = self._address.path.partition("/")
        place = f"{self._root}/workspaces/{quote(workspace)}/permissions/repositories/{quote(name)}"
        with self._wire.doing(what):
            said = json_of(self._wire.ask("GET", place, what, params={"q": f'user.uuid="{account.id}"'}))
        mine = [entry["permission"] for entry in said["values"] if entry["user"]["uuid"] == account.id]
        return max((_PERMISSIONS.get(right, Permission.NONE) for right in mine), default=Permission.NONE)

    def comment(self, number: int, comment_id: str) -> Comment:
        """Read one comment."""
        with self._wire.doing("comment"):
            said = self._get(f"{self._here}/pullrequests/{number}/comments/{int(comment_id)}", "comment")
        if said.get("deleted"):
            raise NotFound(f"comment {comment_id} of #{number} was deleted")
        return _comment(said)

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Look for our own comment."""
        with self._wire.doing("comments"):
            place = f"{self._here}/pullrequests/{number}/comments"
            for said in self._pages(place, "comments", _COMMENTS_A_PAGE):
                if (
                    said["content"]["raw"].startswith(marker)
                    and not said.get("deleted")
                    and _account(said["user"]).id == self.me().id
                ):
                    return _comment(said)
        return None

    def create_comment(self, number: int, body: str) -> Comment:
        """Write a comment."""
        with self._wire.doing("comment", repeatable=False):
            place = f"{self._here}/pullrequests/{number}/comments"
            return _comment(json_of(self._wire.ask("POST", place, "comment", json={"content": {"raw": body}})))

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:
        """Replace a comment's text."""
        with self._wire.doing("comment"):
            place = f"{self._here}/pullrequests/{number}/comments/{int(comment_id)}"
            return _comment(json_of(self._wire.ask("PUT", place, "comment", json={"content": {"raw": body}})))

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Set a commit's build status; Bitbucket wants a link, so the commit's page stands where none is given."""
        key = status.context
        if len(key) > _KEY_CHARS:
            key = hashlib.sha256(key.encode()).hexdigest()[:_KEY_CHARS]
        sent = {
            "key": key,
            "name": status.context,
            "state": _STATES[status.state],
            "description": status.description,
            "url": url or f"https://{self._address.host}/{self._address.path}/commits/{status.commit}",
        }
        with self._wire.doing("commit's status"):
            place = f"{self._here}/commit/{quote(status.commit)}/statuses/build"
            self._wire.ask("POST", place, "commit's status", json=sent)

    def close(self) -> None:
        """Let the connections go."""
        self._wire.close()

    def _commit(self, short: str) -> str:
        if _FULL_HASH.fullmatch(short):
            return short
        return str(self._get(f"{self._here}/commit/{quote(short)}", "commit")["hash"])

    def _commit_of(self, ref: str) -> str:
        if _FULL_HASH.fullmatch(ref):
            return ref
        return self.branch_head(ref)

    def _get(self, url: str, what: str) -> dict[str, Any]:
        said: dict[str, Any] = json_of(self._wire.ask("GET", url, what))
        return said

    def _pages(self, url: str, what: str, size: int) -> Iterator[dict[str, Any]]:
        said = json_of(self._wire.ask("GET", url, what, params={"pagelen": size}))
        yield from said["values"]
        while place := said.get("next"):
            if not place.startswith(f"{self._root}/"):
                raise PortFailed(f"{self._address.host} sent us elsewhere for more {what}")
            said = json_of(self._wire.ask("GET", place, what))
            yield from said["values"]


def _account(said: dict[str, Any]) -> Account:
    return Account(said["uuid"], said.get("nickname") or said.get("display_name") or "")


def _changed(said: dict[str, Any]) -> ChangedFile:
    old, new = ((said.get(side) or {}).get("path") for side in ("old", "new"))
    status = said["status"]
    if status == "renamed" and old and new:
        return ChangedFile(new, ChangeKind.RENAMED, old)
    if status in {"added", "removed"}:
        return ChangedFile(new or old or "", ChangeKind.ADDED if status == "added" else ChangeKind.REMOVED)
    return ChangedFile(new or old or "", ChangeKind.MODIFIED)


def _comment(said: dict[str, Any]) -> Comment:
    return Comment(
        id=str(said["id"]),
        author=_account(said["user"]),
        body=said["content"]["raw"],
        created_at=datetime.fromisoformat(said["created_on"]),
        edited=said["updated_on"] != said["created_on"],
        url=((said.get("links") or {}).get("html") or {}).get("href"),
    )
