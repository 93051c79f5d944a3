"""GitLab.com and self-managed GitLab: python-gitlab over the engine's own session."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iac_ci_common.errors import PortFailed
from iac_ci_vcs.http_session import BearerAuth, HostSession, pause, read_bounded, refusal
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
    named_branch,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

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
_WAITS_FOR_CHANGES: Final = (1, 2, 3)
"""Seconds between the requests for changes that GitLab has not computed yet; it takes up to five."""


class GitLab:
    """One project on GitLab."""

    kind = "gitlab"
    max_comment_chars = 1_000_000
    comments_have_html = True

    def __init__(
        self,
        address: RepositoryAddress,
        credentials: Credentials,
        *,
        api_url: str | None = None,
        seconds: float = 60,
    ) -> None:
        """Open the project without a request; see ``Provider``. ``api_url`` may end with ``/api/v4``.

        Raises ``PortFailed`` for the credentials of a GitHub app.
        """
        import gitlab

        if isinstance(credentials, AppCredentials):
            raise PortFailed("GitLab has no GitHub apps: store an access token instead")
        self._address = address
        self._token = credentials.token
        # A bearer token, because requests removes only the header Authorization when a redirect leads to another host.
        self._session = HostSession(address.host, BearerAuth(lambda: self._token), root=api_url or "", seconds=seconds)
        root = (api_url or f"https://{address.host}").rstrip("/").removesuffix("/api/v4")
        self._api = gitlab.Gitlab(root, session=self._session, per_page=_PAGE, user_agent="iac-ci")
        self._project_path = f"/projects/{quote(address.path, safe='')}"
        self._url = f"{root}/api/v4{self._project_path}"
        self._failed = gitlab.GitlabError
        self._me: Account | None = None

    def me(self) -> Account:
        """Return the token's account; a project access token has a bot account."""
        if self._me is None:
            with self._doing("engine's own account"):
                self._me = _account(self._get("/user"))
        return self._me

    def clone(self) -> Clone:
        """Return the address and the token."""
        return Clone(self._address.clone_url, "oauth2", self._token)

    def pull_request(self, number: int) -> PullRequest:
        """Return a merge request."""
        with self._doing("merge request"):
            payload = self._get(f"{self._project_path}/merge_requests/{number}")
            is_fork = (
                payload["source_project_id"] is None or payload["source_project_id"] != payload["target_project_id"]
            )
            head_repository: str | None = self._address.path
            if is_fork:
                head_repository = self._path_of(payload["source_project_id"])
        return PullRequest(
            number=number,
            title=payload["title"],
            author=_account(payload["author"]),
            is_open=payload["state"] == "opened",
            head_sha=payload["sha"],
            head_branch=payload["source_branch"],
            head_repository=head_repository,
            base_sha=(payload.get("diff_refs") or {}).get("base_sha") or "",
            base_branch=payload["target_branch"],
            is_fork=is_fork,
            url=payload["web_url"],
            is_draft=bool(payload.get("draft")),
            labels=tuple(payload.get("labels") or ()),
        )

    def changed_files(self, number: int) -> ChangedFiles:
        """Return the changed files, 100 per request; ``complete`` is False where the instance's limits cut the list.

        For some seconds after a merge request is opened, GitLab has not computed its changes and answers no count and
        no files; it answers the same for ever for one that changes nothing (gitlab-org/gitlab#386562). After several
        requests ``complete`` is False, because the two answers are equal.
        """
        for seconds in (*_WAITS_FOR_CHANGES, None):
            with self._doing("merge request's files"):
                count = str(self._get(f"{self._project_path}/merge_requests/{number}").get("changes_count") or "")
                files = tuple(
                    _changed(payload) for payload in self._list(f"{self._project_path}/merge_requests/{number}/diffs")
                )
            if count or files or seconds is None:
                break
            pause(seconds)
        return ChangedFiles(files, complete=count.isdigit() and len(files) >= int(count))

    def file(self, path: str, ref: str, *, max_bytes: int = 1024 * 1024) -> bytes:
        """Return a file's bytes."""
        subject = f"file {path:.200}"
        with self._session.doing(subject):
            path = f"{self._url}/repository/files/{quote(path, safe='')}/raw"
            return read_bounded(
                self._session.ask("GET", path, subject, params={"ref": ref}, stream=True), subject, max_bytes
            )

    def has_folder(self, path: str, commit: str) -> bool:
        """Return whether a commit has the folder."""
        with self._doing(f"folder {path:.200}"):
            try:
                query = {"path": path, "ref": commit}
                entries = self._api.http_list(f"{self._project_path}/repository/tree", query_data=query, iterator=True)
                return next(iter(entries), None) is not None
            except self._failed as error:
                if error.response_code == 404:
                    return False
                raise

    def branch_head(self, branch: str) -> str:
        """Return a branch's commit."""
        with self._doing("branch"):
            payload = self._get(f"{self._project_path}/repository/branches/{quote(branch, safe='')}")
        return named_branch(branch, payload.get("name", branch), payload["commit"]["id"])

    def default_branch(self) -> str:
        """Return the project's default branch."""
        with self._doing("project"):
            return str(self._get(self._project_path)["default_branch"])

    def permission(self, account: Account) -> Permission:
        """Return the member's permission; groups count. Developers may write, maintainers are administrators."""
        with self._doing("user's permission"):
            number = account.id or self._id_of(account.login)
            if number is None:
                return Permission.NONE
            try:
                payload = self._get(f"{self._project_path}/members/all/{int(number)}")
            except self._failed as error:
                if error.response_code == 404:
                    return Permission.NONE
                raise
        level = payload["access_level"] if payload.get("state", "active") == "active" else 0
        if level >= _MAINTAINER:
            return Permission.ADMIN
        if level >= _DEVELOPER:
            return Permission.WRITE
        return Permission.READ if level >= _GUEST else Permission.NONE

    def comment(self, number: int, comment_id: str) -> Comment:
        """Return one note."""
        with self._doing("comment"):
            return _comment(self._get(f"{self._project_path}/merge_requests/{number}/notes/{int(comment_id)}"))

    def find_comment(self, number: int, marker: str) -> Comment | None:
        """Return the engine's own note that begins with ``marker``; None if there is none."""
        with self._doing("comments"):
            path = f"{self._project_path}/merge_requests/{number}/notes"
            for payload in self._list(path, sort="asc", order_by="created_at"):
                if (
                    payload["body"].startswith(marker)
                    and not payload["system"]
                    and _account(payload["author"]).id == self.me().id
                ):
                    return _comment(payload)
        return None

    def create_comment(self, number: int, body: str) -> Comment:
        """Create a note."""
        with self._doing("comment", repeatable=False):
            path = f"{self._project_path}/merge_requests/{number}/notes"
            return _comment(_object(self._api.http_post(path, post_data={"body": body})))

    def edit_comment(self, number: int, comment_id: str, body: str) -> Comment:
        """Replace a note's text."""
        with self._doing("comment"):
            path = f"{self._project_path}/merge_requests/{number}/notes/{int(comment_id)}"
            return _comment(_object(self._api.http_put(path, post_data={"body": body})))

    def fold_comments(self, number: int, markers: Collection[str]) -> int:  # noqa: ARG002 - other hosts need them
        """Return 0: GitLab folds no comments."""
        return 0

    def react(self, number: int, comment_id: str | None = None) -> bool:
        """Award the emoji with two eyes. GitLab answers 404 if it was awarded before."""
        path = f"{self._project_path}/merge_requests/{number}"
        if comment_id is not None:
            path += f"/notes/{int(comment_id)}"
        with self._doing("reaction"):
            try:
                self._api.http_post(f"{path}/award_emoji", post_data={"name": "eyes"})
            except self._failed as error:
                if error.response_code != 404:
                    raise
        return True

    def set_status(self, status: CommitStatus, *, url: str | None = None) -> None:
        """Set a commit's status."""
        state = _STATES[status.state]
        sent = {"state": state, "description": status.description, "name": status.context}
        if url is not None:
            sent["target_url"] = url
        commit = quote(status.commit)
        with self._doing("commit's status"):
            try:
                self._api.http_post(f"{self._project_path}/statuses/{commit}", post_data=sent)
            except self._failed as error:
                # GitLab refuses to set the state that a status already has.
                if error.response_code != _BAD_REQUEST or state not in self._states(commit, status.context):
                    raise

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _states(self, commit: str, context: str) -> set[str]:
        listed = self._list(f"{self._project_path}/repository/commits/{commit}/statuses", name=context)
        return {payload["status"] for payload in listed if payload["name"] == context}

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
        for payload in self._list("/users", username=login):
            return str(payload["id"])
        return None

    def _get(self, path: str) -> dict[str, Any]:
        return _object(self._api.http_get(path))

    def _list(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        yield from self._api.http_list(path, query_data=dict(query), iterator=True)

    @contextmanager
    def _doing(self, subject: str, *, repeatable: bool = True) -> Iterator[None]:
        with self._session.doing(subject, repeatable=repeatable):
            try:
                yield
            except self._failed as error:
                raise refusal(self._address.host, subject, error.response_code or 0, str(error.error_message)) from None


def _object(payload: Any) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise PortFailed(
            "GitLab did not answer with a JSON object: check api_url in the code hosts", retry_is_safe=True
        )
    return payload


def _account(payload: dict[str, Any]) -> Account:
    return Account(str(payload["id"]), payload["username"])


def _changed(payload: dict[str, Any]) -> ChangedFile:
    if payload["renamed_file"]:
        return ChangedFile(payload["new_path"], ChangeKind.RENAMED, payload["old_path"])
    if payload["new_file"]:
        return ChangedFile(payload["new_path"], ChangeKind.ADDED)
    return ChangedFile(payload["new_path"], ChangeKind.REMOVED if payload["deleted_file"] else ChangeKind.MODIFIED)


def _comment(payload: dict[str, Any]) -> Comment:
    return Comment(
        id=str(payload["id"]),
        author=_account(payload["author"]),
        body=payload["body"],
        created_at=datetime.fromisoformat(payload["created_at"]),
        edited=payload["updated_at"] != payload["created_at"],
    )
