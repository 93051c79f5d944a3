"""Fetches commits with git: lists of arguments, and without the configuration of the machine or the user."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iac_ci_common.errors import PreparationFailed
from iac_ci_vcs.git_checkout import Checkout, Rules
from iac_ci_vcs.git_environment import GitEnvironment, named, uses_http

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from iac_ci_common.tree import Entry, Tree
    from iac_ci_vcs.merges import Merge, Merged
    from iac_ci_vcs.provider import HostSettings

_SECONDS: Final = 240
"""Longest time for one commit with its submodules, in seconds: the init function's time-out less the rest of the
preparation."""

_MOST_REDIRECTS: Final = 3
_REDIRECT_SECONDS: Final = 10


class GitRepositories:
    """Fetches single commits with git."""

    def __init__(
        self,
        *,
        allow_file: bool = False,
        hosts: Mapping[str, HostSettings] | None = None,
        seconds: float = _SECONDS,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Limit each checkout to ``seconds``; set ``allow_file`` in the local cloud only.

        ``wait`` is called with the seconds before a step is repeated.
        ``hosts`` has the provider of each code host whose name does not show it.
        """
        self._allow_file = allow_file
        self._hosts = hosts or {}
        self._seconds = seconds
        self._wait = wait

    def checkout(
        self,
        repository: str,
        commit: str,
        folder: str,
        *,
        token: str | None,
        ssh_key: str | None,
        may_read: Callable[[str], bool] | None = None,
        merge: Merge | None = None,
    ) -> Merged | None:
        """Write one commit's files into the empty ``folder``, with its submodules and Git LFS content; no hook runs.

        With ``merge``, the files are those of the commit merged into another one, and the merge is returned.

        What the commit's ``.iac-ci-ignore`` leaves out is not fetched. ``.git`` answers for commit, tags and paths and
        has neither history nor remotes (``git_folder``). ``token`` is the code host's secret as it is stored: a token,
        ``user:token``, or a GitHub app's key. It and ``ssh_key`` are sent to the repository's own host only, and there
        for those submodules' repositories for which ``may_read`` returns True; others are read without them.

        Raises ``PreparationFailed`` with git's reason, redacted, and ``PortFailed``, safe to retry, if the host or the
        network failed.
        """
        with tempfile.TemporaryDirectory(prefix="iac-ci-git-") as private:
            started = Checkout(self._rules(), repository, token, ssh_key, may_read, Path(private), Path(folder))
            return started.fetch(repository, commit, Path(folder), depth=0, merge=merge)

    def tree(
        self,
        repository: str,
        commit: str,
        *,
        token: str | None,
        choose: Callable[[Mapping[str, Entry]], Collection[str]],
        max_bytes: int,
        merge: Merge | None = None,
    ) -> Tree:
        """Return a commit's paths and the content of the chosen files, as ``ports.Trees`` describes.

        Raises what ``checkout`` raises.
        """
        with tempfile.TemporaryDirectory(prefix="iac-ci-git-") as private:
            folder = Path(private, "tree")
            started = Checkout(self._rules(), repository, token, None, None, Path(private), folder)
            return started.tree(commit, choose, max_bytes) if merge is None else started.merged_tree(commit, merge)

    def _rules(self) -> Rules:
        return Rules(
            self._environment, self._moved, self._uses_http, self._allow_file, self._hosts, self._seconds, self._wait
        )

    def _environment(self, private: Path, repository: str, token: str | None, ssh_key: str | None) -> dict[str, str]:
        return GitEnvironment(private, self._allow_file, self._hosts).of(repository, token, ssh_key)

    def _uses_http(self, repository: str) -> bool:
        return uses_http(repository, self._hosts) if self._allow_file else False

    def _moved(self, repository: str, token: str | None) -> str:
        """Return the URL to which a host redirects a repository that was renamed or moved.

        Each redirect is checked like the first URL. Raises ``PreparationFailed`` if it leads to no https URL.
        """
        import requests
        from requests.auth import HTTPBasicAuth

        from iac_ci_vcs.http_session import HostSession

        suffix = "/info/refs"
        user, _, password = named(token).partition(":")
        auth = HTTPBasicAuth(user, password)
        with HostSession(urlsplit(repository).netloc, auth, root="", seconds=self._seconds) as session:
            session.max_redirects = _MOST_REDIRECTS
            try:
                url = f"{repository.rstrip('/')}{suffix}?service=git-upload-pack"
                found = urlsplit(session.get(url, stream=True, timeout=_REDIRECT_SECONDS).url)
            except requests.RequestException as error:
                raise PreparationFailed(
                    f"fetching {repository} failed: it was moved, and its redirect failed: {type(error).__name__}"
                ) from None
        if found.scheme != "https" or not found.path.endswith(suffix):
            raise PreparationFailed(f"fetching {repository} failed: it was moved to something other than a repository")
        return f"https://{found.netloc}{found.path.removesuffix(suffix)}"
