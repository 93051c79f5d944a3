"""The payloads of GitLab's REST API and webhooks.

Sources: GitLab Docs, "Merge requests API", "Notes API", "Commits API", "Webhook events"; the shapes, and what is empty
at first, are those of public recordings.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.fake_hosts.project import FORK_ID, PROJECT_ID

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_local.fake_hosts.project import (
        OpenPullRequest,
        Person,
        Project,
        Reaction,
        SetStatus,
        WrittenComment,
        WrittenIssue,
    )
    from iac_ci_local.fake_hosts.repository import Change, Entry
    from iac_ci_local.fake_hosts.reviews import Review

ACCESS_LEVELS: Final = {"admin": 40, "write": 30, "read": 10}
STATES: Final = {"pending": "pending", "success": "success", "failure": "failed", "error": "canceled"}
"""GitLab's words for the states of a commit status."""


class Payloads:
    """Builds the payloads of one project; ``web`` is the URL of the host."""

    def __init__(self, project: Project, web: str) -> None:
        """Build payloads for ``project``."""
        self._project = project
        self._web = web

    def person(self, person: Person) -> dict[str, Any]:
        """Return a user."""
        return {
            "id": person.id,
            "username": person.login,
            "name": person.login,
            "state": "active",
            "locked": False,
            "avatar_url": None,
            "web_url": f"{self._web}/{person.login}",
        }

    def project(self, *, fork: str | None = None) -> dict[str, Any]:
        """Return the project, or a fork of it."""
        path = fork or self._project.full_name
        return {
            "id": PROJECT_ID if fork is None else FORK_ID,
            "name": path.rpartition("/")[2],
            "path": path.rpartition("/")[2],
            "path_with_namespace": path,
            "default_branch": "main",
            "web_url": self._page(path),
            "visibility": "private" if self._project.visibility is None else self._project.visibility,
            "archived": False,
            "empty_repo": False,
            "merge_trains_enabled": self._project.merging.has_queue,
            "issues_enabled": self._project.has_issues,
            "issues_access_level": "enabled" if self._project.has_issues else "disabled",
            "permissions": {"project_access": {"access_level": 30, "notification_level": 3}, "group_access": None},
        }

    def merge_request(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return a merge request; its changes are not computed yet while it is new."""
        git = self._project.repository
        base, head = self._project.compared(pull)
        landed = self._project.landed(pull)
        is_new = self._project.is_new(pull.number)
        refs = {"base_sha": git.merge_base(base, head), "head_sha": head, "start_sha": base}
        pipeline = self._project.pipelines.get(head)
        return {
            **self._attributes(pull),
            "author": self.person(pull.author),
            "labels": list(pull.labels),
            "sha": head,
            "merge_commit_sha": None if pull.landing in {"squash", "fast-forward"} else landed,
            "merged_at": None if pull.merged_at is None else _moment(pull.merged_at),
            "squash_commit_sha": landed if pull.landing == "squash" else None,
            "merge_status": "checking" if is_new else "can_be_merged",
            "detailed_merge_status": self._merge_status(pull, head, is_new=is_new),
            "blocking_discussions_resolved": not self._project.book.open_threads,
            "prepared_at": None if is_new else _moment(pull.created_at),
            "changes_count": None if is_new else str(len(git.changes(base, head))),
            "diff_refs": None if is_new else refs,
            "head_pipeline": None if is_new or pipeline is None else self.pipeline(pipeline, head, pull.head_branch),
            "has_conflicts": not is_new and self._project.merges(pull) is False,
            "user": {"can_merge": True},
            "created_at": _moment(pull.created_at),
            "updated_at": _moment(pull.changed_at),
            "web_url": f"{self._page(self._project.full_name)}/-/merge_requests/{pull.number}",
        }

    def _merge_status(self, pull: OpenPullRequest, head: str, *, is_new: bool) -> str:
        """Return the first thing that a merge waits for; what comes after it is not told."""
        book, rules = self._project.book, self._project.book.rules
        if not pull.is_open:
            return "not_open"
        merges = None if is_new else self._project.merges(pull)
        if merges is None:
            return "preparing" if is_new else "checking"
        states = {status.state for status in self._project.statuses(head)}
        seen_at = self._project.now() - timedelta(seconds=self._project.merging.pipeline_seconds)
        if any(status.created_at > seen_at for status in self._project.statuses(head)):
            states.add("pending")
        reasons = (
            (rules.checks and "pending" in states, "ci_still_running"),
            (rules.checks and states - {"success"}, "ci_must_pass"),
            (rules.resolved and book.open_threads, "discussions_not_resolved"),
            (pull.is_draft, "draft_status"),
            (len(book.approvals(pull.number)) < rules.approvals, "not_approved"),
            (not merges, "conflict"),
        )
        return next((name for is_so, name in reasons if is_so), "mergeable")

    def approval_note(self, review: Review) -> dict[str, Any]:
        """Return the note that GitLab writes about an approval, or about one that is taken back."""
        moment = review.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        verb = "approved" if review.state == "APPROVED" else "unapproved"
        return {
            "id": 800_000_000 + review.id, "body": f"{verb} this merge request", "system": True, "type": None,
            "author": self.person(review.author), "created_at": moment, "updated_at": moment,
            "noteable_type": "MergeRequest", "noteable_iid": review.number,
        }  # fmt: skip

    def listed_commit(self, sha: str) -> dict[str, Any]:
        """Return a commit of a merge request; GitLab names people by what git says, not by account."""
        person = self._project.book.people_of.get(sha)
        name, email = ("demo", "demo@localhost") if person is None else (person.login, f"{person.login}@example.com")
        sides = {
            f"{side}_{field}": value
            for side in ("author", "committer")
            for field, value in (("name", name), ("email", email))
        }
        return {**self.commit(sha), **sides}  # fmt: skip

    def changed_file(self, change: Change) -> dict[str, Any]:
        """Return one changed file."""
        return {
            "old_path": change.previous_path or change.path,
            "new_path": change.path,
            "a_mode": "100644",
            "b_mode": "100644",
            "diff": "",
            "collapsed": False,
            "too_large": False,
            "new_file": change.status == "added",
            "renamed_file": change.status == "renamed",
            "deleted_file": change.status == "removed",
            "generated_file": False,
        }

    def note(self, comment: WrittenComment) -> dict[str, Any]:
        """Return a note; a comment's own time of change is in thousandths of a second."""
        return {
            "id": comment.id,
            "type": None,
            "body": comment.body,
            "author": self.person(comment.author),
            "created_at": _moment(comment.created_at),
            "updated_at": _moment(comment.updated_at),
            "system": False,
            "noteable_id": comment.number,
            "noteable_type": "MergeRequest",
            "noteable_iid": comment.number,
            "project_id": PROJECT_ID,
            "resolvable": False,
            "confidential": False,
            "internal": False,
        }

    def issue(self, issue: WrittenIssue) -> dict[str, Any]:
        """Return an issue."""
        return {
            "id": 9000 + issue.number,
            "iid": issue.number,
            "project_id": PROJECT_ID,
            "title": issue.title,
            "description": issue.body,
            "state": "opened" if issue.is_open else "closed",
            "author": self.person(issue.author),
            "labels": [],
            "created_at": _moment(issue.created_at),
            "updated_at": _moment(issue.updated_at),
            "closed_at": None if issue.is_open else _moment(issue.updated_at),
            "web_url": f"{self._page(self._project.full_name)}/-/issues/{issue.number}",
        }

    def system_note(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return the note that GitLab itself writes first."""
        note = {"id": 900_000_000 + pull.number, "body": f"requested review from @{pull.author.login}", "system": True}
        moment = _moment(pull.created_at)
        return {
            **note, "type": None, "author": self.person(pull.author), "created_at": moment, "updated_at": moment,
            "noteable_type": "MergeRequest", "noteable_iid": pull.number,
        }  # fmt: skip

    def award(self, reaction: Reaction) -> dict[str, Any]:
        """Return an emoji."""
        return {
            "id": reaction.id,
            "name": reaction.content,
            "user": self.person(reaction.author),
            "created_at": _moment(reaction.created_at),
        }

    def member(self, person: Person) -> dict[str, Any]:
        """Return a member."""
        level = ACCESS_LEVELS[self._project.right(person)]
        return {**self.person(person), "access_level": level, "expires_at": None, "membership_state": "active"}

    def branch(self, name: str, sha: str) -> dict[str, Any]:
        """Return a branch."""
        return {"name": name, "commit": self.commit(sha), "default": name == "main", "protected": name == "main"}

    def commit(self, sha: str, *, pipeline: int | None = None, ref: str | None = None) -> dict[str, Any]:
        """Return a commit, with its newest pipeline."""
        last = None if pipeline is None else self.pipeline(pipeline, sha, ref or "main")
        return {"id": sha, "short_id": sha[:8], "title": "a commit", "last_pipeline": last, "status": None}

    def pipeline(self, number: int, sha: str, ref: str) -> dict[str, Any]:
        """Return a pipeline."""
        return {"id": number, "sha": sha, "ref": ref, "status": "running", "source": "push", "project_id": PROJECT_ID}

    def status(self, status: SetStatus) -> dict[str, Any]:
        """Return a commit's status."""
        return {
            "id": status.id,
            "sha": status.sha,
            "ref": status.ref,
            "status": STATES[status.state],
            "name": status.context,
            "target_url": status.target_url,
            "description": status.description,
            "pipeline_id": status.pipeline,
            "author": self.person(status.creator),
            "created_at": _moment(status.created_at),
            "allow_failure": False,
        }

    def approvals(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return who has approved; without rules no approval is ever left. Older versions do not tell when."""
        book = self._project.book
        given = book.approvals(pull.number)
        left = max(0, book.rules.approvals - len(given))
        times = [{"approved_at": one.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")} if book.tells_times else {} for one in given]
        return {
            "iid": pull.number,
            "approvals_required": book.rules.approvals,
            "approvals_left": left,
            "approved": not left,
            "approved_by": [{"user": self.person(one.author), **at} for one, at in zip(given, times, strict=True)],
        }

    def entry(self, entry: Entry) -> dict[str, Any]:
        """Return one entry of a folder."""
        name = entry.path.rpartition("/")[2]
        return {"id": entry.sha, "name": name, "type": entry.kind, "path": entry.path, "mode": "100644"}

    # Webhooks.

    def hook(self, actor: Person) -> dict[str, Any]:
        """Return what every webhook has."""
        project = self.project()
        return {
            "user": {"id": actor.id, "name": actor.login, "username": actor.login, "avatar_url": None},
            "project": {
                **{name: project[name] for name in ("id", "name", "path_with_namespace", "default_branch")},
                "web_url": f"https://{self._web.partition('//')[2]}/{self._project.full_name}",
            },
            "repository": {"name": project["name"]},
        }

    def hook_attributes(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return a merge request as webhooks have it: with its newest head, and times in an older form."""
        head = self._project.newest_head(pull)
        return {
            **self._attributes(pull),
            "author_id": pull.author.id,
            "merge_status": "checking",
            "detailed_merge_status": "checking",
            "prepared_at": _old_moment(pull.created_at),
            "created_at": _old_moment(pull.created_at),
            "updated_at": _old_moment(pull.changed_at),
            "last_commit": {"id": head, "message": "a commit", "title": "a commit"},
            "labels": [{"title": name} for name in pull.labels],
            "url": f"{self._page(self._project.full_name)}/-/merge_requests/{pull.number}",
        }

    def hook_note(self, comment: WrittenComment) -> dict[str, Any]:
        """Return a note as webhooks have it."""
        return {
            "id": comment.id,
            "note": comment.body,
            "noteable_type": "MergeRequest",
            "noteable_id": comment.number,
            "author_id": comment.author.id,
            "project_id": PROJECT_ID,
            "system": False,
            "internal": False,
            "action": "create",
            "created_at": _old_moment(comment.created_at),
            "updated_at": _old_moment(comment.updated_at),
        }

    def _attributes(self, pull: OpenPullRequest) -> dict[str, Any]:
        return {
            "id": 7000 + pull.number,
            "iid": pull.number,
            "project_id": PROJECT_ID,
            "title": pull.title,
            "description": pull.body,
            "state": "opened" if pull.is_open else "merged" if pull.is_merged else "closed",
            "source_branch": pull.head_branch,
            "target_branch": pull.base_branch,
            "source_project_id": PROJECT_ID if pull.fork is None else FORK_ID,
            "target_project_id": PROJECT_ID,
            "draft": pull.is_draft,
            "work_in_progress": pull.is_draft,
        }

    def _page(self, path: str) -> str:
        return f"{self._web}/{path}"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _old_moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


__all__ = ["ACCESS_LEVELS", "STATES", "Payloads"]
