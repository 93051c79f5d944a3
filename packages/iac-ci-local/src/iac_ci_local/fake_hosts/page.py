"""The page of a pull request: changed files, statuses, comments, and forms to comment and to push.

All text is escaped or comes from ``rendering``; the content security policy lets the browser load only the two files in
``page_files``. A page acts as the user, so it needs a key: the first request has it in the query, and the answer moves
it to a cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from html import escape
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_local.fake_hosts import rendering
from iac_ci_local.fake_hosts.messages import Answer
from iac_ci_local.loopback import is_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_local.fake_hosts.activity import Activity
    from iac_ci_local.fake_hosts.deliveries import Deliveries
    from iac_ci_local.fake_hosts.messages import Request
    from iac_ci_local.fake_hosts.project import OpenPullRequest, Project, WrittenComment
    from iac_ci_local.fake_hosts.repository import File

    NextCommit = Callable[[int], Mapping[str, File | bytes | None]]

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FILES: Final = {"/-/page.css": "text/css; charset=utf-8", "/-/page.js": "text/javascript; charset=utf-8"}
_MOST_FILES_SHOWN: Final = 300
_MOST_DELIVERIES_SHOWN: Final = 10
_MOST_ANSWER_SHOWN: Final = 300


class PullRequestPages:
    """The pages of one project."""

    def __init__(self, project: Project, activity: Activity, deliveries: Deliveries, next_commit: NextCommit) -> None:
        """Comment and push through ``activity``; ``next_commit`` returns the files of a pull request's next commit."""
        self._project = project
        self._activity = activity
        self._deliveries = deliveries
        self._next_commit = next_commit
        self.key = secrets.token_urlsafe(24)
        """The key in the address of a page. Other users of the machine do not know it."""
        # The name differs between code hosts, because browsers share cookies between ports.
        self._cookie = f"iac-ci-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"
        # A page of another site can send a form here, but cannot read this value from our page.
        self._proof = secrets.token_urlsafe(24)
        before = re.escape(activity.shape.page("N")).removesuffix("N")
        self._path = re.compile(rf"{before}([0-9]{{1,9}})(/conversation|/comments|/push)?", re.IGNORECASE)

    def __call__(self, request: Request) -> Answer | None:
        """Return the answer to a request; None if the path is not a page."""
        if request.path in _FILES and request.method == "GET":
            content = files(__package__).joinpath("page_files", request.path.rpartition("/")[2]).read_bytes()
            return Answer(200, content, {**_HEADERS, "Content-Type": _FILES[request.path]})
        found = self._path.fullmatch(request.path)
        if found is None:
            return None
        if request.method == "GET" and is_token(request.query.get("key", ""), self.key):
            cookie = f"{self._cookie}={self.key}; Path=/; HttpOnly; SameSite=Strict"
            return Answer(303, b"", {**_HEADERS, "Location": request.path, "Set-Cookie": cookie})
        if not is_token(self._key_of(request), self.key):
            return _plain(403, "open the address that iac-ci printed: it has the key of this page")
        try:
            pull = self._project.pull_request(int(found[1]))
        except NotFound:
            return None
        if request.method == "POST" and found[2] in {"/comments", "/push"}:
            return self._act(pull, found[2], request)
        if request.method != "GET" or found[2] not in {None, "/conversation"}:
            return _plain(405, "this page does not support this method")
        conversation = self._conversation(pull)
        version = hashlib.sha256(conversation.encode()).hexdigest()[:16]
        if found[2] == "/conversation":
            return Answer.of_json(200, {"version": version, "html": conversation}, _HEADERS)
        page = self._page(pull, conversation, version)
        return Answer(200, page.encode(), {**_HEADERS, "Content-Type": "text/html; charset=utf-8"})

    def _key_of(self, request: Request) -> str:
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return "" if cookie is None else cookie.value

    def _act(self, pull: OpenPullRequest, action: str, request: Request) -> Answer:
        try:
            form = {name: values[-1] for name, values in parse_qs(request.body.decode(), max_num_fields=8).items()}
        except ValueError:
            return _plain(400, "the body is not a form")
        if not hmac.compare_digest(form.get("proof", "").encode(), self._proof.encode()):
            return _plain(403, "the form has expired: reload the page")
        try:
            if action == "/push":
                self._activity.push(pull.number, self._next_commit(pull.number))
            else:
                self._comment(pull, form)
        except (NotFound, PortFailed) as error:
            return _plain(422, error.message)
        path = self._activity.shape.page(pull.number)
        return Answer(303, b"", {**_HEADERS, "Location": path, "Content-Type": "text/plain"})

    def _comment(self, pull: OpenPullRequest, form: Mapping[str, str]) -> None:
        person = self._project.person(form.get("person", ""))
        text = form.get("text", "").replace("\r\n", "\n")
        if person is None or not text.strip():
            raise NotFound("a comment needs a text and a known author")
        self._activity.comment(pull.number, person, text)

    def _page(self, pull: OpenPullRequest, conversation: str, version: str) -> str:
        path = self._activity.shape.page(pull.number)
        host = f"a code host on this machine that behaves like {self._activity.shape.name}"
        proof = f'<input type="hidden" name="proof" value="{escape(self._proof)}">'
        people = {person.login: None for person in (pull.author, *self._project.tokens.values())}
        options = "".join(f"<option>{escape(login)}</option>" for login in people if not login.endswith("[bot]"))
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(pull.title)} · #{pull.number} · {escape(self._project.full_name)}</title>
<link rel="stylesheet" href="/-/page.css">
<noscript><meta http-equiv="refresh" content="3"></noscript>
</head>
<body>
<p class="soft">{escape(self._project.full_name)} on {host}</p>
<main id="conversation" data-version="{version}" data-source="{escape(path)}/conversation">{conversation}</main>
<p id="state" role="status"></p>
<form method="post" action="{escape(path)}/comments">{proof}
<label>Comment<textarea name="text" required placeholder="/iac-ci plan"></textarea></label>
<label>as <select name="person">{options}</select></label>
<button>Comment</button>
</form>
<form method="post" action="{escape(path)}/push">{proof}<button>Push another commit</button></form>
<script src="/-/page.js"></script>
</body>
</html>
"""

    def _conversation(self, pull: OpenPullRequest) -> str:
        comments = "".join(map(self._written, self._project.comments(pull.number)))
        approved = ", ".join(escape(one.author.login) for one in self._project.book.approvals(pull.number))
        state = "Open" if pull.is_open else "Merged" if pull.is_merged else "Closed"
        return f"""
<h1>{escape(pull.title)} <span class="number">#{pull.number}</span></h1>
<p><span class="badge {"open" if pull.is_open else ""}">{state}</span>
{escape(pull.author.login)} wants to merge <code>{escape(pull.head_branch)}</code>
into <code>{escape(pull.base_branch)}</code>{f"; approved by {approved}" if approved else ""}</p>
{self._changes(pull)}{self._statuses(pull)}
<h2>Conversation</h2>{comments or '<p class="soft">No comments yet.</p>'}
{self._sent()}"""

    def _changes(self, pull: OpenPullRequest) -> str:
        git = self._project.repository
        changes = git.changes(git.head(pull.base_branch), git.head(pull.head_branch))
        lines = [
            f"<li>{change.status} <code>{escape(change.previous_path + ' → ' if change.previous_path else '')}"
            f'{escape(change.path)}</code> <span class="soft">+{change.additions} &minus;{change.deletions}</span></li>'
            for change in changes[:_MOST_FILES_SHOWN]
        ]
        if len(changes) > _MOST_FILES_SHOWN:
            lines.append(f"<li>and {len(changes) - _MOST_FILES_SHOWN} more</li>")
        plural = "" if len(changes) == 1 else "s"
        return f'<h2>{len(changes)} changed file{plural}</h2><ul class="plain">{"".join(lines)}</ul>'

    def _statuses(self, pull: OpenPullRequest) -> str:
        head = self._project.repository.head(pull.head_branch)
        lines = "".join(
            f'<li><span class="badge {escape(status.state)}">{escape(status.state)}</span> '
            f"<strong>{escape(status.context)}</strong> {escape(status.description or '')}</li>"
            for status in self._project.statuses(head)
        )
        none = '<li class="soft">none yet</li>'
        return f'<h2>Statuses of <code>{head[:12]}</code></h2><ul class="plain" id="statuses">{lines or none}</ul>'

    def _written(self, comment: WrittenComment) -> str:
        text = rendering.render(comment.body, has_html=self._activity.shape.has_html)
        edited = "" if comment.updated_at == comment.created_at else " · edited"
        return (
            f'<article id="issuecomment-{comment.id}"><header><strong>{escape(comment.author.login)}</strong> '
            f'<span class="soft">{comment.created_at:%Y-%m-%d %H:%M} UTC{edited}</span></header>'
            f'<div class="text">{text}</div></article>'
        )

    def _sent(self) -> str:
        lines = "".join(
            f"<li><code>{escape(sent.event)} {escape(sent.action)}</code> → "
            f'{sent.status or "no answer"} <span class="soft">{escape(sent.answer[:_MOST_ANSWER_SHOWN])}</span></li>'
            for sent in self._deliveries.done[-_MOST_DELIVERIES_SHOWN:]
        )
        return f'<h2>Webhook deliveries</h2><ul class="plain">{lines or "<li>none yet</li>"}</ul>'


def _plain(status: int, text: str) -> Answer:
    return Answer(status, text.encode(), {**_HEADERS, "Content-Type": "text/plain; charset=utf-8"})


__all__ = ["PullRequestPages"]
