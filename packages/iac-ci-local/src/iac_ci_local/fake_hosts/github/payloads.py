"""The payloads of the REST API and the webhooks, with every field that GitHub's schemas require.

Sources: GitHub's OpenAPI description of its REST API; GitHub Docs, "Webhook events and payloads".
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.fake_hosts.project import FORK_ID, PROJECT_ID, OpenPullRequest, Person

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_local.fake_hosts.installed_app import InstalledApp, LoggedDelivery
    from iac_ci_local.fake_hosts.project import Project, Reaction, SetStatus, WrittenComment, WrittenIssue
    from iac_ci_local.fake_hosts.repository import Change, Entry
    from iac_ci_local.fake_hosts.reviews import CheckRun, Review

_REPOSITORY_URLS: Final = {
    "archive": "{archive_format}{/ref}", "assignees": "{/user}", "blobs": "{/sha}", "branches": "{/branch}",
    "collaborators": "{/collaborator}", "comments": "{/number}", "commits": "{/sha}",
    "compare": "{base}...{head}", "contents": "{+path}", "contributors": "", "deployments": "", "downloads": "",
    "events": "", "forks": "", "git_commits": "{/sha}", "git_refs": "{/sha}", "git_tags": "{/sha}", "hooks": "",
    "issue_comment": "{/number}", "issue_events": "{/number}", "issues": "{/number}", "keys": "{/key_id}",
    "labels": "{/name}", "languages": "", "merges": "", "milestones": "{/number}", "notifications": "",
    "pulls": "{/number}", "releases": "{/id}", "stargazers": "", "statuses": "{sha}", "subscribers": "",
    "subscription": "", "tags": "", "teams": "", "trees": "{/sha}",
}  # fmt: skip
_PERMISSIONS: Final = {
    "contents": "read", "issues": "write", "pull_requests": "write", "statuses": "write", "metadata": "read",
}  # fmt: skip
_PERSON_URLS: Final = (
    "events", "followers", "following", "gists", "organizations", "received_events", "repos", "starred",
    "subscriptions",
)  # fmt: skip


class Payloads:
    """Builds the payloads of one project.

    ``web`` (``http://127.0.0.1:8123``) is the URL of the pages and the API. A repository has an ``https`` URL
    nevertheless, because the engine identifies it by that.
    """

    def __init__(self, project: Project, web: str) -> None:
        """Build payloads for ``project`` on the host at ``web``."""
        self._project = project
        self._web = web
        self._api = f"{web}/api/v3"
        self._repository_url = f"{self._api}/repos/{project.full_name}"

    def person(self, person: Person) -> dict[str, Any]:
        """Return a user without the profile."""
        url = f"{self._api}/users/{person.login}"
        return {
            "login": person.login,
            "id": person.id,
            "node_id": _node("U", person.id),
            "avatar_url": f"{self._web}/avatars/{person.id}",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self._web}/{person.login}",
            **{f"{name}_url": f"{url}/{name}" for name in _PERSON_URLS},
            "type": "Bot" if person.login.endswith("[bot]") else "User",
            "site_admin": False,
        }

    def profile(self, person: Person) -> dict[str, Any]:
        """Return a user with the public profile."""
        unknown = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio"))
        counted = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
        moments = dict.fromkeys(("created_at", "updated_at"), "2020-01-01T00:00:00Z")
        return {**self.person(person), "user_view_type": "public", **unknown, **counted, **moments}

    def repository(self, *, fork: str | None = None) -> dict[str, Any]:
        """Return the repository, or a fork of it."""
        name = fork or self._project.full_name
        url = f"{self._api}/repos/{name}"
        html_url = f"https://{self._web.partition('//')[2]}/{name}"
        owner, _, short = name.partition("/")
        identity = PROJECT_ID if fork is None else FORK_ID
        zero = ("forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count", "watchers",
                "watchers_count", "network_count", "subscribers_count")  # fmt: skip
        visibility = "public" if self._project.visibility is None else self._project.visibility
        seen = {"private": visibility != "public", "visibility": visibility} if visibility else {}
        no = ("archived", "disabled", "has_projects", "has_wiki", "has_pages", "has_discussions")
        nothing = ("description", "homepage", "language", "license", "mirror_url")
        return {
            "id": identity,
            "node_id": _node("R", identity),
            "name": short,
            "full_name": name,
            "owner": self._owner(owner),
            "html_url": html_url,
            "clone_url": f"{html_url}.git",
            "git_url": html_url.replace("https:", "git:") + ".git",
            "ssh_url": f"git@{html_url.partition('//')[2].replace('/', ':', 1)}.git",
            "svn_url": html_url,
            "url": url,
            "fork": fork is not None,
            "default_branch": "main",
            **seen,
            "has_issues": self._project.has_issues,
            "has_downloads": True,
            "allow_merge_commit": "merge" in self._project.merging.methods,
            "allow_squash_merge": "squash" in self._project.merging.methods,
            "allow_rebase_merge": "rebase" in self._project.merging.methods,
            "allow_forking": True,
            "is_template": False,
            "web_commit_signoff_required": False,
            "topics": [],
            **{f"{key}_url": f"{url}/{key}{rest}" for key, rest in _REPOSITORY_URLS.items()},
            **dict.fromkeys(zero, 0),
            **dict.fromkeys(no, False),
            **dict.fromkeys(nothing),
            **dict.fromkeys(("created_at", "updated_at", "pushed_at"), "2020-01-01T00:00:00Z"),
        }

    def pull_request(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return a pull request in full."""
        git = self._project.repository
        base, head = self._project.compared(pull)
        changes = git.changes(base, head)
        url, issue = f"{self._repository_url}/pulls/{pull.number}", f"{self._repository_url}/issues/{pull.number}"
        page = f"{self._web}/{self._project.full_name}/pull/{pull.number}"
        moment = _moment(pull.created_at)
        # GitHub computes the test merge when it is asked for, some seconds after a change.
        is_mergeable = None if self._project.is_new(pull.number) or not pull.is_open else self._project.merges(pull)
        links = {
            "self": url,
            "html": page,
            "issue": issue,
            "comments": f"{issue}/comments",
            "review_comments": f"{url}/comments",
            "review_comment": f"{self._repository_url}/pulls/comments{{/number}}",
            "commits": f"{url}/commits",
            "statuses": f"{self._repository_url}/statuses/{head}",
        }
        nothing = (
            "active_lock_reason", "assignee", "auto_merge", "closed_at", "merged_at", "merged_by", "milestone",
        )  # fmt: skip
        return {
            "id": pull.number,
            "node_id": _node("PR", pull.number),
            "number": pull.number,
            "state": "open" if pull.is_open else "closed",
            "title": pull.title,
            "body": pull.body,
            "user": self.person(pull.author),
            "url": url,
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "issue_url": issue,
            "comments_url": links["comments"],
            "commits_url": links["commits"],
            "review_comments_url": links["review_comments"],
            "review_comment_url": links["review_comment"],
            "statuses_url": links["statuses"],
            "_links": {name: {"href": link} for name, link in links.items()},
            "head": self._end(pull.head_branch, head, fork=pull.fork),
            "base": self._end(pull.base_branch, base),
            "labels": [self._label(name) for name in pull.labels],
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "author_association": "CONTRIBUTOR",
            "draft": pull.is_draft,
            "locked": False,
            "merged": pull.is_merged,
            "mergeable": is_mergeable,
            "rebaseable": is_mergeable,
            "mergeable_state": self._merge_state(pull, head, is_mergeable=is_mergeable),
            "maintainer_can_modify": False,
            # Until GitHub tells the commit of a merge, an old test merge stays there.
            "merge_commit_sha": self._project.landed(pull) or self._project.test_merge(pull),
            "additions": sum(change.additions for change in changes),
            "deletions": sum(change.deletions for change in changes),
            "changed_files": len(changes),
            "commits": 1,
            "comments": len(self._project.comments(pull.number)),
            "review_comments": 0,
            "created_at": moment,
            "updated_at": _moment(pull.changed_at),
            **dict.fromkeys(nothing),
            "merged_at": None if pull.merged_at is None else _moment(pull.merged_at),
        }

    def _merge_state(self, pull: OpenPullRequest, head: str, *, is_mergeable: bool | None) -> str:
        """Return GitHub's one word for what a merge waits for."""
        project, rules = self._project, self._project.book.rules
        if is_mergeable is None:
            return "unknown"
        if not is_mergeable:
            return "dirty"
        if pull.is_draft:
            return "draft"
        if rules.up_to_date and project.repository.behind(project.repository.head(pull.base_branch), head):
            return "behind"
        passed = {status.context: status.state for status in project.statuses(head)}
        passed |= {run.name: run.conclusion or "pending" for run in project.book.check_runs if run.sha == head}
        decision = self.review_decision(pull.number)
        has_threads = rules.resolved and project.book.open_threads
        if (
            decision not in {None, "APPROVED"}
            or has_threads
            or any(passed.get(one) != "success" for one in rules.checks)
        ):
            return "blocked"
        return "clean" if set(passed.values()) <= {"success"} else "unstable"

    def review_decision(self, number: int) -> str | None:
        """Return GitHub's decision over all reviews; None where no rule asks for one."""
        book = self._project.book
        if not book.rules.approvals:
            return None
        if any(review.state == "CHANGES_REQUESTED" for review in book.newest(number).values()):
            return "CHANGES_REQUESTED"
        return "APPROVED" if len(book.approvals(number)) >= book.rules.approvals else "REVIEW_REQUIRED"

    def merge_causes(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return what the engine's query about a blocked merge asks for.

        A required check that was never reported is not among the contexts (GitHub Docs, "Troubleshooting required
        status checks").
        """
        project, book = self._project, self._project.book
        head = project.seen_head(pull)
        contexts: list[dict[str, Any]] = [
            {
                "context": status.context,
                "state": status.state.upper(),
                "isRequired": status.context in book.rules.checks,
            }
            for status in project.statuses(head)
        ]
        contexts += [
            {
                "name": run.name,
                "status": "COMPLETED" if run.conclusion else "IN_PROGRESS",
                "conclusion": run.conclusion.upper() if run.conclusion else None,
                "isRequired": run.name in book.rules.checks,
            }
            for run in book.check_runs
            if run.sha == head
        ]
        required = {"requiredStatusChecks": [{"context": name} for name in book.rules.checks]}
        rollup = {"contexts": {"totalCount": len(contexts), "nodes": contexts}} if contexts else None
        return {
            "reviewDecision": self.review_decision(pull.number),
            "reviewThreads": {"nodes": [{"isResolved": False}] * book.open_threads},
            "baseRef": {
                "branchProtectionRule": None,
                "rules": {
                    "nodes": [
                        {"parameters": required},
                        {"parameters": {"requiredReviewThreadResolution": book.rules.resolved}},
                        {"parameters": None},
                    ]
                },
            },
            "commits": {"nodes": [{"commit": {"statusCheckRollup": rollup}}]},
        }

    def review(self, review: Review) -> dict[str, Any]:
        """Return a review. Its commit is the newest one, though it was written for an older one."""
        pull = self._project.pull_request(review.number)
        url = f"{self._repository_url}/pulls/{review.number}"
        page = f"{self._web}/{self._project.full_name}/pull/{review.number}#pullrequestreview-{review.id}"
        return {
            "id": review.id,
            "node_id": _node("PRR", review.id),
            "user": self.person(review.author),
            "body": "",
            "state": review.state,
            "html_url": page,
            "pull_request_url": url,
            "author_association": "MEMBER",
            "_links": {"html": {"href": page}, "pull_request": {"href": url}},
            "submitted_at": _moment(review.at),
            "commit_id": self._project.seen_head(pull),
        }

    def commit(self, sha: str) -> dict[str, Any]:
        """Return a commit; GitHub names accounts where it knows the addresses of author and committer."""
        person = self._project.book.people_of.get(sha)
        account = None if person is None else self.person(person)
        url = f"{self._repository_url}/commits/{sha}"
        who = {"name": "demo", "email": "demo@localhost", "date": "1970-01-01T00:00:00Z"}
        tree = {"sha": sha, "url": f"{self._repository_url}/git/trees/{sha}"}
        return {
            "url": url,
            "sha": sha,
            "node_id": f"C_{sha}",
            "html_url": f"{self._web}/{self._project.full_name}/commit/{sha}",
            "comments_url": f"{url}/comments",
            "commit": {"url": url, "author": who, "committer": who, "message": "a commit", "tree": tree,
                       "comment_count": 0},
            "author": account,
            "committer": account,
            "parents": [],
        }  # fmt: skip

    def combined_status(self, sha: str, statuses: Sequence[SetStatus]) -> dict[str, Any]:
        """Return the statuses of a commit, one per context."""
        states = {status.state for status in statuses}
        failed = bool(states & {"failure", "error"})
        return {
            "state": "failure" if failed else "pending" if "pending" in states or not states else "success",
            "statuses": [self.status(status) for status in statuses],
            "sha": sha,
            "total_count": len(statuses),
            "repository": self.repository(),
            "commit_url": f"{self._repository_url}/commits/{sha}",
            "url": f"{self._repository_url}/commits/{sha}/status",
        }

    def check_run(self, run: CheckRun) -> dict[str, Any]:
        """Return a check run."""
        return {
            "id": _number(run.name),
            "head_sha": run.sha,
            "name": run.name,
            "status": "completed" if run.conclusion else "in_progress",
            "conclusion": run.conclusion,
        }

    def listed_pull_request(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return a pull request as lists have it: without what GitHub computes for one pull request alone."""
        alone = {
            "additions", "changed_files", "comments", "commits", "deletions", "maintainer_can_modify", "mergeable",
            "mergeable_state", "merged", "merged_by", "rebaseable", "review_comments",
        }  # fmt: skip
        return {name: value for name, value in self.pull_request(pull).items() if name not in alone}

    def announced(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return a pull request as its webhook has it: with its newest head, and without what GitHub computes later."""
        payload = self.pull_request(pull)
        head = self._project.newest_head(pull)
        payload["head"] = self._end(pull.head_branch, head, fork=pull.fork)
        return payload | {"merge_commit_sha": None, "mergeable": None, "rebaseable": None, "mergeable_state": "unknown"}

    def _label(self, name: str) -> dict[str, Any]:
        identity = _number(name)
        url = f"{self._repository_url}/labels/{name}"
        node = _node("LA", identity)
        text = {"name": name, "color": "ededed", "description": None}
        return {"id": identity, "node_id": node, "url": url, "default": False, **text}

    def issue(self, pull: OpenPullRequest) -> dict[str, Any]:
        """Return a pull request as the issue that its comments belong to."""
        url = f"{self._repository_url}/issues/{pull.number}"
        page = f"{self._web}/{self._project.full_name}/pull/{pull.number}"
        moment = _moment(pull.created_at)
        return {
            "id": pull.number,
            "node_id": _node("I", pull.number),
            "number": pull.number,
            "state": "open" if pull.is_open else "closed",
            "title": pull.title,
            "body": pull.body,
            "user": self.person(pull.author),
            "url": url,
            "html_url": page,
            "repository_url": self._repository_url,
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "reactions": self._reactions(url),
            "pull_request": {
                "url": f"{self._repository_url}/pulls/{pull.number}",
                "html_url": page,
                "diff_url": f"{page}.diff",
                "patch_url": f"{page}.patch",
                "merged_at": None,
            },
            "labels": [],
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "locked": False,
            "active_lock_reason": None,
            "author_association": "CONTRIBUTOR",
            "comments": len(self._project.comments(pull.number)),
            "created_at": moment,
            "updated_at": moment,
            "closed_at": None,
        }

    def any_issue(self, one: OpenPullRequest | WrittenIssue) -> dict[str, Any]:
        """Return an issue, or a pull request as one."""
        if isinstance(one, OpenPullRequest):
            return self.issue(one)
        url = f"{self._repository_url}/issues/{one.number}"
        return {
            "id": one.number,
            "node_id": _node("I", one.number),
            "number": one.number,
            "state": "open" if one.is_open else "closed",
            "title": one.title,
            "body": one.body,
            "user": self.person(one.author),
            "url": url,
            "html_url": f"{self._web}/{self._project.full_name}/issues/{one.number}",
            "repository_url": self._repository_url,
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "reactions": self._reactions(url),
            "labels": [],
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "locked": False,
            "active_lock_reason": None,
            "author_association": "COLLABORATOR",
            "comments": 0,
            "created_at": _moment(one.created_at),
            "updated_at": _moment(one.updated_at),
            "closed_at": None if one.is_open else _moment(one.updated_at),
        }

    def comparison(self, behind: int, ahead: int, merge_base: str) -> dict[str, Any]:
        """Return the numbers of a comparison of two commits and their merge base, without commits and files."""
        status = "diverged" if behind and ahead else "behind" if behind else "ahead" if ahead else "identical"
        numbers = {"status": status, "ahead_by": ahead, "behind_by": behind, "total_commits": ahead, "commits": []}
        return {**numbers, "merge_base_commit": {"sha": merge_base}}

    def changed_file(self, change: Change, head: str) -> dict[str, Any]:
        """Return one file of a pull request's."""
        payload: dict[str, Any] = {
            "sha": change.blob,
            "filename": change.path,
            "status": change.status,
            "additions": change.additions,
            "deletions": change.deletions,
            "changes": change.additions + change.deletions,
            "blob_url": f"{self._web}/{self._project.full_name}/blob/{head}/{change.path}",
            "raw_url": f"{self._web}/{self._project.full_name}/raw/{head}/{change.path}",
            "contents_url": f"{self._repository_url}/contents/{change.path}?ref={head}",
        }
        if change.previous_path is not None:
            payload["previous_filename"] = change.previous_path
        return payload

    def comment(self, comment: WrittenComment) -> dict[str, Any]:
        """Return a comment."""
        page = f"{self._web}/{self._project.full_name}/pull/{comment.number}"
        writes = self._project.right(comment.author) in {"admin", "write"}
        return {
            "id": comment.id,
            "node_id": _node("IC", comment.id),
            "url": f"{self._repository_url}/issues/comments/{comment.id}",
            "html_url": f"{page}#issuecomment-{comment.id}",
            "issue_url": f"{self._repository_url}/issues/{comment.number}",
            "user": self.person(comment.author),
            "body": comment.body,
            "author_association": "COLLABORATOR" if writes else "NONE",
            "created_at": _moment(comment.created_at),
            "updated_at": _moment(comment.updated_at),
            "performed_via_github_app": None,
            "reactions": self._reactions(f"{self._repository_url}/issues/comments/{comment.id}"),
        }

    def comment_of(self, node: object) -> int | None:
        """Return the id of the comment with a node id, None if there is none."""
        ids = (comment.id for number in self._project.pull_requests for comment in self._project.comments(number))
        return next((identity for identity in ids if _node("IC", identity) == node), None)

    def status(self, status: SetStatus) -> dict[str, Any]:
        """Return a commit's status."""
        return {
            "id": status.id,
            "node_id": _node("SC", status.id),
            "url": f"{self._repository_url}/statuses/{status.sha}",
            "avatar_url": None,
            "state": status.state,
            "context": status.context,
            "description": status.description,
            "target_url": status.target_url,
            "creator": self.person(status.creator),
            "created_at": _moment(status.created_at),
            "updated_at": _moment(status.created_at),
        }

    def permission(self, person: Person) -> dict[str, Any]:
        """Return a person's permission."""
        right = self._project.right(person)
        return {"permission": right, "role_name": right, "user": {**self.person(person), "role_name": right}}

    def app(self, app: InstalledApp) -> dict[str, Any]:
        """Return the GitHub app."""
        return {
            "id": app.id,
            "slug": app.slug,
            "node_id": _node("A", app.id),
            "owner": self._owner(self._project.owner),
            "name": app.slug,
            "description": None,
            "external_url": self._web,
            "html_url": f"{self._web}/apps/{app.slug}",
            "created_at": "2020-01-01T00:00:00Z",
            "updated_at": "2020-01-01T00:00:00Z",
            "permissions": _PERMISSIONS,
            "events": ["issue_comment", "pull_request"],
        }

    def installation(self, app: InstalledApp) -> dict[str, Any]:
        """Return the app's installation on the project."""
        owner = self._owner(self._project.owner)
        return {
            "id": app.installation_id,
            "account": owner,
            "app_id": app.id,
            "app_slug": app.slug,
            "target_id": owner["id"],
            "target_type": "User",
            "repository_selection": "selected",
            "access_tokens_url": f"{self._api}/app/installations/{app.installation_id}/access_tokens",
            "repositories_url": f"{self._api}/installation/repositories",
            "html_url": f"{self._web}/settings/installations/{app.installation_id}",
            "permissions": _PERMISSIONS,
            "events": ["issue_comment", "pull_request"],
            "single_file_name": None,
            "suspended_at": None,
            "suspended_by": None,
            "created_at": "2020-01-01T00:00:00Z",
            "updated_at": "2020-01-01T00:00:00Z",
        }

    def delivery(self, one: LoggedDelivery) -> dict[str, Any]:
        """Return an attempt to deliver a webhook, as the log lists it: without its payload."""
        return {
            "id": one.id,
            "guid": one.guid,
            "delivered_at": _moment(one.delivered_at),
            "redelivery": False,
            "duration": 0.1,
            "status": "OK" if 200 <= one.status < 300 else "timed out" if one.status == 0 else "Invalid HTTP Response",
            "status_code": one.status,
            "event": one.headers.get("X-GitHub-Event", ""),
            "action": one.payload.get("action"),
            "installation_id": self._project.app.installation_id if self._project.app is not None else None,
            "repository_id": PROJECT_ID,
            "throttled_at": None,
        }

    def whole_delivery(self, one: LoggedDelivery) -> dict[str, Any]:
        """Return an attempt with what was sent."""
        sent = {"headers": dict(one.headers), "payload": dict(one.payload)}
        return {**self.delivery(one), "url": "", "request": sent, "response": {"headers": {}, "payload": ""}}

    def installation_token(self, token: str, ends: datetime) -> dict[str, Any]:
        """Return a token that was minted."""
        return {
            "token": token,
            "expires_at": _moment(ends),
            "permissions": _PERMISSIONS,
            "repository_selection": "selected",
            "repositories": [self.repository()],
        }

    def file(self, path: str, ref: str, blob: str, content: bytes) -> dict[str, Any]:
        """Return a file with its bytes."""
        return {
            **self.entry(path, ref, kind="file", sha=blob, size=len(content)),
            "encoding": "base64",
            "content": base64.encodebytes(content).decode(),
        }

    def branch(self, branch: str, sha: str) -> dict[str, Any]:
        """Return a branch as git's own reference."""
        return {
            "ref": f"refs/heads/{branch}",
            "node_id": f"REF_{branch}",
            "url": f"{self._repository_url}/git/refs/heads/{branch}",
            "object": {"type": "commit", "sha": sha, "url": f"{self._repository_url}/git/commits/{sha}"},
        }

    def listed(self, entry: Entry, ref: str) -> dict[str, Any]:
        """Return one entry of a folder."""
        kind = {"blob": "file", "tree": "dir"}.get(entry.kind, "submodule")
        return self.entry(entry.path, ref, kind=kind, sha=entry.sha, size=entry.size)

    def entry(self, path: str, ref: str, *, kind: str, sha: str, size: int) -> dict[str, Any]:
        """Return what files and folders have in common."""
        url = f"{self._repository_url}/contents/{path}?ref={ref}"
        page = f"{self._web}/{self._project.full_name}/blob/{ref}/{path}"
        git = f"{self._repository_url}/git/blobs/{sha}"
        return {
            "type": kind,
            "name": path.rpartition("/")[2],
            "path": path,
            "sha": sha,
            "size": size,
            "url": url,
            "html_url": page,
            "git_url": git,
            "download_url": f"{self._web}/{self._project.full_name}/raw/{ref}/{path}" if kind == "file" else None,
            "_links": {"self": url, "git": git, "html": page},
        }

    def reaction(self, reaction: Reaction) -> dict[str, Any]:
        """Return a reaction."""
        return {
            "id": reaction.id,
            "node_id": _node("REA", reaction.id),
            "user": self.person(reaction.author),
            "content": reaction.content,
            "created_at": _moment(reaction.created_at),
        }

    @staticmethod
    def _reactions(url: str) -> dict[str, Any]:
        kinds = ("+1", "-1", "laugh", "confused", "heart", "hooray", "eyes", "rocket")
        return {"url": f"{url}/reactions", "total_count": 0, **dict.fromkeys(kinds, 0)}

    def _end(self, branch: str, sha: str, *, fork: str | None = None) -> dict[str, Any]:
        owner = (fork or self._project.full_name).partition("/")[0]
        return {
            "label": f"{owner}:{branch}",
            "ref": branch,
            "sha": sha,
            "user": self._owner(owner),
            "repo": self.repository(fork=fork),
        }

    def _owner(self, login: str) -> dict[str, Any]:
        return self.person(self._project.person(login) or Person(_number(login), login))


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _node(kind: str, identity: int) -> str:
    return f"{kind}_{identity:08x}"


def _number(login: str) -> int:
    return 100_000 + int.from_bytes(hashlib.sha256(login.lower().encode()).digest()[:2])


__all__ = ["Payloads"]
