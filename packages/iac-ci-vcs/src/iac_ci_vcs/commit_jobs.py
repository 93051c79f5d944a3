"""Sets the status of a job on a commit, folded over all runs and pull requests that say something about it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.errors import ConditionFailed, NotFound, PortFailed
from iac_ci_common.models.commit_job import CommitJob
from iac_ci_vcs.address import parse_address
from iac_ci_vcs.provider import CommitState
from iac_ci_vcs.reporting.folded_status import (
    entered,
    folded,
    folded_of_all,
    other_targets,
    waits_for_pull_requests,
    with_plans,
    with_stale,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from iac_ci_common.models.commit_job import JobPart, Plans, StalePlan
    from iac_ci_common.ports import CommitJobs
    from iac_ci_vcs.provider import CodeHost, CommitStatus

KEPT: Final = timedelta(days=90)
"""How long the states of a job on a commit are kept after their last change, as the ledgers are."""

_TRIES: Final = 10
"""Most writes of one report: each time another one has changed the states meanwhile."""


def set_job_status(
    jobs: CommitJobs,
    repository: str,
    own: CommitStatus,
    part: JobPart,
    *,
    now: datetime,
    is_open: Callable[[int], bool],
    mark: Callable[[CommitStatus], object],
) -> None:
    """Enter a part of a job and set the folded status with ``mark``, and those of earlier targets that ran again.

    ``own`` is the status that the part alone would have; ``is_open`` returns whether a pull request is open and has the
    commit as its head. If the part's own one is not, and another one is, the status speaks for that one alone: a run
    may end after its pull request. The states are read again after the status is set: of two reports at once, the one
    that was written last sets the status last. Raises ``PortFailed`` if other reports changed the states at every
    attempt.
    """
    key, number = _key(repository, own), str(part.number)
    asked: dict[str, bool] = {}

    def is_known_open(other: str) -> bool:
        if other not in asked:
            asked[other] = is_open(int(other))
        return asked[other]

    def change(known: CommitJob) -> CommitJob:
        others = sorted(known.pulls.keys() - {number})
        present = [other for other in others if is_known_open(other)]
        if present and not is_known_open(number):
            return _without(known, known.pulls.keys() - set(present))
        return entered(_without(known, set(others) - set(present)), part)

    def mark_all(written: CommitJob) -> None:
        if number not in written.pulls:
            mark(folded_of_all(written, own))
            return
        for status in (folded(written, part, own), *other_targets(written, part, own)):
            mark(status)

    _written(jobs, key, now, change, mark_all)


def set_planned_status(
    jobs: CommitJobs,
    repository: str,
    own: CommitStatus,
    plans: Plans,
    *,
    now: datetime,
    mark: Callable[[CommitStatus], object],
) -> None:
    """Enter what plans leave to do for a job that waits for comments, and set its status if that changes it.

    Of ``own``, the commit and the context are used. Raises like ``set_job_status``.
    """
    _set_if_changed(jobs, repository, own, lambda known: with_plans(known, plans), now=now, mark=mark)


def set_stale_status(
    jobs: CommitJobs,
    repository: str,
    own: CommitStatus,
    stale: StalePlan,
    *,
    now: datetime,
    mark: Callable[[CommitStatus], object],
) -> None:
    """Enter that an order has to plan again and set its job's status, if that changes it.

    Of ``own``, the commit and the context are used. Raises like ``set_job_status``.
    """
    _set_if_changed(jobs, repository, own, lambda known: with_stale(known, stale), now=now, mark=mark)


def refresh_job_status(
    jobs: CommitJobs,
    repository: str,
    own: CommitStatus,
    closed: int,
    *,
    now: datetime,
    is_open: Callable[[int], bool],
    mark: Callable[[CommitStatus], object],
) -> None:
    """Set a job's status without a pull request that was closed, if other open ones have the same head commit.

    If none has it, a status that waits for a pull request alone becomes ``own``, unless that is pending; every other
    one stays. Else, of ``own``, the commit and the context are used. Raises like ``set_job_status``.
    """
    key = _key(repository, own)
    known = jobs.read(key)
    if known is None or str(closed) not in known.pulls:
        return
    gone = {number for number in known.pulls if number == str(closed) or not is_open(int(number))}
    if gone != known.pulls.keys():
        _written(
            jobs, key, now, lambda newest: _without(newest, gone), lambda written: mark(folded_of_all(written, own))
        )
    elif own.state is not CommitState.PENDING and waits_for_pull_requests(known):
        # If one is opened again meanwhile, its event has changed the states.
        _written(
            jobs, key, now, lambda newest: newest,
            lambda written: mark(own if written == known else folded_of_all(written, own)),
        )  # fmt: skip


def read_jobs(jobs: CommitJobs, repository: str, commit: str, names: Sequence[str]) -> dict[str, CommitJob | None]:
    """Return the states of jobs on a commit by their names; None for a job without any."""
    return {name: jobs.read(_job_key(repository, commit, f"iac-ci/{name}")) for name in names}


def _set_if_changed(
    jobs: CommitJobs,
    repository: str,
    own: CommitStatus,
    change: Callable[[CommitJob], CommitJob],
    *,
    now: datetime,
    mark: Callable[[CommitStatus], object],
) -> None:
    """Change the states of a job that there are, and set its status if that changes them."""
    key = _key(repository, own)
    known = jobs.read(key)
    if known is None or change(known) == known:
        return
    _written(jobs, key, now, change, lambda written: mark(folded_of_all(written, own)))


def _written(
    jobs: CommitJobs,
    key: str,
    now: datetime,
    change: Callable[[CommitJob], CommitJob],
    mark: Callable[[CommitJob], object],
) -> None:
    for _ in range(_TRIES):
        known = jobs.read(key) or CommitJob(key=key, expires_at=now + KEPT)
        changed = change(known)
        try:
            written = jobs.write(changed.model_copy(update={"expires_at": now + KEPT})) if changed != known else known
        except ConditionFailed:
            continue
        mark(written)
        newest = jobs.read(key)
        if newest is None or newest.version == written.version:
            return
    raise PortFailed("other reports changed the states of the commit at every attempt", retry_is_safe=True)


def _key(repository: str, own: CommitStatus) -> str:
    return _job_key(repository, own.commit, own.context)


def _job_key(repository: str, commit: str, context: str) -> str:
    address = parse_address(repository)
    if address is None:
        raise PortFailed(f"{repository!r:.200} is not the URL of a repository on a code host")
    return keys.commit_job(f"{address.host}/{address.path}".lower(), commit, context)


def _without(job: CommitJob, closed: Collection[str]) -> CommitJob:
    return job.model_copy(
        update={"pulls": {number: pull for number, pull in job.pulls.items() if number not in closed}}
    )


def has_open_pull(host: CodeHost, commit: str, number: int) -> bool:
    """Return whether a pull request is open and has this commit as its head."""
    try:
        pull = host.pull_request(number)
    except NotFound:
        return False
    return pull.is_open and pull.head_sha == commit
