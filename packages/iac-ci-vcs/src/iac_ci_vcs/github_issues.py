"""Issues on GitHub (GitHub REST API, "Issues")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iac_ci_vcs.http_session import json_of
from iac_ci_vcs.provider import Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import requests

    from iac_ci_vcs.http_session import HostSession
    from iac_ci_vcs.provider import Account

_SUBJECT: Final = "issues"
_MOST_PAGES: Final = 20
"""Most pages of 100 issues of the engine's own that are read."""


class GitHubIssues:
    """The issues of one repository; GitHub lists pull requests among them."""

    def __init__(
        self,
        session: HostSession,
        url: str,
        ask: Callable[..., requests.Response],
        pages: Callable[..., Iterator[dict[str, Any]]],
        me: Callable[[], Account],
    ) -> None:
        """Use the host's session; ``url`` is the repository's, ``ask`` and ``pages`` send requests with its token."""
        self._session, self._url, self._ask, self._pages, self._me = session, url, ask, pages, me

    def problem(self) -> str | None:
        """Return whether issues are switched off. What a token may do, GitHub tells only by a refusal."""
        with self._session.doing(_SUBJECT):
            payload = json_of(self._ask("GET", self._url, "repository"))
        return "the repository's issues are switched off" if payload.get("has_issues") is False else None

    def own(self, marker: str, known: Collection[int]) -> tuple[Issue, ...]:  # noqa: ARG002 - other hosts need it
        """Return the engine's own issues."""
        with self._session.doing(_SUBJECT):
            me = self._me()
            query = f"creator={quote(me.login, safe='')}&state=all&sort=created&direction=asc"
            listed = self._pages(f"{self._url}/issues?{query}", _SUBJECT, pages=_MOST_PAGES)
            return tuple(
                _issue(payload)
                for payload in listed
                if "pull_request" not in payload
                and (payload.get("body") or "").startswith(marker)
                and str((payload.get("user") or {}).get("id")) == me.id
            )

    def create(self, title: str, body: str) -> Issue:
        """Create an issue."""
        with self._session.doing(_SUBJECT, repeatable=False):
            return _issue(
                json_of(self._ask("POST", f"{self._url}/issues", _SUBJECT, json={"title": title, "body": body}))
            )

    def edit(self, number: int, *, title: str, body: str, is_open: bool) -> Issue:
        """Replace an issue's title, text and state."""
        sent = {"title": title, "body": body, "state": "open" if is_open else "closed"}
        with self._session.doing(_SUBJECT):
            return _issue(json_of(self._ask("PATCH", f"{self._url}/issues/{number}", _SUBJECT, json=sent)))


def _issue(payload: dict[str, Any]) -> Issue:
    return Issue(int(payload["number"]), str(payload["title"]), payload.get("body") or "", payload["state"] == "open")


__all__ = ["GitHubIssues"]
