"""Where an order's code is, and which of its failures are final."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError, PreparationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.models.job import Job, Order


@dataclass(frozen=True, slots=True, order=True)
class CodeSource:
    """Where a tree of code is: a commit of a repository, or an archive in a bucket."""

    repository: str = ""
    commit: str = ""
    s3_location: str = ""


def code_source(job: Job, order: Order) -> CodeSource | None:
    """Return where an order's code is; None if it has none."""
    if order.s3_location is not None:
        return CodeSource(s3_location=order.s3_location)
    repository = order.git_repo or job.git_repo
    if repository is None:
        return None
    return CodeSource(repository=repository, commit=order.commit_hash or job.commit_hash or "")


@contextmanager
def permanent(what: str) -> Iterator[None]:
    """Turn a failure that another try would not change into ``PreparationFailed``; others pass as they are."""
    try:
        yield
    except PreparationFailed:
        raise
    except IacCiError as error:
        if error.retry_is_safe:
            raise
        raise PreparationFailed(f"{what}: {error.message}") from error
