"""Issues on Bitbucket Cloud (Bitbucket Cloud REST API, "Issue tracker"). Most repositories have none."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import NotFound
from iac_ci_vcs.http_session import json_of
from iac_ci_vcs.provider import Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from iac_ci_vcs.http_session import HostSession
    from iac_ci_vcs.provider import Account

_SUBJECT: Final = "issues"
_PER_PAGE: Final = 50
_MOST: Final = 1000
"""Most issues of the engine's own that are read."""

_OPEN: Final = frozenset({"new", "open", "on hold", "submitted"})


class BitbucketIssues:
    """The issues of one repository. Bitbucket answers 404 where the tracker is switched off."""

    def __init__(
        self,
        session: HostSession,
        url: str,
        pages: Callable[[str, str, int], Iterator[dict[str, Any]]],
        me: Callable[[], Account | None],
    ) -> None:
        """Use the host's session; ``url`` is the repository's, ``pages`` reads lists."""
        self._session, self._url, self._pages, self._me = session, url, pages, me

    def problem(self) -> str | None:
        """Return whether the issue tracker is switched off. What a token may do, Bitbucket tells only by a refusal."""
        with self._session.doing(_SUBJECT):
            payload = json_of(self._session.ask("GET", self._url, "repository"))
        if payload.get("has_issues") is False:
            return "the repository's issue tracker is switched off"
        return None

    def own(self, marker: str, known: Collection[int]) -> tuple[Issue, ...]:
        """Return the engine's own issues. Every writer may edit every issue, so an edit proves no authorship."""
        me = self._me()
        with self._session.doing(_SUBJECT):
            if me is not None:
                return tuple(self._reported_by(me, marker))
            found: list[Issue] = []
            for number in sorted(known):
                with suppress(NotFound):
                    found.append(_issue(json_of(self._session.ask("GET", f"{self._url}/issues/{number}", _SUBJECT))))
            if not known:
                # One request tells whether there is a tracker.
                self._session.ask("GET", f"{self._url}/issues", _SUBJECT, params={"pagelen": "1"})
            return tuple(issue for issue in found if issue.body.startswith(marker))

    def _reported_by(self, me: Account, marker: str) -> Iterator[Issue]:
        query = f"q=reporter.uuid%3D%22{me.id.replace('{', '%7B').replace('}', '%7D')}%22&sort=created_on"
        for number, payload in enumerate(self._pages(f"{self._url}/issues?{query}", _SUBJECT, _PER_PAGE)):
            if number >= _MOST:
                return
            issue = _issue(payload)
            if (payload.get("reporter") or {}).get("uuid") == me.id and issue.body.startswith(marker):
                yield issue

    def create(self, title: str, body: str) -> Issue:
        """Create an issue."""
        sent = {"title": title, "content": {"raw": body}, "kind": "task", "state": "open"}
        with self._session.doing(_SUBJECT, repeatable=False):
            return _issue(json_of(self._session.ask("POST", f"{self._url}/issues", _SUBJECT, json=sent)))

    def edit(self, number: int, *, title: str, body: str, is_open: bool) -> Issue:
        """Replace an issue's title, text and state."""
        sent = {"title": title, "content": {"raw": body}, "state": "open" if is_open else "resolved"}
        with self._session.doing(_SUBJECT):
            return _issue(json_of(self._session.ask("PUT", f"{self._url}/issues/{number}", _SUBJECT, json=sent)))


def _issue(payload: dict[str, Any]) -> Issue:
    body = (payload.get("content") or {}).get("raw") or ""
    return Issue(int(payload["id"]), str(payload["title"]), body, payload["state"] in _OPEN)


__all__ = ["BitbucketIssues"]
