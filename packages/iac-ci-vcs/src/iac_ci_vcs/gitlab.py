"""GitLab.com and self-managed GitLab: python-gitlab over the engine's own session."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from iac_ci_common.errors import PortFailed
from iac_ci_vcs.gitlab_issues import GitLabIssues
from iac_ci_vcs.gitlab_merges import GitLabMerges
from iac_ci_vcs.gitlab_reviews import GitLabCalls, GitLabReviews
from iac_ci_vcs.http_session import BearerAuth, HostSession, json_of, pause, read_bounded, refusal
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
    from collections.abc import Collection, Iterator, Mapping

    from iac_ci_vcs.provider import CommitStatus, Credentials, RepositoryAddress

_PAGE: Final = 100
_MOST_FILES: Final = 1000
"""Files that every instance lists; some list up to 3,000 (GitLab Docs, "Diff limits")."""

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
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_TRIES: Final = 4
_CHANGES_SECONDS: Final = 6.0
"""How long GitLab is asked again for changes that it may have computed already: it takes up to five seconds."""

_PIPELINE_SECONDS: Final = 3.0
"""How long GitLab is asked again for the pipeline of a commit, which comes later than the commit."""

_NOT_PREPARED: Final = frozenset({"preparing", "checking", "unchecked"})
"""States of a merge request whose changes may not be computed yet."""

_NOT_ENDED: Final = frozenset({"opened", "locked"})
"""States of a merge request that has not ended: GitLab locks one while it merges it (python-gitlab/python-gitlab#2005),
and opens it again if the merge fails."""

_OPEN: Final = frozenset({"created", "pending", "running"})


class _Changes(NamedTuple):
    stated: str
    files: tuple[ChangedFile, ...]
    is_prepared: bool

    @property
    def is_known(self) -> bool:
        """Return whether GitLab has computed the changes: it counts and lists them."""
        return bool(self.files) and (not self.stated.isdigit() or len(self.files) >= min(int(self.stated), _MOST_FILES))


class GitLab:
    """One project on GitLab."""

    kind = "gitlab"
    max_comment_chars = 1_000_000
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
        self._known_project: Any = None
        self._failed = gitlab.GitlabError
        self._me: Account | None = None
        self._read: dict[str, dict[str, Any]] = {}
        self._fresh: dict[int, dict[str, Any]] = {}
        self._pipelines: dict[str, dict[str, str]] = {}

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
            source = payload.get("source_project_id")
            is_fork = source is None or source != payload["target_project_id"]
            head_repository: str | None = self._address.path
            if is_fork:
                head_repository = self._path_of(source)
            refs = payload.get("diff_refs") or {}
            head = payload.get("sha") or refs.get("head_sha") or ""
            self._read[head] = self._fresh[number] = payload
            is_merged = payload["state"] == "merged"
            # A fast-forward makes no commit, and a squash without a merge commit only its own.
            made = payload.get("merge_commit_sha") or payload.get("squash_commit_sha") or head
            return PullRequest(
                number=number,
                title=payload["title"],
                author=_author(payload),
                is_open=payload["state"] in _NOT_ENDED,
                head_sha=head,
                head_branch=text_of(payload["source_branch"]),
                head_repository=head_repository,
                base_sha=refs.get("base_sha") or "",
                base_branch=text_of(payload["target_branch"]),
                is_fork=is_fork,
                url=payload["web_url"],
                is_draft=bool(payload.get("draft") or payload.get("work_in_progress")),
                labels=tuple(payload.get("labels") or ()),
                updated_at=moment_of(payload.get("updated_at")),
                is_merged=is_merged,
                merged_at=moment_of(payload.get("merged_at")),
                merge_sha=made if is_merged else "",
            )

    def open_pull_requests(self, since: datetime, *, known: str = "", pages: int = 1) -> OpenPullRequests | None:
        """Return the open merge requests, 100 per request."""
        subject = "open merge requests"
        query = {"state": "opened", "order_by": "updated_at", "sort": "desc", "per_page": str(_PAGE)}
        url = f"{self._url}/merge_requests"
        with self._session.doing(subject):
            response, version = self._session.versioned(url, subject, known=known, params=query)
            if response is None:
                return None
            found: list[ListedPullRequest] = []
            for number in range(1, pages + 1):
                found += [_listed(payload) for payload in json_of(response)]
                page = response.headers.get("X-Next-Page")
                if not page or found[-1].updated_at < since:
                    return open_since(found, since, version, requests=number)
                if number < pages:
                    response = self._session.ask("GET", url, subject, params=query | {"page": page})
            return open_since(found, since, version, requests=pages, complete=False)

    def merge_state(self, number: int, base: str, head: str) -> MergeState:  # noqa: ARG002 - other hosts need them
        """Return how far the merge request is behind its target, and the merge, which GitLab makes when it is asked.

        GitLab refuses to make one of a merge request that conflicts, is empty or is closed.
        """
        path = f"{self._project_path}/merge_requests/{number}"
        with self._doing("merge request"):
            query = {"include_diverged_commits_count": "true"}
            found = _object(self._api.http_get(path, query_data=query)).get("diverged_commits_count")
            behind = min(found, MOST_BEHIND) if isinstance(found, int) else None
            try:
                commit = self._get(f"{path}/merge_ref").get("commit_id")
            except self._failed as error:
                if error.response_code not in {_BAD_REQUEST, _NOT_FOUND}:
                    raise
                commit = None
            return MergeState(behind, str(commit) if commit else None)

    def pull_requests_of(self, commit: str) -> tuple[int, ...]:
        """Return the merge requests that have brought a commit."""
        with self._doing("merge requests of a commit"):
            try:
                found = self._list(f"{self._project_path}/repository/commits/{quote(commit)}/merge_requests")
                return tuple(payload["iid"] for payload in islice(found, _PAGE))
            except self._failed as error:
                if error.response_code == _NOT_FOUND:
                    return ()
                raise

    def reviews(self) -> GitLabReviews:
        """Return the project's reviews."""
        return GitLabReviews(
            GitLabCalls(
                project_path=self._project_path,
                doing=self._doing,
                get=self._get,
                listed=self._list,
                just_read=lambda number: self._fresh.pop(number, None),
                failed=self._failed,
            )
        )

    def changed_files(self, number: int) -> ChangedFiles:
        """Return the changed files, 100 per request; ``complete`` is False where the instance's limits cut the list.

        For some seconds after a merge request is opened, GitLab has not computed its changes and answers no count and
        no files; it answers the same for ever for one that changes nothing (gitlab-org/gitlab#386562). So it is asked
        again, for a minute as long as GitLab says that it still prepares the merge request, else for some seconds. Then
        ``complete`` is False, because the two answers are equal.
        """
        found = settled(
            lambda: self._changes(number), lambda found: found.is_known, seconds=_CHANGES_SECONDS, wait=pause
        )
        if found.is_prepared is False and not found.is_known:
            found = settled(lambda: self._changes(number), lambda found: found.is_known, wait=pause)
        return ChangedFiles(found.files, complete=found.stated.isdigit() and len(found.files) >= int(found.stated))

    def _changes(self, number: int) -> _Changes:
        with self._doing("merge request's files"):
            payload = self._get(f"{self._project_path}/merge_requests/{number}")
            listed = self._list(f"{self._project_path}/merge_requests/{number}/diffs")
            files = tuple(_changed(entry) for entry in listed)
            status = payload.get("detailed_merge_status") or payload.get("merge_status")
            return _Changes(str(payload.get("changes_count") or ""), files, status not in _NOT_PREPARED)

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
        if any(part in {"", ".", ".."} for part in path.split("/")):
            return False
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
            return str(self._project()["default_branch"])

    def is_private(self) -> bool | None:
        """Return whether the project is private or internal."""
        with self._doing("project"):
            visibility = self._project().get("visibility")
            return visibility in {"private", "internal"} if visibility in {"public", "private", "internal"} else None

    def _project(self) -> Any:
        """Return the project, by one request for each opened host."""
        if self._known_project is None:
            self._known_project = self._get(self._project_path)
        return self._known_project

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
            if not isinstance(payload.get("access_level"), int) or isinstance(payload["access_level"], bool):
                return Permission.UNKNOWN
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
                    (payload.get("body") or "").startswith(marker)
                    and not payload.get("system")
                    and _author(payload).id == self.me().id
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
        """Set a commit's status, which is a job of a pipeline: the commit's newest one, with its branch.

        GitLab changes the open status of the token's own account only. After a status that ends it, an open one of the
        same name by another account, for example by an older token, raises ``PortFailed``: GitLab lets nobody else end
        it, and the pipeline waits for it.
        """
        sent = {"state": _STATES[status.state], "description": status.description, "name": status.name}
        if (link := url or status.url) is not None:
            sent["target_url"] = link
        with self._doing("commit's status"):
            ref = self._set_status(status, sent)
            if status.state is CommitState.PENDING:
                return
            for row in self._open_rows(status, ref):
                if _author(row).id != self.me().id:
                    raise PortFailed(
                        f"{_author(row).login} has an open status {status.name} on {status.commit[:12]}, of"
                        " another token; GitLab lets no other account end it: push a commit, or end it as that account"
                    )

    def _open_rows(self, status: CommitStatus, ref: str | None) -> list[dict[str, Any]]:
        """Return the open statuses of this name, none if GitLab does not list them: this one is set already."""
        try:
            return [row for row in self._rows(status, ref) if row["status"] in _OPEN]
        except (self._failed, PortFailed, OSError):
            return []

    def _set_status(self, status: CommitStatus, sent: Mapping[str, str]) -> str | None:
        """Set the status and return the branch that it was set for, None if GitLab chose it."""
        path = f"{self._project_path}/statuses/{quote(status.commit)}"
        where = self._pipeline_of(status.commit)
        for _ in range(_TRIES):
            try:
                self._api.http_post(path, post_data={**sent, **where})
            except self._failed as error:
                if error.response_code == _NOT_FOUND and "pipeline_id" in where:
                    # The pipeline is not one of this branch: GitLab chooses the newest for the commit.
                    where = self._branch_of(status.commit)
                    continue
                if (
                    error.response_code == _BAD_REQUEST
                    and "target_url" in sent
                    and "target_url" in f"{error.error_message}"
                ):
                    # GitLab refuses links to hosts that it cannot resolve (jenkinsci/gitlab-plugin#968).
                    sent = {name: value for name, value in sent.items() if name != "target_url"}
                    continue
                if error.response_code == _CONFLICT:
                    # Another status of the commit is being set.
                    pause(1)
                    continue
                # GitLab refuses to set the state that a status already has.
                is_set = error.response_code == _BAD_REQUEST and sent["state"] in self._states(status, where.get("ref"))
                if not is_set:
                    raise
            return where.get("ref")
        raise PortFailed("GitLab sets another status of the commit at every attempt", retry_is_safe=True)

    def _pipeline_of(self, commit: str) -> dict[str, str]:
        """Return the newest pipeline of a commit and its branch, or the branch alone; only the first call asks."""
        if commit not in self._pipelines:
            known = (self._read.get(commit) or {}).get("head_pipeline")
            if not known or known.get("sha") != commit:
                known = self._last_pipeline(commit)
            found = {"pipeline_id": str(known["id"]), "ref": str(known["ref"])} if known else self._branch_of(commit)
            self._pipelines[commit] = found
        return self._pipelines[commit]

    def _last_pipeline(self, commit: str) -> dict[str, Any] | None:
        """Return a commit's newest pipeline; None if there is none, or GitLab does not tell it: the status is sent."""
        path = f"{self._project_path}/repository/commits/{quote(commit)}"

        def read() -> dict[str, Any] | None:
            found: dict[str, Any] | None = self._get(path).get("last_pipeline")
            return found

        try:
            return settled(read, bool, seconds=_PIPELINE_SECONDS, wait=pause)
        except (self._failed, PortFailed, OSError):
            return None

    def _branch_of(self, commit: str) -> dict[str, str]:
        branch = (self._read.get(commit) or {}).get("source_branch")
        return {"ref": str(branch)} if branch else {}

    def _states(self, status: CommitStatus, ref: str | None) -> set[str]:
        return {row["status"] for row in self._rows(status, ref)}

    def _rows(self, status: CommitStatus, ref: str | None) -> list[dict[str, Any]]:
        """Return the statuses of this name; without a branch those of all merge requests with the commit."""
        query = {"name": status.name} | ({"ref": ref} if ref else {})
        listed = self._list(f"{self._project_path}/repository/commits/{quote(status.commit)}/statuses", **query)
        return [row for row in listed if row["name"] == status.name]

    def issues(self) -> GitLabIssues:
        """Return the project's issues."""
        return GitLabIssues(self._api, self._project_path, self._doing, self._list, self.me)

    def merging(self) -> GitLabMerges:
        """Return what merges the project's merge requests."""
        return GitLabMerges(self._api, self._project_path, self._doing, self._project, self._failed)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

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
        # Only the objects of python-gitlab take the size of pages from the client.
        yield from self._api.http_list(path, query_data={"per_page": _PAGE, **query}, iterator=True)

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
    return account_of(payload["id"], payload["username"])


def _author(payload: dict[str, Any]) -> Account:
    return _account(payload["author"]) if payload.get("author") else GHOST


def _listed(payload: dict[str, Any]) -> ListedPullRequest:
    return ListedPullRequest(
        number=payload["iid"],
        author=_author(payload),
        head=payload.get("sha") or "",
        base_branch=text_of(payload["target_branch"]),
        updated_at=datetime.fromisoformat(payload["updated_at"]),
        is_draft=bool(payload.get("draft")),
        labels=tuple(payload.get("labels") or ()),
    )


def _changed(payload: dict[str, Any]) -> ChangedFile:
    if payload.get("renamed_file"):
        return ChangedFile(payload["new_path"], ChangeKind.RENAMED, payload["old_path"])
    if payload.get("new_file"):
        return ChangedFile(payload["new_path"], ChangeKind.ADDED)
    return ChangedFile(payload["new_path"], ChangeKind.REMOVED if payload.get("deleted_file") else ChangeKind.MODIFIED)


def _comment(payload: dict[str, Any]) -> Comment:
    return Comment(
        id=str(payload["id"]),
        author=_author(payload),
        body=payload.get("body") or "",
        created_at=datetime.fromisoformat(payload["created_at"]),
        edited=payload["updated_at"] != payload["created_at"],
    )
