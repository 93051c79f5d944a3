"""The REST API below ``/api/v3``: the operations that the engine's GitHub provider uses, as GitHub answers them."""

# ruff: noqa: ARG002 - all routes have the same parameters

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlencode

from iac_ci_common.errors import NotFound
from iac_ci_local.fake_hosts.github.issues import IssueRoutes
from iac_ci_local.fake_hosts.github.merges import MergeRoutes
from iac_ci_local.fake_hosts.github.payloads import Payloads
from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.fake_hosts.routes import Routes, bearer, json_object, page_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import Person, Project, SetStatus
    from iac_ci_local.fake_hosts.reviews import Team

ROOT: Final = "/api/v3"
GRAPHQL: Final = "/api/graphql"

_Item = TypeVar("_Item")

_MOST_FILES: Final = 3000
"""GitHub's limit for the files of a pull request (GitHub REST API, "List pull requests files")."""

_MOST_COMMITS: Final = 250
"""GitHub's limit for the commits of a pull request (GitHub REST API, "List commits on a pull request")."""

_MOST_CHARACTERS: Final = 65_536
_MOST_STATUS_CHARACTERS: Final = 140
_MOST_CONTEXT_CHARACTERS: Final = 255
_STATES: Final = frozenset({"error", "failure", "pending", "success"})
_REACTIONS: Final = frozenset({"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"})
_LIMIT: Final = 5000


class Api:
    """The API of one project."""

    def __init__(self, project: Project, web: str) -> None:
        """Serve the project; ``web`` is the host's URL."""
        self._project = project
        self._web = web
        self._payloads = Payloads(project, web)
        repository_path = re.escape(f"/repos/{project.full_name}")
        self._of_apps = re.compile(
            r"/app|/app/hook/deliveries(?:/\d+)?|/app/installations/\d+/access_tokens"
            rf"|{repository_path}/installation",
            re.IGNORECASE,
        )
        self._issues = IssueRoutes(project, self._payloads.any_issue, self._page, refusal)
        self._routes = Routes(
            (
                *self._issues.routes(repository_path),
                *MergeRoutes(project, self._payloads, refusal).routes(repository_path),
                ("GET", "/user", self._me),
                ("GET", r"/users/([^/]+)", self._user),
                ("GET", repository_path, self._repository),
                ("GET", repository_path + "/pulls", self._pulls),
                ("GET", repository_path + r"/pulls/(\d+)", self._pull),
                ("GET", repository_path + r"/pulls/(\d+)/files", self._files),
                ("GET", repository_path + r"/pulls/(\d+)/reviews", self._reviews),
                ("GET", repository_path + r"/pulls/(\d+)/commits", self._commits),
                ("GET", repository_path + r"/commits/([0-9a-f]{40})/status", self._statuses),
                ("GET", repository_path + r"/commits/([0-9a-f]{40})/pulls", self._pulls_of),
                ("GET", repository_path + r"/commits/([0-9a-f]{40})/check-runs", self._check_runs),
                ("GET", r"/orgs/([^/]+)/teams/([^/]+)", self._team),
                ("GET", r"/orgs/([^/]+)/teams/([^/]+)/memberships/([^/]+)", self._membership),
                ("GET", repository_path + r"/compare/([0-9a-f]{40})\.\.\.([0-9a-f]{40})", self._compare),
                ("GET", repository_path + r"/contents/?(.*)", self._contents),
                ("GET", repository_path + r"/git/ref/heads/(.+)", self._branch),
                ("GET", repository_path + r"/collaborators/([^/]+)/permission", self._permission),
                ("GET", repository_path + r"/issues/(\d+)/comments", self._comments),
                ("POST", repository_path + r"/issues/(\d+)/comments", self._write_comment),
                ("GET", repository_path + r"/issues/comments/(\d+)", self._comment),
                ("PATCH", repository_path + r"/issues/comments/(\d+)", self._edit_comment),
                ("POST", repository_path + r"/issues/comments/(\d+)/reactions", self._react_to_comment),
                ("POST", repository_path + r"/issues/(\d+)/reactions", self._react),
                ("POST", repository_path + r"/statuses/([0-9a-f]{40})", self._set_status),
            )
        )

    def graphql(self, request: Request) -> Answer:
        """Return the answer to the mutation ``minimizeComment``, or to the query about a merge that is blocked."""
        person = self._project.speaker(bearer(request))
        payload = json_object(request)
        if person is None or payload is None:
            return refusal(401, "Bad credentials")
        variables = payload.get("variables") or {}
        if "reviewDecision" in payload.get("query", ""):
            if self._project.book.hides_causes:
                return Answer.of_json(200, {"data": None, "errors": [{"message": "Resource not accessible"}]})
            causes = self._payloads.merge_causes(self._project.seen(int(variables["number"])))
            return Answer.of_json(200, {"data": {"repository": {"pullRequest": causes}}})
        node = variables.get("id")
        found = self._payloads.comment_of(node)
        if "minimizeComment" not in payload.get("query", "") or found is None:
            return Answer.of_json(200, {"data": None, "errors": [{"message": f"Could not resolve to a node: {node}"}]})
        self._project.minimized.add(found)
        return Answer.of_json(200, {"data": {"minimizeComment": {"minimizedComment": {"isMinimized": True}}}})

    def answer(self, request: Request) -> Answer:
        """Return the answer; 401 without a known token and 404 for an unknown resource, as on GitHub."""
        token = bearer(request)
        path = request.path.removeprefix(ROOT)
        if self._of_apps.fullmatch(path):
            return self._apps(request.method, path, token, request)
        person = self._project.speaker(token)
        if person is None:
            return refusal(401, "Bad credentials")
        return self._routes.answer(request, person, path) or refusal(404, "Not Found")

    def _apps(self, method: str, path: str, assertion: str, request: Request) -> Answer:
        """Return the answer to a request that only a GitHub app may send, signed with its key."""
        app = self._project.app
        if app is None or not app.proves(assertion):
            return refusal(401, "A JSON web token could not be decoded")
        if method == "GET" and path == "/app":
            return Answer.of_json(200, self._payloads.app(app))
        if method == "GET" and path == "/app/hook/deliveries":
            newest = sorted(app.log, key=lambda one: one.delivered_at, reverse=True)[:100]
            return Answer.of_json(200, [self._payloads.delivery(one) for one in newest])
        if method == "GET" and path.startswith("/app/hook/deliveries/"):
            found = [one for one in app.log if str(one.id) == path.rpartition("/")[2]]
            return Answer.of_json(200, self._payloads.whole_delivery(found[0])) if found else refusal(404, "Not Found")
        if method == "GET" and path.endswith("/installation"):
            return Answer.of_json(200, self._payloads.installation(app))
        if method != "POST" or path != f"/app/installations/{app.installation_id}/access_tokens":
            return refusal(404, "Not Found")
        wanted = (json_object(request) or {}).get("repositories", [])
        if any(name != self._project.name for name in wanted):
            return refusal(422, "There is at least one repository that does not exist or is not accessible")
        token, ends = app.mint()
        return Answer.of_json(201, self._payloads.installation_token(token, ends))

    def _me(self, request: Request, person: Person) -> Answer:
        if self._project.app is not None and person == self._project.app_account(self._project.app):
            return refusal(403, "Resource not accessible by integration")
        return Answer.of_json(200, self._payloads.profile(person))

    def _user(self, request: Request, person: Person, login: str) -> Answer:
        return Answer.of_json(200, self._payloads.profile(self._known(login)))

    def _repository(self, request: Request, person: Person) -> Answer:
        return Answer.of_json(200, self._payloads.repository())

    def _pulls(self, request: Request, person: Person) -> Answer:
        """List the open pull requests by the time of their change, the only list that the engine asks for."""
        wanted = {"state": "open", "sort": "updated", "direction": "desc"}
        if any(request.query.get(name) != value for name, value in wanted.items()):
            return refusal(422, "this code host lists open pull requests by their last change only")
        return self._page(request, self._project.listed(), self._payloads.listed_pull_request)

    def _pulls_of(self, request: Request, person: Person, sha: str) -> Answer:
        self._project.repository.commit_of(sha)
        return self._page(request, self._project.pulls_of(sha), self._payloads.listed_pull_request)

    def _pull(self, request: Request, person: Person, number: str) -> Answer:
        if self._project.is_unknown(int(number)):
            raise NotFound(f"there is no pull request {number} yet")
        return Answer.of_json(200, self._payloads.pull_request(self._project.seen(int(number))))

    def _files(self, request: Request, person: Person, number: str) -> Answer:
        pull, git = self._project.seen(int(number)), self._project.repository
        base, head = self._project.compared(pull)
        changes = sorted(git.changes(base, head), key=lambda change: change.path)[:_MOST_FILES]
        return self._page(request, changes, lambda change: self._payloads.changed_file(change, head))

    def _compare(self, request: Request, person: Person, base: str, head: str) -> Answer:
        git = self._project.repository
        git.commit_of(base), git.commit_of(head)
        numbers = git.behind(base, head), git.behind(head, base)
        return Answer.of_json(200, self._payloads.comparison(*numbers, git.merge_base(base, head)))

    def _reviews(self, request: Request, person: Person, number: str) -> Answer:
        self._project.pull_request(int(number))
        found = [one for one in self._project.book.reviews if one.number == int(number) and one.state != "WITHDRAWN"]
        return self._page(request, found, self._payloads.review)

    def _commits(self, request: Request, person: Person, number: str) -> Answer:
        commits = self._project.commits(self._project.seen(int(number)))[:_MOST_COMMITS]
        return self._page(request, commits, self._payloads.commit)

    def _statuses(self, request: Request, person: Person, sha: str) -> Answer:
        """Return the statuses of a commit, in pages of a list within the answer."""
        statuses = self._project.statuses(sha)

        def whole(page: list[SetStatus]) -> Any:
            return self._payloads.combined_status(sha, page) | {"total_count": len(statuses)}

        return self._page(request, statuses, lambda one: one, whole=whole)

    def _check_runs(self, request: Request, person: Person, sha: str) -> Answer:
        runs = [run for run in self._project.book.check_runs if run.sha == sha]

        def whole(page: list[Any]) -> Any:
            return {"total_count": len(runs), "check_runs": page}

        return self._page(request, runs, self._payloads.check_run, whole=whole)

    def _team(self, request: Request, person: Person, organisation: str, slug: str) -> Answer:
        team = self._visible_team(organisation, slug)
        return Answer.of_json(200, {"slug": slug, "name": slug, "members_count": len(team.members)})

    def _membership(self, request: Request, person: Person, organisation: str, slug: str, login: str) -> Answer:
        """Return a membership; 404 for a person who is not in the team, and for a team that the token may not see."""
        team = self._visible_team(organisation, slug)
        if login not in team.members | team.invited:
            raise NotFound("there is no such membership")
        return Answer.of_json(200, {"role": "member", "state": "active" if login in team.members else "pending"})

    def _visible_team(self, organisation: str, slug: str) -> Team:
        team = self._project.book.teams.get(f"{organisation}/{slug}")
        if team is None or not team.is_visible:
            raise NotFound("there is no such team")
        return team

    def _contents(self, request: Request, person: Person, path: str) -> Answer:
        git = self._project.repository
        ref = request.query.get("ref", "main")
        try:
            content, blob = git.file(path, ref)
        except NotFound:
            if not (entries := git.entries(path, ref)):
                raise
            return Answer.of_json(200, [self._payloads.listed(entry, ref) for entry in entries])
        if "raw" in request.headers.get("accept", ""):
            return Answer(200, content, {"Content-Type": "application/vnd.github.raw+json; charset=utf-8"})
        return Answer.of_json(200, self._payloads.file(path, ref, blob, content))

    def _branch(self, request: Request, person: Person, branch: str) -> Answer:
        return Answer.of_json(200, self._payloads.branch(branch, self._project.repository.head(branch)))

    def _permission(self, request: Request, person: Person, login: str) -> Answer:
        if self._project.right(person) not in {"admin", "write"}:
            return refusal(403, "Must have push access to view collaborator permission.")
        return Answer.of_json(200, self._payloads.permission(self._known(login)))

    def _comments(self, request: Request, person: Person, number: str) -> Answer:
        self._project.pull_request(int(number))
        return self._page(request, self._project.comments(int(number)), self._payloads.comment)

    def _write_comment(self, request: Request, person: Person, number: str) -> Answer:
        self._project.pull_request(int(number))
        body, problem = _body_of_comment(request)
        if problem is not None:
            return problem
        return Answer.of_json(201, self._payloads.comment(self._project.write_comment(int(number), person, body)))

    def _comment(self, request: Request, person: Person, identity: str) -> Answer:
        return Answer.of_json(200, self._payloads.comment(self._project.seen_comment(int(identity))))

    def _edit_comment(self, request: Request, person: Person, identity: str) -> Answer:
        before = self._project.comment(int(identity))
        if before.author.id != person.id and self._project.right(person) not in {"admin", "write"}:
            return refusal(403, "Must have admin rights to Repository.")
        body, problem = _body_of_comment(request)
        if problem is not None:
            return problem
        return Answer.of_json(200, self._payloads.comment(self._project.edit_comment(int(identity), body)))

    def _react(self, request: Request, person: Person, number: str) -> Answer:
        self._project.pull_request(int(number))
        return self._reaction(request, person, f"issues/{number}")

    def _react_to_comment(self, request: Request, person: Person, identity: str) -> Answer:
        self._project.comment(int(identity))
        return self._reaction(request, person, f"comments/{identity}")

    def _reaction(self, request: Request, person: Person, subject: str) -> Answer:
        payload = json_object(request)
        if payload is None or payload.get("content") not in _REACTIONS:
            return refusal(422, "Validation Failed: content is not included in the list")
        reaction, is_new = self._project.react(subject, person, payload["content"])
        return Answer.of_json(201 if is_new else 200, self._payloads.reaction(reaction))

    def _set_status(self, request: Request, person: Person, sha: str) -> Answer:
        if self._project.right(person) not in {"admin", "write"}:
            raise NotFound("GitHub answers 404 to accounts without write permission")
        try:
            self._project.repository.commit_of(sha)
        except NotFound:
            return refusal(422, f"No commit found for SHA: {sha}")
        payload = json_object(request)
        if payload is None:
            return refusal(400, "Problems parsing JSON")
        description = payload.get("description")
        if payload.get("state") not in _STATES:
            return refusal(422, "Validation Failed: state is not included in the list")
        if description is not None and len(description) > _MOST_STATUS_CHARACTERS:
            return refusal(422, "Validation Failed: description is too long (maximum is 140 characters)")
        if description is not None and max(description, default="") > "\uffff":
            return refusal(422, "Validation Failed: description doesn't accept 4-byte Unicode")
        if len(payload.get("context") or "") > _MOST_CONTEXT_CHARACTERS:
            return refusal(422, "Validation Failed: context is too long (maximum is 255 characters)")
        status = self._project.set_status(
            sha,
            person,
            state=payload["state"],
            context=payload.get("context", "default"),
            description=description,
            target_url=payload.get("target_url"),
        )
        return Answer.of_json(201, self._payloads.status(status))

    def _known(self, login: str) -> Person:
        person = self._project.person(login)
        if person is None:
            raise NotFound(f"there is no user {login!r:.100}")
        return person

    def _page(
        self,
        request: Request,
        items: Sequence[_Item],
        write: Callable[[_Item], Any],
        *,
        whole: Callable[[list[Any]], Any] = lambda listed: listed,
    ) -> Answer:
        """Return a page; ``whole`` puts its list into the answer."""
        page = page_of(request, items, size="per_page", usual=30, most=100)
        to = {"prev": page.number - 1, "next": page.number + 1, "last": page.last, "first": 1}
        if page.number >= page.last:
            del to["next"], to["last"]
        if page.number == 1:
            del to["prev"], to["first"]
        url = f"{self._web}{request.target.partition('?')[0]}"
        links = [f'<{url}?{urlencode({**request.query, "page": number})}>; rel="{name}"' for name, number in to.items()]
        listed = list(map(write, page.items))
        return Answer.of_json(200, whole(listed), {"Link": ", ".join(links)} if links else None)


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error as GitHub writes it."""
    content = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return Answer.of_json(status, content, headers)


def with_limits(answer: Answer, *, spent: int) -> Answer:
    """Add GitHub's headers about the caller's rate limit."""
    limits = {
        "X-GitHub-Media-Type": "github.v3; format=json",
        "X-RateLimit-Limit": str(_LIMIT),
        "X-RateLimit-Remaining": str(max(1, _LIMIT - spent)),
        "X-RateLimit-Reset": str(int(time.time()) + 3600),
        "X-RateLimit-Used": str(spent),
        "X-RateLimit-Resource": "core",
    }
    return replace(answer, headers={**limits, **answer.headers})


def _body_of_comment(request: Request) -> tuple[str, Answer | None]:
    payload = json_object(request)
    if payload is None:
        return "", refusal(400, "Problems parsing JSON")
    body = payload.get("body")
    if not isinstance(body, str) or not body.strip():
        return "", refusal(422, "Validation Failed: body can't be blank")
    if len(body) > _MOST_CHARACTERS:
        return "", refusal(422, "Validation Failed: body is too long (maximum is 65536 characters)")
    return body, None


__all__ = ["GRAPHQL", "ROOT", "Api", "refusal", "with_limits"]
