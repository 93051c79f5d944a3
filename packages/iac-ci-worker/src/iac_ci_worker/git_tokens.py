"""Tokens with which an order's commands read private modules, each for its repositories only."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from iac_ci_common.models.trade import GitToken
    from iac_ci_common.ports import Clock, Logger
    from iac_ci_worker.rights import Rights

_SPARE: Final = timedelta(minutes=10)
"""A token is replaced this long before its end: a fetch by git takes its time."""

_PAUSE: Final = timedelta(seconds=15)


class LivingGitTokens:
    """Tokens that are traded for when git first asks, and again before they end. Thread-safe."""

    def __init__(
        self,
        repositories: Iterable[str],
        rights: Rights,
        clock: Clock,
        logger: Logger,
        *,
        mask: Callable[[Iterable[str]], None],
    ) -> None:
        """Serve these repositories (``host/path``) only; ``mask`` learns each token before anything else."""
        self._repositories = frozenset(map(str.lower, repositories))
        self._rights, self._clock, self._logger, self._mask = rights, clock, logger, mask
        self._known: tuple[GitToken, ...] = ()
        self._not_before: datetime | None = None
        self._problem = ""
        self._trading = threading.Lock()

    def answer(self, asked: Mapping[str, str]) -> tuple[GitToken | None, str]:
        """Return the token for what git asks, or why there is none; git's names are ``protocol``, ``host``, ``path``.

        git sends the whole path only with ``credential.useHttpPath``; a request without it gets nothing.
        """
        path = asked.get("path", "").rstrip("/").removesuffix(".git")
        key = f"{asked.get('host', '')}/{path}".lower()
        if asked.get("protocol") != "https" or key not in self._repositories:
            return None, f"git_credentials of this order does not list {key}"
        with self._trading:
            found = self._find(key)
            if found is None:
                self._trade()
                found = self._find(key)
        return found, "" if found is not None else self._problem

    def _find(self, key: str) -> GitToken | None:
        latest = self._clock.now() + _SPARE
        fresh = (token for token in self._known if token.expires_at is None or token.expires_at > latest)
        return next((token for token in fresh if key in map(str.lower, token.repositories)), None)

    def _trade(self) -> None:
        now = self._clock.now()
        if self._not_before is not None and now < self._not_before:
            return
        try:
            answer = self._rights.trade(reads_git=True)
        except IacCiError as error:
            self._problem = error.message
        else:
            self._mask(token.token for token in answer.git_tokens)
            self._known = answer.git_tokens
            self._problem = answer.git_failure or "the broker is of a version that gives git no tokens"
            if answer.git_tokens:
                return
        self._not_before = now + _PAUSE
        self._logger.warning("no token for git", reason=self._problem)


__all__ = ["LivingGitTokens"]
