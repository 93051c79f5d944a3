"""Where the regular tasks of init stopped, and what they read last."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import Moment, StoredShape


class TickPosition(StoredShape):
    """``tmp/tick/position.json``: the next tick goes on after this task."""

    after: str = Field(description="Name and subject of the task that was begun last, as `name/subject`.")


class OpenPull(StoredShape):
    """A pull request as the host has listed it among the open ones."""

    number: int
    author_id: str = ""
    author_login: str = ""
    head: str = ""
    base: str
    is_draft: bool = False
    labels: tuple[str, ...] = ()
    updated_at: Moment


class PullList(StoredShape):
    """``tmp/tick/pulls/…``: what the tick read last of the open pull requests of a repository."""

    version: str = Field("", description="Name of the list at the code host, bound to a digest of the token.")
    waiting: tuple[OpenPull, ...] = ()
    listed: tuple[OpenPull, ...] = Field((), description="The open pull requests of that list.")
    gone: tuple[OpenPull, ...] = Field(
        (), description="Pull requests that are not in the list any more, and whose end no event has brought yet."
    )
