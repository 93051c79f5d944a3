"""The run's comment and commit status, on whatever host the repository is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from iac_ci_common.errors import PortFailed
from iac_ci_common.locations import parse_location
from iac_ci_vcs.address import parse_address
from iac_ci_vcs.hosts import open_code_host, parse_credentials
from iac_ci_vcs.reporting import marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iac_ci_common.models.rows import ReportTarget
    from iac_ci_common.ports import Secrets
    from iac_ci_vcs.provider import CodeHost, CommitStatus, HostSettings


class CodeHostReports:
    """One comment per run, edited in place; found by its hidden marker, and only if the same account wrote it."""

    def __init__(
        self, secrets: Secrets, *, hosts: Mapping[str, HostSettings] | None = None, seconds: float = 30
    ) -> None:
        """Read the token from where the job says, each time: it may have been replaced.

        ``seconds`` bounds each request to the host with its retries: a report must not eat its function's time.
        """
        self._secrets = secrets
        self._hosts = hosts
        self._seconds = seconds

    def publish(self, target: ReportTarget, *, run_id: str, write: Callable[[int], str]) -> None:
        """Create or edit the run's comment; raise ``PortFailed``, or ``Throttled`` where the host asks for patience."""
        if target.number is None:
            raise PortFailed("the comment cannot be written: the run is about no pull request")
        with self._open(target, "the comment") as host:
            body = write(host.max_comment_chars)
            mine = host.find_comment(target.number, marker(run_id))
            if mine is None:
                host.create_comment(target.number, body)
            elif mine.body != body:
                host.edit_comment(target.number, mine.id, body)

    def mark(self, target: ReportTarget, status: CommitStatus) -> None:
        """Set the commit's status; raises like ``publish``."""
        with self._open(target, "the commit's status") as host:
            host.set_status(status)

    @contextmanager
    def _open(self, target: ReportTarget, what: str) -> Iterator[CodeHost]:
        if parse_address(target.repository) is None:
            raise PortFailed(f"{what} cannot be written: {target.repository!r:.200} is no repository on a code host")
        if target.token_location is None:
            raise PortFailed(f"{what} cannot be written: the job names no git_token_location")
        credentials = parse_credentials(self._secrets.read(parse_location(target.token_location)))
        host = open_code_host(target.repository, credentials, hosts=self._hosts, seconds=self._seconds)
        try:
            yield host
        finally:
            host.close()
