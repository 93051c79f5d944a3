"""The newest states of the orders of one job on one commit: what its folded status is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from iac_ci_common.models.base import Moment, RunId, StoredShape

if TYPE_CHECKING:
    from collections.abc import Mapping


class JobOnPull(StoredShape):
    """The orders of a job on a commit for one pull request and its base branch.

    ``since`` is the newest run or event with this base branch, ``whole`` the newest run of the whole job, None if there
    is none. ``orders`` maps each order's name to ``<run> <state>``, or to ``not_run`` if it has not run on this
    commit. The name is empty for a job that could not be started. ``planned_by`` maps orders that wait for a comment to
    the order ``<job>/<order>`` that plans the same folder; if that plan has no changes, the entry is ``<run> nothing``.
    ``planned`` maps orders to their newest plans on this commit, ``<run> changes`` or ``<run> nothing``; it is kept for
    pull requests that are merged when everything is applied. ``targets`` maps targets that have a status of their own
    on this commit to the orders that their newest run has, those that ran last at the end.
    """

    base: str
    since: RunId
    whole: RunId | None = None
    orders: dict[str, str] = Field(default_factory=dict)
    planned_by: dict[str, str] = Field(default_factory=dict)
    planned: dict[str, str] = Field(default_factory=dict)
    targets: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class CommitJob(StoredShape):
    """A job on a commit, by the numbers of the pull requests that have the commit as their head.

    ``version`` counts the writes and is the condition of each write.
    """

    key: str
    version: int = 0
    pulls: dict[str, JobOnPull] = Field(default_factory=dict)
    expires_at: Moment


@dataclass(frozen=True, slots=True)
class JobPart:
    """What a run or an event knows about a job on a commit, for one pull request and its base branch.

    ``source`` is the id of the run or event, which sorts by time. ``orders`` are states by the orders' names; with
    ``whole``, the job has no other orders. ``not_run`` are orders of the job that this run does not run.
    ``planned_by`` is as in ``JobOnPull``. ``target`` is that of a run with a status ``iac-ci/<job>/<target>``.
    ``ended`` is whether the run has ended.
    """

    number: int
    base: str
    source: str
    orders: Mapping[str, str]
    whole: bool = False
    not_run: tuple[str, ...] = ()
    planned_by: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of a run that ended, for one pull request and its base branch.

    ``source`` is the run's id. ``changes`` maps its orders ``<job>/<order>`` to whether they plan changes; an order
    whose changes are unknown counts as one that has some. With ``are_kept``, what they leave to apply is kept apart
    from the states of orders, also for the orders of ``appliers``, which maps them to the orders that plan; of a run,
    they are ``<job>/<order>``.
    """

    number: int
    base: str
    source: str
    changes: Mapping[str, bool]
    are_kept: bool = False
    appliers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StalePlan:
    """A plan that is stale: of the order ``order`` of a run, for one pull request and its base branch."""

    number: int
    base: str
    run_id: str
    order: str
