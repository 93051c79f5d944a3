"""Draws concurrency groups: on jobs, on orders, and those of projects, which plans share and applies do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from iac_ci_common import keys
from simulation.graphs import COMMIT, REPOSITORY, Story, happens

BRANCH = keys.branch_ledger("github.com/example/infrastructure", "main")
COMMITS = (COMMIT, "b" * 40, "c" * 40)

_NAMES = ("deploy", "database")
_QUEUES = ("all", "newest")


@dataclass(frozen=True)
class GroupPlan:
    """What groups are about beside what jobs say, by flow label.

    ``plans`` are the orders that plan the project, ``branch`` says that the runs are of a branch, each for a commit of
    its own. ``are_drawn`` says that runs meet in groups at all.
    """

    plans: Mapping[str, frozenset[str]] = field(default_factory=dict)
    branch: bool = False
    are_drawn: bool = False


def at_commit(story: Story, commit: str) -> Story:
    """Return the job at a commit."""
    return Story(story.job | {"git_repo": REPOSITORY, "commit_hash": commit}, story.behaviours)


def with_groups(random: Random, story: Story) -> Story:
    """Let a job name a group, or some of its orders."""
    job: dict[str, Any] = story.job
    if happens(random, 0.25):
        return Story(job | {"concurrency": _group(random)}, story.behaviours)
    orders = [order | {"concurrency": _group(random)} if happens(random, 0.5) else order for order in job["orders"]]
    return Story(job | {"orders": orders}, story.behaviours)


def drawn_plans(random: Random, story: Story, applies: Mapping[str, int]) -> frozenset[str]:
    """Return which of the orders that do not apply plan the project."""
    nums = [f"{index + 1:04d}" for index in range(story.size)]
    return frozenset(num for num in nums if num not in applies and happens(random, 0.4))


def _group(random: Random) -> dict[str, str]:
    return {"group": random.choice(_NAMES), "queue": random.choice(_QUEUES)}
