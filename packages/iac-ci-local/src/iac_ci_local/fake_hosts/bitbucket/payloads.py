"""The payloads of Bitbucket Cloud's REST API and webhooks.

Sources: "The Bitbucket Cloud REST API"; Atlassian Support, "Event payloads"; hashes of twelve digits and times that
differ by thousandths of a second are those of public recordings.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_local.fake_hosts.project import (
        OpenPullRequest,
        Person,
        Project,
        SetStatus,
        WrittenComment,
        WrittenIssue,
    )
    from iac_ci_local.fake_hosts.repository import Change

STATES: Final = {"pending": "INPROGRESS", "success": "SUCCESSFUL", "failure": "FAILED", "error": "STOPPED"}
"""Bitbucket's words for the states of a build."""

HASH_CHARS: Final = 12
"""Digits of the commits of a pull request, in webhooks and in the API."""

_CREATED: Final = timedelta(microseconds=858_898)
_UPDATED: Final = timedelta(microseconds=859_011)


def uuid_of(identity: int) -> str:
    """Return the UUID of a person or repository."""
    return f"{{00000000-0000-4000-8000-{identity:011d}a}}"


class Payloads:
    """Builds the payloads of one project; ``web`` is the URL of the host."""

    def __init__(self, project: Project, web: str) -> None:
        """Build payloads for ``project``."""
        self._project = project
        self._web = web
        self._api = f"{web}/2.0/repositories/{project.full_name}"

    def person(self, person: Person) -> dict[str, Any]:
        """Return an account; the one of an access token has no nickname."""
        account = {"type": "user", "display_name": person.login, "uuid": uuid_of(person.id), "links": {}}
        if person.login.endswith("[bot]"):
            return account | {"type": "app_user"}
        return account | {"nickname": person.login, "account_id": f"712020:{person.id}"}

    def repository(self, *, fork: str | None = None) -> dict[str, Any]:
        """Return the repository, or a fork of it."""
        name = fork or self._project.full_name
        return {
            "type": "repository",
            "full_name": name,
            "name": name.rpartition("/")[2],
            "uuid": uuid_of(1000 if fork is None else 2000),
            "is_private": self._project.visibility != "public" if self._project.visibility != "" else None,
            "has_issues": self._project.has_issues,
            "mainbranch": {"type": "branch", "name": "main"},
            "links": {"html": {"href": f"https://{self._web.partition('//')[2]}/{name}"}},
        }

    def pull_request(self, pull: OpenPullRequest, head: str) -> dict[str, Any]:
        """Return a pull request with this head."""
        base, _ = self._project.compared(pull)
        landed = None if pull.landing == "fast-forward" else self._project.landed(pull)
        page = f"{self._web}/{self._project.full_name}/pull-requests/{pull.number}"
        return {
            "type": "pullrequest",
            "id": pull.number,
            "title": pull.title,
            "description": pull.body,
            "state": "OPEN" if pull.is_open else "MERGED" if pull.is_merged else "DECLINED",
            "draft": pull.is_draft,
            "queued": False,
            "author": self.person(pull.author),
            "source": self._side(pull.head_branch, head, fork=pull.fork),
            "destination": self._side(pull.base_branch, base),
            "participants": [
                {"type": "participant", "user": self.person(one.author), "role": "PARTICIPANT",
                 "approved": one.state == "APPROVED", "participated_on": one.at.isoformat(),
                 "state": {"APPROVED": "approved", "CHANGES_REQUESTED": "changes_requested"}.get(one.state)}
                for one in self._project.book.newest(pull.number).values()
            ],
            "reviewers": [],
            "merge_commit": None if landed is None else {"type": "commit", "hash": landed[:HASH_CHARS]},
            "close_source_branch": False,
            "closed_by": None,
            "reason": "",
            "comment_count": len(self._project.comments(pull.number)),
            "task_count": 0,
            "created_on": _moment(pull.created_at),
            "updated_on": _moment(pull.changed_at),
            "links": {"html": {"href": page}, "diffstat": {"href": f"{self._api}/pullrequests/{pull.number}/diffstat"}},
        }  # fmt: skip

    def _side(self, branch: str, sha: str, *, fork: str | None = None) -> dict[str, Any]:
        repository = self.repository(fork=fork)
        return {
            "branch": {"name": branch},
            "commit": {"type": "commit", "hash": sha[:HASH_CHARS]},
            "repository": {name: repository[name] for name in ("type", "full_name", "name", "uuid", "links")},
        }

    def changed_file(self, change: Change, *, conflicts: bool = False) -> dict[str, Any]:
        """Return one changed file; its status may be that it conflicts, which no documentation mentions."""
        old, new = (
            {"type": "commit_file", "path": path} for path in (change.previous_path or change.path, change.path)
        )
        return {
            "type": "diffstat",
            "status": "merge conflict" if conflicts else change.status,
            "lines_added": change.additions,
            "lines_removed": change.deletions,
            "old": None if change.status == "added" else old,
            "new": None if change.status == "removed" else new,
        }

    def comment(self, comment: WrittenComment) -> dict[str, Any]:
        """Return a comment. Its second time is a moment later than the first, though nobody edited it."""
        is_edited = comment.updated_at != comment.created_at
        page = f"{self._web}/{self._project.full_name}/pull-requests/{comment.number}"
        return {
            "type": "pullrequest_comment",
            "id": comment.id,
            "created_on": _moment(comment.created_at),
            "updated_on": _moment(comment.updated_at, updated=not is_edited),
            "content": {"type": "rendered", "raw": comment.body, "markup": "markdown", "html": ""},
            "user": self.person(comment.author),
            "deleted": False,
            "pending": False,
            "links": {"html": {"href": f"{page}#comment-{comment.id}"}},
        }

    def issue(self, issue: WrittenIssue) -> dict[str, Any]:
        """Return an issue."""
        return {
            "type": "issue",
            "id": issue.number,
            "title": issue.title,
            "content": {"type": "rendered", "raw": issue.body, "markup": "markdown", "html": ""},
            "reporter": self.person(issue.author),
            "state": "open" if issue.is_open else "resolved",
            "kind": "task",
            "priority": "major",
            "created_on": _moment(issue.created_at),
            "updated_on": _moment(issue.updated_at),
            "links": {"html": {"href": f"{self._web}/{self._project.full_name}/issues/{issue.number}"}},
        }

    def permission(self, person: Person) -> dict[str, Any]:
        """Return a person's permission."""
        return {
            "type": "repository_permission",
            "permission": self._project.right(person),
            "user": self.person(person),
            "repository": self.repository(),
        }

    def branch(self, name: str, sha: str) -> dict[str, Any]:
        """Return a branch."""
        return {"type": "branch", "name": name, "target": self.commit(sha), "links": {}}

    def commit(self, sha: str) -> dict[str, Any]:
        """Return a commit."""
        return {"type": "commit", "hash": sha, "message": "a commit", "links": {}}

    def listed_commit(self, sha: str) -> dict[str, Any]:
        """Return a commit of a pull request; its author has an account where Bitbucket knows the address."""
        person = self._project.book.people_of.get(sha)
        author = {"type": "author", "raw": "demo <demo@localhost>"}
        return {**self.commit(sha), "author": author if person is None else author | {"user": self.person(person)}}

    def status(self, status: SetStatus, key: str, url: str) -> dict[str, Any]:
        """Return a build status."""
        return {
            "type": "build",
            "key": key,
            "name": status.context,
            "state": STATES[status.state],
            "description": status.description,
            "url": url,
            "created_on": _moment(status.created_at),
            "updated_on": _moment(status.created_at),
        }

    def hook(self, actor: Person) -> dict[str, Any]:
        """Return what every webhook has."""
        return {"actor": self.person(actor), "repository": self.repository()}


def _moment(moment: datetime, *, updated: bool = False) -> str:
    return (moment.replace(microsecond=0) + (_UPDATED if updated else _CREATED)).isoformat()


__all__ = ["HASH_CHARS", "STATES", "Payloads", "uuid_of"]
