"""GitLab's REST API below ``/api/v4``: the operations that the engine's provider uses, as GitLab answers them."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlencode

from iac_ci_common.errors import NotFound
from iac_ci_local.fake_hosts.gitlab.issues import IssueRoutes
from iac_ci_local.fake_hosts.gitlab.merges import MergeRoutes
from iac_ci_local.fake_hosts.gitlab.payloads import ACCESS_LEVELS, STATES, Payloads
from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.project import FORK_ID, PROJECT_ID
from iac_ci_local.fake_hosts.routes import Routes, bearer, json_object, page_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import Person, Project, SetStatus
    from iac_ci_local.fake_hosts.reviews import Team

ROOT: Final = "/api/v4"

_Item = TypeVar("_Item")

_MOST_CHARACTERS: Final = 1_000_000
_MOST_STATUS_CHARACTERS: Final = 255
_MOST_FILES: Final = 1000
_OPEN: Final = frozenset({"pending", "running"})
_CLOSES: Final = re.compile(r"^/close\b.*$", re.MULTILINE)
_BY_WORD: Final = {word: state for state, word in STATES.items()} | {"running": "pending"}


class Api:
    """The API of one project."""

    def __init__(self, project: Project, web: str) -> None:
        """Serve the project; ``web`` is the host's URL."""
        self._project = project
        self._web = web
        self._payloads = Payloads(project, web)
        own = f"/projects/(?:{re.escape(project.full_name)}|{PROJECT_ID})"
        request = own + r"/merge_requests/(\d+)"
        self._issues = IssueRoutes(project, self._payloads.issue, self._page, refusal)
        self._routes = Routes(
            (
                *self._issues.routes(own),
                *MergeRoutes(project, self._payloads, refusal).routes(request),
                ("GET", "/user", self._me),
                ("GET", "/users", self._users),
                ("GET", own, self._this_project),
                ("GET", f"/projects/{FORK_ID}", self._fork),
                ("GET", own + "/merge_requests", self._merge_requests),
                ("GET", request, self._merge_request),
                ("GET", request + "/merge_ref", self._merge_ref),
                ("GET", own + r"/repository/commits/([0-9a-f]{40})/merge_requests", self._merge_requests_of),
                ("GET", request + "/diffs", self._diffs),
                ("GET", request + "/approvals", self._approvals),
                ("GET", request + "/commits", self._commits),
                ("GET", request + "/notes", self._list),
                ("POST", request + "/notes", self._write_note),
                ("GET", request + r"/notes/(\d+)", self._note),
                ("PUT", request + r"/notes/(\d+)", self._edit_note),
                ("POST", request + "/award_emoji", self._award),
                ("POST", request + r"/notes/(\d+)/award_emoji", self._award_note),
                ("GET", own + "/repository/files/(.+)/raw", self._file),
                ("GET", own + "/repository/tree", self._tree),
                ("GET", own + "/repository/branches/(.+)", self._branch),
                ("GET", own + "/repository/commits/([0-9a-f]{40})", self._commit),
                ("GET", own + "/repository/commits/([0-9a-f]{40})/statuses", self._statuses),
                ("GET", own + "/repository/merge_base", self._merge_base),
                ("GET", own + r"/members/(?:all/)?(\d+)", self._member),
                ("GET", r"/groups/(.+)/members/all/(\d+)", self._group_member),
                ("GET", r"/groups/(.+)", self._group),
                ("POST", own + "/statuses/([0-9a-f]{40})", self._set_status),
            )
        )

    def answer(self, request: Request) -> Answer:
        """Return the answer; 401 without a known token and 404 for an unknown resource, as on GitLab."""
        person = self._project.speaker(bearer(request) or request.headers.get("private-token", ""))
        if person is None:
            return refusal(401, "401 Unauthorized")
        found = self._routes.answer(request, person, request.path.removeprefix(ROOT))
        return found or refusal(404, "404 Not found")

    def _me(self, request: Request, person: Person) -> Answer:
        return Answer.of_json(200, self._payloads.person(person) | {"bot": person.login.endswith("[bot]")})

    def _users(self, request: Request, person: Person) -> Answer:
        found = self._project.person(request.query.get("username", ""))
        return self._page(request, [found] if found is not None else [], self._payloads.person)

    def _this_project(self, request: Request, person: Person) -> Answer:
        return Answer.of_json(200, self._payloads.project())

    def _fork(self, request: Request, person: Person) -> Answer:
        forks = [pull.fork for pull in self._project.pull_requests.values() if pull.fork is not None]
        if not forks:
            raise NotFound("there is no fork")
        return Answer.of_json(200, self._payloads.project(fork=forks[0]))

    def _merge_requests(self, request: Request, person: Person) -> Answer:
        """List the open merge requests by the time of their change, the only list that the engine asks for."""
        wanted = {"state": "opened", "order_by": "updated_at", "sort": "desc"}
        if any(request.query.get(name) != value for name, value in wanted.items()):
            return refusal(400, "this code host lists open merge requests by their last change only")
        return self._page(request, self._project.listed(), self._payloads.merge_request)

    def _merge_requests_of(self, request: Request, person: Person, sha: str) -> Answer:
        self._project.repository.commit_of(sha)
        return self._page(request, self._project.pulls_of(sha), self._payloads.merge_request)

    def _merge_request(self, request: Request, person: Person, number: str) -> Answer:
        pull = self._project.seen(int(number))
        payload = self._payloads.merge_request(pull)
        if request.query.get("include_diverged_commits_count") == "true":
            git = self._project.repository
            payload["diverged_commits_count"] = git.behind(git.head(pull.base_branch), self._project.seen_head(pull))
        return Answer.of_json(200, payload)

    def _merge_ref(self, request: Request, person: Person, number: str) -> Answer:
        """Make the merge of the target's and the source's present commits, and return it."""
        pull, git = self._project.seen(int(number)), self._project.repository
        commits = git.head(pull.base_branch), self._project.seen_head(pull)
        made = git.merge(*commits, f"refs/merge-requests/{number}/merge") if pull.is_open else None
        if made is None:
            return refusal(400, "Merge request is not mergeable")
        return Answer.of_json(200, {"commit_id": made})

    def _diffs(self, request: Request, person: Person, number: str) -> Answer:
        pull, git = self._project.seen(int(number)), self._project.repository
        if self._project.is_new(pull.number):
            return self._page(request, [], self._payloads.changed_file)
        changes = git.changes(*self._project.compared(pull))[:_MOST_FILES]
        return self._page(request, changes, self._payloads.changed_file)

    def _approvals(self, request: Request, person: Person, number: str) -> Answer:
        return Answer.of_json(200, self._payloads.approvals(self._project.seen(int(number))))

    def _list(self, request: Request, person: Person, number: str) -> Answer:
        pull = self._project.pull_request(int(number))
        written = [*map(self._payloads.note, self._project.comments(pull.number))]
        written += [
            self._payloads.approval_note(one) for one in self._project.book.reviews if one.number == pull.number
        ]
        listed = [self._payloads.system_note(pull), *sorted(written, key=lambda note: str(note["created_at"]))]
        if request.query.get("sort", "desc") == "desc":
            listed.reverse()
        return self._page(request, listed, lambda one: one)

    def _write_note(self, request: Request, person: Person, number: str) -> Answer:
        self._project.pull_request(int(number))
        body, problem = self._body(request, int(number))
        if problem is not None:
            return problem
        return Answer.of_json(201, self._payloads.note(self._project.write_comment(int(number), person, body)))

    def _note(self, request: Request, person: Person, number: str, identity: str) -> Answer:
        note = self._project.seen_comment(int(identity))
        if note.number != int(number):
            raise NotFound("the note belongs to another merge request")
        return Answer.of_json(200, self._payloads.note(note))

    def _edit_note(self, request: Request, person: Person, number: str, identity: str) -> Answer:
        if self._project.comment(int(identity)).author.id != person.id:
            return refusal(403, "403 Forbidden")
        body, problem = self._body(request, int(number))
        if problem is not None:
            return problem
        return Answer.of_json(200, self._payloads.note(self._project.edit_comment(int(identity), body)))

    def _body(self, request: Request, number: int) -> tuple[str, Answer | None]:
        """Return a note's text, and do what its quick actions say: a line that begins with a slash may be one."""
        body = (json_object(request) or {}).get("body")
        if not isinstance(body, str) or not body.strip():
            return "", refusal(400, '400 Bad request - Note {:note=>["can\'t be blank"]}')
        if len(body) > _MOST_CHARACTERS:
            return "", refusal(400, '400 Bad request - Note {:note=>["is too long (maximum is 1000000 characters)"]}')
        if _CLOSES.search(body):
            self._project.change(number, is_open=False)
        return _CLOSES.sub("", body), None

    def _award(self, request: Request, person: Person, number: str) -> Answer:
        self._project.pull_request(int(number))
        return self._awarded(request, person, f"issues/{number}")

    def _award_note(self, request: Request, person: Person, number: str, identity: str) -> Answer:
        """Award an emoji to a note, which moves the time of its update (GitLab's ``AwardEmoji#expire_cache``)."""
        self._project.comment(int(identity))
        answer = self._awarded(request, person, f"comments/{identity}")
        if answer.status < 300:
            self._project.touch_comment(int(identity))
        return answer

    def _awarded(self, request: Request, person: Person, subject: str) -> Answer:
        name = (json_object(request) or {}).get("name", "")
        reaction, is_new = self._project.react(subject, person, name)
        if not is_new:
            return refusal(404, "404 Award Emoji Name has already been taken Not Found")
        return Answer.of_json(201, self._payloads.award(reaction))

    def _commits(self, request: Request, person: Person, number: str) -> Answer:
        commits = self._project.commits(self._project.seen(int(number)))[::-1]
        return self._page(request, commits, self._payloads.listed_commit)

    def _merge_base(self, request: Request, person: Person) -> Answer:
        names = parse_qs(request.target.partition("?")[2]).get("refs[]", [])
        if len(names) != 2:
            return refusal(400, "refs is missing")
        found = self._project.repository.merge_base(*map(self._project.repository.commit_of, names))
        return Answer.of_json(200, self._payloads.commit(found))

    def _group(self, request: Request, person: Person, name: str) -> Answer:
        self._visible_group(name)
        return Answer.of_json(200, {"id": 1, "full_path": unquote(name)})

    def _group_member(self, request: Request, person: Person, name: str, identity: str) -> Answer:
        group = self._visible_group(name)
        known = next((one for one in self._project.people() if one.id == int(identity)), None)
        if known is None or known.login not in group.members | group.invited:
            raise NotFound("there is no such member")
        state = "active" if known.login in group.members else "awaiting"
        return Answer.of_json(200, {**self._payloads.person(known), "access_level": 30, "state": state})

    def _visible_group(self, name: str) -> Team:
        group = self._project.book.teams.get(unquote(name))
        if group is None or not group.is_visible:
            raise NotFound("there is no such group")
        return group

    def _file(self, request: Request, person: Person, path: str) -> Answer:
        content, _ = self._project.repository.file(path, request.query.get("ref", "main"))
        return Answer(200, content, {"Content-Type": "text/plain"})

    def _tree(self, request: Request, person: Person) -> Answer:
        entries = self._project.repository.entries(request.query.get("path", ""), request.query.get("ref", "main"))
        if not entries:
            return refusal(404, "404 invalid revision or path Not Found")
        return self._page(request, entries, self._payloads.entry)

    def _branch(self, request: Request, person: Person, name: str) -> Answer:
        return Answer.of_json(200, self._payloads.branch(name, self._project.repository.head(name)))

    def _commit(self, request: Request, person: Person, sha: str) -> Answer:
        self._project.repository.commit_of(sha)
        is_new = any(
            self._project.is_new(pull.number) and self._project.repository.head(pull.head_branch) == sha
            for pull in self._project.pull_requests.values()
        )
        pipeline = None if is_new else self._project.pipelines.get(sha)
        refs = self._project.repository.branches_with(sha)
        return Answer.of_json(200, self._payloads.commit(sha, pipeline=pipeline, ref=refs[0] if refs else None))

    def _statuses(self, request: Request, person: Person, sha: str) -> Answer:
        wanted = {name: request.query[name] for name in ("ref", "name") if name in request.query}
        rows = [
            row
            for row in self._project.rows(sha)
            if wanted.get("name", row.context) == row.context and wanted.get("ref", row.ref) == row.ref
        ]
        return self._page(request, rows, self._payloads.status)

    def _member(self, request: Request, person: Person, identity: str) -> Answer:
        member = next((known for known in self._project.people() if known.id == int(identity)), None)
        if member is None or self._project.rights.get(member.login) not in ACCESS_LEVELS:
            raise NotFound("there is no such member")
        return Answer.of_json(200, self._payloads.member(member))

    def _set_status(self, request: Request, person: Person, sha: str) -> Answer:
        """Set a status, which is a job of a pipeline; only an open one of the same name, ref and user is changed."""
        payload = json_object(request) or {}
        if self._project.right(person) not in {"admin", "write"}:
            return refusal(403, "403 Forbidden")
        self._project.repository.commit_of(sha)
        word, name = payload.get("state"), payload.get("name") or payload.get("context") or "default"
        if word not in _BY_WORD:
            return refusal(400, "400 Bad request - state does not have a valid value")
        if len(payload.get("description") or "") > _MOST_STATUS_CHARACTERS:
            return refusal(400, "400 Bad request - description is too long (maximum is 255 characters)")
        if len(name) > _MOST_STATUS_CHARACTERS:
            return refusal(400, "400 Bad request - name is too long (maximum is 255 characters)")
        branches = self._project.repository.branches_with(sha)
        ref = payload.get("ref") or (branches[0] if branches else None)
        if ref is None:
            return refusal(404, "404 References for commit Not Found")
        pipeline = payload.get("pipeline_id")
        if pipeline is None:
            pipeline = self._project.pipelines.setdefault(sha, 5000 + len(self._project.pipelines))
        elif self._project.pipelines.get(sha) != int(pipeline) or ref not in branches:
            return refusal(404, "404 Pipeline Not Found")
        known = self._open_row(sha, person, name, ref)
        if known is not None and word in _OPEN:
            event = "enqueue" if word == "pending" else "run"
            return refusal(400, f"Cannot transition status via :{event} from :{STATES[known.state]}")
        status = self._project.set_status(
            sha,
            person,
            state=_BY_WORD[word],
            context=name,
            description=payload.get("description"),
            target_url=payload.get("target_url"),
            ref=ref,
            pipeline=int(pipeline),
            replaces=known,
        )
        return Answer.of_json(201, self._payloads.status(status))

    def _open_row(self, sha: str, person: Person, name: str, ref: str) -> SetStatus | None:
        rows = [row for row in self._project.rows(sha) if (row.context, row.ref) == (name, ref)]
        return next((row for row in reversed(rows) if row.creator == person and row.state == "pending"), None)

    def _page(self, request: Request, items: Sequence[_Item], write: Callable[[_Item], Any]) -> Answer:
        page = page_of(request, items, size="per_page", usual=20, most=100)
        to = {"prev": page.number - 1, "next": page.number + 1, "first": 1, "last": page.last}
        if page.number >= page.last:
            del to["next"]
        if page.number == 1:
            del to["prev"]
        url = f"{self._web}{request.target.partition('?')[0]}"
        links = [f'<{url}?{urlencode({**request.query, "page": number})}>; rel="{name}"' for name, number in to.items()]
        headers = {
            "Link": ", ".join(links),
            "X-Page": str(page.number),
            "X-Per-Page": str(page.size),
            "X-Next-Page": str(to.get("next", "")),
            "X-Prev-Page": str(to.get("prev", "")),
            "X-Total": str(page.total),
            "X-Total-Pages": str(page.last),
        }
        return Answer.of_json(200, list(map(write, page.items)), headers)


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error as GitLab writes it."""
    return Answer.of_json(status, {"message": message}, headers)


__all__ = ["ROOT", "Api", "refusal"]
