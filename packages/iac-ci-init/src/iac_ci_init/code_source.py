"""The source of an order's code, and its permanent failures."""

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
    """The source of code: a commit of a repository, or an archive in a bucket."""

    repository: str = ""
    commit: str = ""
    s3_location: str = ""


def code_source(job: Job, order: Order) -> CodeSource | None:
    """Return the source of an order's code, None if it has none."""
    if order.s3_location is not None:
        return CodeSource(s3_location=order.s3_location)
    repository = order.git_repo or job.git_repo
    if repository is None:
        return None
    return CodeSource(repository=repository, commit=order.commit_hash or job.commit_hash or "")


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
