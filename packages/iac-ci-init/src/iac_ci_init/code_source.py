"""The source of an order's code, and its permanent failures."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError, PreparationFailed
from iac_ci_vcs.merges import Merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.models.job import Job, Order


@dataclass(frozen=True, slots=True, order=True)
class CodeSource:
    """The source of code: a commit of a repository, also merged into another, or an archive in a bucket.

    ``merge_into`` is a commit of the repository ``base``, and ``merge_commit`` a merge that the host has made.
    """

    repository: str = ""
    commit: str = ""
    s3_location: str = ""
    merge_into: str = ""
    merge_commit: str = ""
    base: str = ""

    @property
    def merge(self) -> Merge | None:
        """Return the merge to check out, None if the commit itself is."""
        return Merge(self.merge_into, self.base or None, self.merge_commit or None) if self.merge_into else None


def code_source(job: Job, order: Order) -> CodeSource | None:
    """Return the source of an order's code, None if it has none."""
    if order.approval is not None:
        return None
    if order.s3_location is not None:
        return CodeSource(s3_location=order.s3_location)
    repository = order.git_repo or job.git_repo
    if repository is None:
        return None
    commit = order.commit_hash or job.commit_hash or ""
    if order.merge_into is None:
        return CodeSource(repository=repository, commit=commit)
    return CodeSource(repository, commit, "", order.merge_into, order.merge_commit or "", job.git_repo or repository)


@contextmanager
def permanent(message: str) -> Iterator[None]:
    """Raise ``PreparationFailed`` for a failure that a retry cannot repair; other errors are raised unchanged."""
    try:
        yield
    except PreparationFailed:
        raise
    except IacCiError as error:
        if error.retry_is_safe:
            raise
        raise PreparationFailed(f"{message}: {error.message}") from error
