"""Bitbucket's REST API below ``/2.0``: the operations that the engine's Bitbucket provider uses, as it answers them."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode

from iac_ci_common.errors import NotFound
from iac_ci_local.fake_hosts.bitbucket.issues import IssueRoutes
from iac_ci_local.fake_hosts.bitbucket.payloads import STATES, Payloads, uuid_of
from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.routes import Routes, basic_password, bearer, json_object, page_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import OpenPullRequest, Person, Project, SetStatus
    from iac_ci_local.fake_hosts.repository import Change

ROOT: Final = "/2.0"

_Item = TypeVar("_Item")

_MOST_CHARACTERS: Final = 32_768
_MOST_KEY_CHARACTERS: Final = 40
_MOST_NAME_CHARACTERS: Final = 255
_BY_WORD: Final = {word: state for state, word in STATES.items()}
_USER: Final = re.compile(r'user\.uuid="(\{[0-9a-f-]{36}\})"')
_INVALID: Final = "Token is invalid, expired, or not supported for this endpoint."
_REFUSED: Final = "Your credentials lack one or more required privilege scopes."


class Api:
    """The API of one repository."""

    def __init__(self, project: Project, web: str) -> None:
        """Serve the project; ``web`` is the host's URL."""
        self._project = project
        self._web = web
        self._payloads = Payloads(project, web)
        own = f"/repositories/{re.escape(project.full_name)}"
        pull = own + r"/pullrequests/(\d+)"
        permissions = f"/workspaces/{re.escape(project.owner)}/permissions/repositories/{re.escape(project.name)}"
        self._issues = IssueRoutes(project, self._payloads.issue, self._page, refusal)
        self._routes = Routes(
            (
                *self._issues.routes(own),
                ("GET", "/user", self._me),
                ("GET", permissions, self._permissions),
                ("GET", own + r"/permissions-config/users/(\{.+\})", self._own_permission),
                ("GET", own, self._repository),
                ("GET", own + "/pullrequests", self._pulls),
                ("GET", pull, self._pull),
                ("GET", pull + "/diffstat", self._diffstat_of_pull),
                ("GET", pull + "/commits", self._commits_of_pull),
                ("GET", own + r"/merge-base/([0-9a-f]{40})\.\.([0-9a-f]{40})", self._merge_base),
                ("GET", own + r"/commit/([0-9a-f]{7,40})/statuses", self._statuses),
                ("GET", own + r"/commit/([0-9a-f]{7,40})/pullrequests", self._pulls_of),
                ("GET", own + r"/diffstat/(.+):([0-9a-f]+)\r([0-9a-f]+)", self._diffstat),
                ("GET", pull + "/comments", self._comments),
                ("POST", pull + "/comments", self._write_comment),
                ("GET", pull + r"/comments/(\d+)", self._comment),
                ("PUT", pull + r"/comments/(\d+)", self._edit_comment),
                ("GET", r"/repositories/([^/]+/[^/]+)/commit/([0-9a-f]{7,40})", self._commit),
                ("GET", own + "/commits", self._commits),
                ("GET", own + "/src/([0-9a-f]{7,40})/(.+)", self._source),
                ("GET", own + "/refs/branches/(.+)", self._branch),
                ("POST", own + "/commit/([0-9a-f]{7,40})/statuses/build", self._set_status),
            )
        )

    def answer(self, request: Request) -> Answer:
        """Return the answer; 401 without a known token and 404 for an unknown resource, as on Bitbucket."""
        person = self._project.speaker(bearer(request) or basic_password(request))
        if person is None:
            return refusal(401, _INVALID)
        found = self._routes.answer(request, person, request.path.removeprefix(ROOT))
        if found is not None and request.path.endswith("/pullrequests"):
            # Bitbucket documents no conditional requests for lists.
            found = replace(found, headers={name: text for name, text in found.headers.items() if name != "ETag"})
        return found or refusal(404, "Resource not found")

    def _me(self, request: Request, person: Person) -> Answer:
        if not self._project.may_ask_about_people:
            return refusal(401, _INVALID)
        return Answer.of_json(200, self._payloads.person(person))

    def _permissions(self, request: Request, person: Person) -> Answer:
        """Return the permissions of people, which only administrators of the workspace may ask for."""
        if not self._project.may_ask_about_people:
            return refusal(403, _REFUSED)
        match = _USER.fullmatch(request.query.get("q", ""))
        found = [self._with_uuid(match[1])] if match is not None else []
        known = [one for one in found if one is not None and self._project.right(one) != "none"]
        return self._page(request, known, self._payloads.permission, most=100)

    def _own_permission(self, request: Request, person: Person, uuid: str) -> Answer:
        """Return a person's own permission, which only tokens with the scope of administration may ask for."""
        if not self._project.may_ask_about_people:
            return refusal(403, _REFUSED)
        known = self._with_uuid(uuid)
        if known is None or known.login not in self._project.rights:
            raise NotFound("there is no such permission")
        return Answer.of_json(200, self._payloads.permission(known))

    def _repository(self, request: Request, person: Person) -> Answer:
        return Answer.of_json(200, self._payloads.repository())

    def _pulls(self, request: Request, person: Person) -> Answer:
        """List the open pull requests by the time of their change, the only list that the engine asks for."""
        if (request.query.get("state"), request.query.get("sort")) != ("OPEN", "-updated_on"):
            return refusal(400, "this code host lists open pull requests by their last change only")

        def written(pull: OpenPullRequest) -> dict[str, Any]:
            return self._payloads.pull_request(pull, self._project.seen_head(pull))

        return self._page(request, self._project.listed(), written, most=50)

    def _pulls_of(self, request: Request, person: Person, sha: str) -> Answer:
        """List pull requests by their numbers alone; 202 without a list until they are known."""
        if not self._project.links_commits:
            return refusal(404, "Repository is not linked to its pull requests")
        found = self._project.pulls_of(self._project.repository.whole_hash(sha))
        if not found:
            return Answer.of_json(202, {"type": "error", "error": {"message": "The links are being made"}})
        return self._page(request, found, lambda pull: {"type": "pullrequest", "id": pull.number}, most=50)

    def _pull(self, request: Request, person: Person, number: str) -> Answer:
        pull = self._project.seen(int(number))
        return Answer.of_json(200, self._payloads.pull_request(pull, self._project.seen_head(pull)))

    def _diffstat_of_pull(self, request: Request, person: Person, number: str) -> Answer:
        """Redirect to the comparison of two commits, with a carriage return between them."""
        pull = self._project.seen(int(number))
        name = self._project.full_name
        base, head = self._project.compared(pull)
        spec = quote(f"{name}:{head}\r{base}", ":")
        query = urlencode({**request.query, "from_pullrequest_id": number, "topic": "true"})
        return Answer(302, b"", {"Location": f"{self._web}{ROOT}/repositories/{name}/diffstat/{spec}?{query}"})

    def _diffstat(self, request: Request, person: Person, _name: str, head: str, base: str) -> Answer:
        pull = self._project.pull_request(int(request.query["from_pullrequest_id"]))
        if self._project.is_new(pull.number):
            return self._page(request, [], self._payloads.changed_file, most=500)
        changes = self._project.repository.changes(base, head)
        conflicts = self._project.repository.conflicts(base, head) if pull.is_open else frozenset()

        def written(change: Change) -> dict[str, Any]:
            return self._payloads.changed_file(change, conflicts=change.path in conflicts)

        return self._page(request, changes, written, most=500)

    def _commits_of_pull(self, request: Request, person: Person, number: str) -> Answer:
        commits = self._project.commits(self._project.seen(int(number)))[::-1]
        return self._page(request, commits, self._payloads.listed_commit, most=100)

    def _merge_base(self, request: Request, person: Person, base: str, head: str) -> Answer:
        """Return the common ancestor; a fork's commit is not known here."""
        if any(pull.fork and self._is_head(pull, head) for pull in self._project.pull_requests.values()):
            raise NotFound("the fork has the commit")
        git = self._project.repository
        return Answer.of_json(200, self._payloads.commit(git.merge_base(git.commit_of(base), git.commit_of(head))))

    def _statuses(self, request: Request, person: Person, sha: str) -> Answer:
        statuses = self._project.statuses(self._project.repository.whole_hash(sha))

        def written(status: SetStatus) -> dict[str, Any]:
            return self._payloads.status(status, status.context[:_MOST_KEY_CHARACTERS], status.target_url or "")

        return self._page(request, statuses, written, most=100)

    def _comments(self, request: Request, person: Person, number: str) -> Answer:
        self._project.pull_request(int(number))
        return self._page(request, self._project.comments(int(number)), self._payloads.comment, most=100)

    def _write_comment(self, request: Request, person: Person, number: str) -> Answer:
        self._project.pull_request(int(number))
        body, problem = _body(request)
        if problem is not None:
            return problem
        return Answer.of_json(201, self._payloads.comment(self._project.write_comment(int(number), person, body)))

    def _comment(self, request: Request, person: Person, number: str, identity: str) -> Answer:
        comment = self._project.seen_comment(int(identity))
        if comment.number != int(number):
            raise NotFound("the comment belongs to another pull request")
        return Answer.of_json(200, self._payloads.comment(comment))

    def _edit_comment(self, request: Request, person: Person, number: str, identity: str) -> Answer:
        if self._project.comment(int(identity)).author.id != person.id:
            return refusal(403, "You are not the author of this comment.")
        body, problem = _body(request)
        if problem is not None:
            return problem
        return Answer.of_json(200, self._payloads.comment(self._project.edit_comment(int(identity), body)))

    def _commit(self, request: Request, person: Person, name: str, sha: str) -> Answer:
        """Return a commit; that of a fork's pull request is in the fork only."""
        whole = self._project.repository.whole_hash(sha)
        own, pulls = self._project.full_name.lower(), self._project.pull_requests.values()
        homes = {(pull.fork or own).lower() for pull in pulls if self._is_head(pull, whole)} or {own}
        if name.lower() not in homes:
            raise NotFound("another repository has the commit")
        return Answer.of_json(200, self._payloads.commit(whole))

    def _commits(self, request: Request, person: Person) -> Answer:
        """List the commits that ``include`` has and ``exclude`` has not; a fork's commit is not known here."""
        git = self._project.repository
        include, exclude = (git.whole_hash(request.query.get(name, "")) for name in ("include", "exclude"))
        if any(pull.fork and self._is_head(pull, exclude) for pull in self._project.pull_requests.values()):
            raise NotFound("the fork has the commit")
        return self._page(request, git.missing(include, exclude), self._payloads.commit, most=100)

    def _is_head(self, pull: OpenPullRequest, sha: str) -> bool:
        return sha in {self._project.newest_head(pull), self._project.seen_head(pull)}

    def _source(self, request: Request, person: Person, sha: str, path: str) -> Answer:
        git = self._project.repository
        try:
            content, _ = git.file(path, git.whole_hash(sha))
        except NotFound:
            if not (entries := git.entries(path, git.whole_hash(sha))):
                raise
            folder = {"type": "commit_directory", "path": path}
            if request.query.get("format") == "meta":
                return Answer.of_json(200, folder)
            return Answer.of_json(200, {"values": [{"path": entry.path} for entry in entries], "pagelen": 10})
        if request.query.get("format") == "meta":
            return Answer.of_json(200, {"type": "commit_file", "path": path, "size": len(content)})
        return Answer(200, content, {"Content-Type": "text/plain"})

    def _branch(self, request: Request, person: Person, name: str) -> Answer:
        return Answer.of_json(200, self._payloads.branch(name, self._project.repository.head(name)))

    def _set_status(self, request: Request, person: Person, sha: str) -> Answer:
        payload = json_object(request) or {}
        whole = self._project.repository.whole_hash(sha)
        key, url = payload.get("key"), payload.get("url")
        if payload.get("state") not in _BY_WORD or not key or len(key) > _MOST_KEY_CHARACTERS or not url:
            return refusal(400, "key: required, at most 40 characters; url: required; state: a known one")
        if len(payload.get("name") or "") > _MOST_NAME_CHARACTERS:
            return refusal(400, "name: Ensure this value has at most 255 characters")
        status = self._project.set_status(
            whole,
            person,
            state=_BY_WORD[payload["state"]],
            context=payload.get("name") or key,
            description=payload.get("description"),
            target_url=url,
        )
        return Answer.of_json(201, self._payloads.status(status, key, url))

    def _with_uuid(self, uuid: str) -> Person | None:
        return next((person for person in self._project.people() if uuid_of(person.id) == uuid), None)

    def _page(self, request: Request, items: Sequence[_Item], write: Callable[[_Item], Any], *, most: int) -> Answer:
        page = page_of(request, items, size="pagelen", usual=10, most=most)
        content: dict[str, Any] = {"values": list(map(write, page.items)), "pagelen": page.size, "page": page.number}
        if page.number < page.last:
            url = f"{self._web}{request.target.partition('?')[0]}"
            content["next"] = f"{url}?{urlencode({**request.query, 'page': page.number + 1})}"
        return Answer.of_json(200, content)


def _body(request: Request) -> tuple[str, Answer | None]:
    content = (json_object(request) or {}).get("content")
    body = content.get("raw") if isinstance(content, dict) else None
    if not isinstance(body, str) or not body.strip():
        return "", refusal(400, "content: This field is required")
    if len(body) > _MOST_CHARACTERS:
        return "", refusal(400, f"content.raw: at most {_MOST_CHARACTERS} characters")
    return body, None


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error as Bitbucket writes it."""
    return Answer.of_json(status, {"type": "error", "error": {"message": message}}, headers)


__all__ = ["ROOT", "Api", "refusal"]
