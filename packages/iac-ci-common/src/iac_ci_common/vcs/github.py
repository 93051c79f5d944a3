"""The run's comment and commit status on GitHub."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from iac_ci_common.errors import PortFailed, Throttled
from iac_ci_common.locations import parse_location
from iac_ci_common.reporting import marker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.models.rows import ReportTarget
    from iac_ci_common.ports import Secrets
    from iac_ci_common.reporting import CommitStatus

_ADDRESS = re.compile(r"(?:https://|ssh://git@|git@)([^/:]+)[/:]([^/]+)/([^/]+?)(?:\.git)?/?")


class GitHubReports:
    """One comment per run, edited in place; found by its hidden marker, and only if the same account wrote it."""

    def __init__(self, secrets: Secrets) -> None:
        """Read the token from where the job says, each time: it may have been replaced."""
        self._secrets = secrets

    def publish(self, target: ReportTarget, *, run_id: str, body: str) -> None:
        """Create or edit the run's comment; raise ``PortFailed``, or ``Throttled`` where GitHub asks for patience."""
        with self._repository(target, "the comment") as (api, repository):
            issue = repository.get_issue(target.number)
            mine = self._find(api, issue, run_id)
            if mine is None:
                issue.create_comment(body)
            elif mine.body != body:
                mine.edit(body)

    def mark(self, target: ReportTarget, status: CommitStatus) -> None:
        """Set the commit's status; raises like ``publish``."""
        with self._repository(target, "the commit's status") as (_, repository):
            # The commit itself is not asked for: a request less, and a status is refused where there is none.
            repository.get_commit(status.commit).create_status(
                state=status.state.value, description=status.description, context=status.context
            )

    @contextmanager
    def _repository(self, target: ReportTarget, what: str) -> Iterator[tuple[Any, Any]]:
        """Give the client and the repository; turn whatever they raise into the engine's errors."""
        match = _ADDRESS.fullmatch(target.repository)
        if match is None:
            raise PortFailed(f"{what} cannot be written: {target.repository!r:.200} is no repository on a code host")
        if target.token_location is None:
            raise PortFailed(f"{what} cannot be written: the job names no git_token_location")
        import github
        import requests

        host, owner, name = match.groups()
        token = self._secrets.read(parse_location(target.token_location))
        base = "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"
        try:
            with github.Github(auth=github.Auth.Token(token), base_url=base, timeout=10, retry=2, lazy=True) as api:
                yield api, api.get_repo(f"{owner}/{name}")
        except github.RateLimitExceededException as error:
            raise Throttled("GitHub asks for fewer requests") from error
        except github.GithubException as error:
            refused = f"GitHub refused {what}: HTTP {error.status}"
            raise PortFailed(refused, retry_is_safe=error.status >= 500) from error
        except requests.RequestException as error:
            raise PortFailed(f"GitHub did not answer: {type(error).__name__}", retry_is_safe=True) from error

    @staticmethod
    def _find(api: Any, issue: Any, run_id: str) -> Any:
        hidden = marker(run_id)
        me: str | None = None
        for comment in issue.get_comments():
            if comment.body.startswith(hidden):
                # Anybody may write our marker; only our own account's comment is ours.
                me = me or api.get_user().login
                if comment.user.login == me:
                    return comment
        return None
