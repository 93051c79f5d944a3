"""A pull request that is merged when everything is applied: every job of a world applies something of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from iac_ci_common.models.rows import JobScope, OrderRow, RunRow
from iac_ci_common.states import TERMINAL, OrderState
from iac_ci_vcs.provider import Account, PullRequest
from iac_ci_vcs.testing import MemoryCodeHost
from simulation.graphs import COMMIT, REPOSITORY, Story

if TYPE_CHECKING:
    from simulation.world import World

NUMBER = 7
BASE = "main"
_GOOD = frozenset({OrderState.SUCCEEDED, OrderState.SKIPPED})


class MergingHost(MemoryCodeHost):
    """The host of the pull request; ``World.merged`` hears of the merge before it is made."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.pulls[NUMBER] = PullRequest(
            NUMBER, "t", Account("1", "ann"), is_open=True, head_sha=COMMIT, head_branch="change",
            head_repository="example/infrastructure", base_sha="0" * 40, base_branch=BASE, is_fork=False, url="u",
        )  # fmt: skip

    def merge(self, number: int, commit: str) -> str | None:
        """Merge the pull request."""
        self._world.merged(number, commit)
        return super().merge(number, commit)


def of_pull_request(story: Story) -> Story:
    """Return a job of the pull request."""
    return Story(story.job | {"git_repo": REPOSITORY, "commit_hash": COMMIT, "pr_number": NUMBER}, story.behaviours)


def scope(names: Iterable[str]) -> JobScope:
    """Return the scope of a run of one of the jobs that the pull request needs before its merge."""
    return JobScope(base=BASE, before_merge=tuple(names), merge_when_applied=True)


def runs_of(world: World, name: str) -> list[RunRow]:
    """Return the runs of a job, the oldest first."""
    found = [run for run in world.runs.run_rows.values() if run.flow_id.endswith(f"-{name}")]
    return sorted(found, key=lambda run: run.run_id)


def ended_well(orders: Iterable[OrderRow]) -> bool:
    """Return whether all orders have ended, and none badly, whether or not it had to succeed."""
    return all(order.status in TERMINAL and order.status in _GOOD for order in orders)


def has_succeeded(orders: Iterable[OrderRow]) -> bool:
    """Return whether an order has succeeded."""
    return any(order.status is OrderState.SUCCEEDED for order in orders)


def with_pull_request(submissions: dict[str, Any]) -> dict[str, Any]:
    """Return the submissions as jobs of the pull request."""
    return {name: replace(one, story=of_pull_request(one.story)) for name, one in submissions.items()}
