"""A code host with one pull request, made from two folders, for demonstrations and tests."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Self

from iac_ci_local.fake_hosts.activity import Activity
from iac_ci_local.fake_hosts.bitbucket.shape import Bitbucket
from iac_ci_local.fake_hosts.deliveries import Deliveries
from iac_ci_local.fake_hosts.github.shape import GitHub
from iac_ci_local.fake_hosts.gitlab.shape import GitLab
from iac_ci_local.fake_hosts.page import PullRequestPages
from iac_ci_local.fake_hosts.project import Person, Project
from iac_ci_local.fake_hosts.repository import HostedRepository, read_folder
from iac_ci_local.fake_hosts.server import CodeHostServer
from iac_ci_vcs.provider import HostSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from iac_ci_local.fake_hosts.repository import File
    from iac_ci_local.fake_hosts.shape import Shape

SHAPES: Final[Mapping[str, type[Shape]]] = {shape.kind: shape for shape in (GitHub, GitLab, Bitbucket)}
"""The hosts by the engine's names for them."""

ENGINE: Final = Person(1, "iac-ci[bot]")
PERSON: Final = Person(2, "you")
NUMBER: Final = 1
"""Number of the pull request."""

_COMMENTABLE: Final = (".tf", ".yml", ".yaml")


class Demo:
    """The whole code host: repository, server, page and webhook. Use as a context manager.

    The constructor opens the port, so that a local cloud can be started with the host's address; ``open_pull_request``
    then takes the address of that cloud's webhook.
    """

    def __init__(
        self,
        folder: Path,
        *,
        base: Path,
        change: Path,
        full_name: str = "demo/infrastructure",
        title: str = "Change the infrastructure",
        branch: str = "change",
        port: int = 0,
        kind: str = "github",
    ) -> None:
        """Create the repository below ``folder`` and listen on ``port``, 0 for any free one.

        ``kind`` is the host that it behaves like. The branch main has the files of ``base``; the pull request's branch
        adds or replaces the files of ``change``.
        Raises ``PortFailed`` if the port is taken or git is missing.
        """
        owner, _, name = full_name.partition("/")
        repository = HostedRepository.create(folder / f"{name}.git")
        repository.commit("main", read_folder(base), "Begin")
        repository.commit(branch, read_folder(change), title, start="main")
        self.token = secrets.token_urlsafe(24)
        """The engine's token for the API and for git."""

        self.webhook_secret = secrets.token_urlsafe(24)
        tokens = {self.token: ENGINE, secrets.token_urlsafe(24): PERSON}
        self.project = Project(owner, name, repository, tokens, {ENGINE.login: "write", PERSON.login: "admin"})
        self.project.open_pull_request(title=title, author=PERSON, head_branch=branch, base_branch="main")
        self._shape = SHAPES[kind]
        self.deliveries = Deliveries(None, self.webhook_secret, headers=self._shape.headers)
        self.host = CodeHostServer(self.project, shape=self._shape, port=port, pages=self._pages)
        self.activity = Activity(self.project, self.host.url, self.deliveries, shape=self._shape)

    def __enter__(self) -> Self:
        """Start to answer requests."""
        self.host.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the server; keep the folder."""
        self.host.close()

    @property
    def code_hosts(self) -> Mapping[str, HostSettings]:
        """The engine's settings for this code host."""
        return {self.host.address: HostSettings(self._shape.kind, self.host.api_url)}

    @property
    def page(self) -> str:
        """URL of the pull request's page, with the key that opens it."""
        return f"{self.host.url}{self.host.shape.page(NUMBER)}?key={self._page_key}"

    def open_pull_request(self, webhook: str) -> Callable[[], None]:
        """Send the event of the opened pull request, and later events, to ``webhook``; return a function that waits."""
        self.deliveries.send_to(webhook)
        return self.activity.opened(NUMBER)

    def _pages(self, host: CodeHostServer) -> PullRequestPages:
        activity = Activity(self.project, host.url, self.deliveries, shape=self._shape)
        pages = PullRequestPages(self.project, activity, self.deliveries, self.next_commit)
        self._page_key = pages.key
        return pages

    def next_commit(self, number: int) -> dict[str, File | bytes | None]:
        """Return a further small change to a file of the pull request."""
        pull, git = self.project.pull_request(number), self.project.repository
        changes = git.changes(git.head(pull.base_branch), git.head(pull.head_branch))
        for change in changes:
            if change.status != "removed" and change.path.endswith(_COMMENTABLE):
                content, _ = git.file(change.path, pull.head_branch)
                return {change.path: content.rstrip(b"\n") + b"\n# pushed again\n"}
        return {f"pushed-{git.head(pull.head_branch)[:8]}.txt": b"pushed again\n"}


__all__ = ["ENGINE", "NUMBER", "PERSON", "SHAPES", "Demo"]
