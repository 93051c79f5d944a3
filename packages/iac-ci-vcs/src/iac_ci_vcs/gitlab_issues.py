"""Issues on GitLab (GitLab Docs, "Issues API")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_vcs.provider import Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager

    from iac_ci_vcs.provider import Account

_SUBJECT: Final = "issues"
_MOST: Final = 2000
"""Most issues of the engine's own that are read."""

_REPORTER: Final = 20
"""Access level from which issues can be edited (GitLab Docs, "Permissions and roles")."""


class GitLabIssues:
    """The issues of one project."""

    def __init__(
        self,
        api: Any,
        path: str,
        doing: Callable[..., AbstractContextManager[None]],
        listed: Callable[..., Iterator[dict[str, Any]]],
        me: Callable[[], Account],
    ) -> None:
        """Use the client; ``path`` is the project's, ``doing`` and ``listed`` are its host's."""
        self._api, self._path, self._doing, self._listed, self._me = api, path, doing, listed, me

    def problem(self) -> str | None:
        """Return whether issues are switched off, or the token's role is too low."""
        with self._doing(_SUBJECT):
            project = self._api.http_get(self._path)
        if project.get("issues_enabled") is False or project.get("issues_access_level") == "disabled":
            return "the project's issues are switched off"
        rights = (project.get("permissions") or {}).values()
        levels = [one.get("access_level") or 0 for one in rights if isinstance(one, dict)]
        return "the token's role is below Reporter, which edits issues" if levels and max(levels) < _REPORTER else None

    def own(self, marker: str, known: Collection[int]) -> tuple[Issue, ...]:  # noqa: ARG002 - other hosts need it
        """Return the engine's own issues."""
        found: list[Issue] = []
        with self._doing(_SUBJECT):
            me = self._me()
            query = {"author_id": me.id, "scope": "all", "order_by": "created_at", "sort": "asc"}
            for number, payload in enumerate(self._listed(f"{self._path}/issues", **query)):
                if number >= _MOST:
                    break
                is_own = str((payload.get("author") or {}).get("id")) == me.id
                if is_own and (payload.get("description") or "").startswith(marker):
                    found.append(_issue(payload))
        return tuple(found)

    def create(self, title: str, body: str) -> Issue:
        """Create an issue."""
        with self._doing(_SUBJECT, repeatable=False):
            sent = {"title": title, "description": body}
            return _issue(self._api.http_post(f"{self._path}/issues", post_data=sent))

    def edit(self, number: int, *, title: str, body: str, is_open: bool) -> Issue:
        """Replace an issue's title, text and state; GitLab refuses none that has the state already."""
        sent = {"title": title, "description": body, "state_event": "reopen" if is_open else "close"}
        with self._doing(_SUBJECT):
            return _issue(self._api.http_put(f"{self._path}/issues/{number}", post_data=sent))


def _issue(payload: dict[str, Any]) -> Issue:
    is_open = payload["state"] == "opened"
    return Issue(int(payload["iid"]), str(payload["title"]), payload.get("description") or "", is_open)


__all__ = ["GitLabIssues"]
