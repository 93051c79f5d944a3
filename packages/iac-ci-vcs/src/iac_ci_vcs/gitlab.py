"""GitLab, self-managed or not, with python-gitlab over the engine's own session."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iac_ci_common.errors import PortFailed
from iac_ci_vcs.http_session import BearerAuth, HostSession, read_bounded, refusal
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

_PAGE: Final = 100
_DEVELOPER: Final = 30
_MAINTAINER: Final = 40
_GUEST: Final = 10
_STATES: Final = {
    CommitState.PENDING: "pending",
    CommitState.SUCCESS: "success",
    CommitState.FAILURE: "failed",
    CommitState.ERROR: "failed",
}
_BAD_REQUEST: Final = 400


class GitLab:
    """One project on GitLab."""

    kind = "gitlab"
    max_comment_chars = 1_000_000

    def __init__(
        self,
        address: RepositoryAddress,
        credentials: Credentials,
        *,
        api_url: str | None = None,
        seconds: float = 60,
    ) -> None:
        """Open the project; see ``Provider``. ``api_url`` ends with ``/api/v4`` or stands before it."""
        import gitlab

        if isinstance(credentials, AppCredentials):
            raise PortFailed("GitLab knows no GitHub apps: give an access token")
        self._address = address
        self._token = credentials.token
        # As a bearer: requests takes only the header Authorization away where an answer leads to another host.
        self._wire = HostSession(address.host, BearerAuth(lambda: self._token), seconds=seconds)
        root = (api_url or f"https://{address.host}").rstrip("/").removesuffix("/api/v4")
        self._api = gitlab.Gitlab(root, session=self._wire, per_page=_PAGE, user_agent="iac-ci")
        self._here = f"/projects/{quote(address.path, safe='')}"
        self._url = f"{root}/api/v4{self._here}"
        self._failed = gitlab.GitlabError
        self._me: Account | None = None

    def me(self) -> Account:
        """Return the token's account; of a project's token its bot."""
        if self._me is None:
            with self._doing("engine's own account"):
                self._me = _account(self._get("/user"))
        return self._me

    def clone(self) -> Clone:
        """Return the address and the token."""
        return Clone(self._address.clone_url, "oauth2", self._token)

    def pull_request(self, number: int) -> PullRequest:
        """Read a merge request."""
        with self._doing("merge request"):
            said = self._get(f"{self._here}/merge_requests/{number}")
            is_fork = said["source_project_id"] is None or said["source_project_id"] != said["target_project_id"]
            head_repository: str | None = self._address.path
            if is_fork:
                head_repository = self._path_of(said["source_project_id"])
        return PullRequest(
            number=number,
            title=said["title"],
            author=_account(said["author"]),
            is_open=said["state"] == "opened",
            head_sha=said["sha"],
            head_branch=said["source_branch"],
            head_repository=head_repository,
            base_sha=(said.get("diff_refs") or {}).get("base_sha") or "",
            base_branch=said["target_branch"],
            is_fork=is_fork,
            url=said["web_url"],
        )

    def changed_files(self, number: int) -> ChangedFiles:
        """List the changed files, a hundred a request, as far as the instance's limits let it tell."""
        with self._doing("merge request's files"):
            count = str(self._get(f"{self._here}/merge_requests/{number}").get("changes_count") or "0")
            files = tuple(_changed(said) for said in self._list(f"{self._here}/merge_requests/{number}/diffs"))
        return ChangedFiles(files, complete=count.isdigit() and len(files) >= int(count))

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Read a file's bytes."""
        what = f"file {path:.200}"
        with self._wire.doing(what):
            place = f"{self._url}/repository/files/{quote(path, safe='')}/raw"
            return read_bounded(self._wire.ask("GET", place, what, params={"ref": ref}, stream=True), what, max_bytes)

    def branch_head(self, branch: str) -> str:
        """Read a branch's commit."""
        with self._doing("branch"):
            sha: str = self._get(f"{self._here}/repository/branches/{quote(branch, safe='')}")["commit"]["id"]
        return sha

    def permission(self, account: Account) -> Permission:
        """Ask for the member's access level, groups included; developers may write."""
        with self._doing("user's permission"):
            number = account.id or self._id_of(account.login)
            if number is None:
                return Permission.NONE
            try:
                said = self._get(f"{self._here}/members/all/{int(number)}")
            except self._failed as error:
                if error.response_code == 404:
                    return Permission.NONE
                raise
        level = said["access_level"] if said.get("state", "active") == "active" else 0
        if level >= _MAINTAINER:
            return Permission.ADMIN
        if level >= _DEVELOPER:
            return Permission.WRITE
        return Permission.READ if level >= _GUEST else Permission.NONE

    def comment(self, number: int, comment_id: str) -> Comment:
        """Read one note."""
        with self._doing("comment"):
            return _comment(self._get(f"{self._here}/merge_requests/{number}/notes/{int(comment_id)}"))

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Look for our own note."""
        with self._doing("comments"):
            place = f"{self._here}/merge_requests/{number}/notes"
            for said in self._list(place, sort="asc", order_by="created_at"):
                if (
                    said["body"].startswith(marker)
                    and not said["system"]
                    and _account(said["author"]).id == self.me().id
                ):
                    return _comment(said)
        return None

    def create_comment(self, number: int, body: str) -> Comment:
        """Write a note."""
        with self._doing("comment", repeatable=False):
            place = f"{self._here}/merge_requests/{number}/notes"
            return _comment(_shape(self._api.http_post(place, post_data={"body": body})))

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:
        """Replace a note's text."""
        with self._doing("comment"):
            place = f"{self._here}/merge_requests/{number}/notes/{int(comment_id)}"
            return _comment(_shape(self._api.http_put(place, post_data={"body": body})))

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Set a commit's status."""
        state = _STATES[status.state]
        sent = {"state": state, "description": status.description, "name": status.context}
        if url is not None:
            sent["target_url"] = url
        commit = quote(status.commit)
        with self._doing("commit's status"):
            try:
                self._api.http_post(f"{self._here}/statuses/{commit}", post_data=sent)
            except self._failed as error:
                # GitLab refuses to move a status to where it stands already.
                if error.response_code != _BAD_REQUEST or state not in self._states(commit, status.context):
                    raise

    def close(self) -> None:
        """Let the connections go."""
        self._wire.close()

    def _states(self, commit: str, context: str) -> set[str]:
        listed = self._list(f"{self._here}/repository/commits/{commit}/statuses", name=context)
        return {said["status"] for said in listed if said["name"] == context}

    def _path_of(self, project: int | None) -> str | None:
        if project is None:
            return None
        try:
            return str(self._get(f"/projects/{project}")["path_with_namespace"])
        except self._failed as error:
            if error.response_code in {403, 404}:
                return None
            raise

    def _id_of(self, login: str) -> str | None:
        for said in self._list("/users", username=login):
            return str(said["id"])
        return None

    def _get(self, path: str) -> dict[str, Any]:
        return _shape(self._api.http_get(path))

    def _list(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        yield from self._api.http_list(path, query_data=dict(query), iterator=True)

    @contextmanager
    def _doing(self, what: str, *, repeatable: bool = True) -> Iterator[None]:
        with self._wire.doing(what, repeatable=repeatable):
            try:
                yield
            except self._failed as error:
                raise refusal(self._address.host, what, error.response_code or 0, str(error.error_message)) from None


def _shape(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise PortFailed("GitLab answered with something that is no JSON", retry_is_safe=True)
    return said


def _account(said: dict[str, Any]) -> Account:
    return Account(str(said["id"]), said["username"])


def _changed(said: dict[str, Any]) -> ChangedFile:
    if said["renamed_file"]:
        return ChangedFile(said["new_path"], ChangeKind.RENAMED, said["old_path"])
    if said["new_file"]:
        return ChangedFile(said["new_path"], ChangeKind.ADDED)
    return ChangedFile(said["new_path"], ChangeKind.REMOVED if said["deleted_file"] else ChangeKind.MODIFIED)


def _comment(said: dict[str, Any]) -> Comment:
    return Comment(
        id=str(said["id"]),
        author=_account(said["author"]),
        body=said["body"],
        created_at=datetime.fromisoformat(said["created_at"]),
        edited=said["updated_at"] != said["created_at"],
    )
