"""Orders that apply reviewed plans of one project, as a comment on a pull request would start them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from iac_ci_common import keys
from iac_ci_common.errors import IacCiError
from iac_ci_common.models.saved_plan import OrderProject, PlannedFile, SavedPlan
from iac_ci_common.models.sealed import Sealed
from simulation.groups import BRANCH
from simulation.merges import scope

if TYPE_CHECKING:
    from iac_ci_common.acceptance import Acceptance
    from iac_ci_common.models.job import Job
    from simulation.world import World

PROJECT = "a" * 64
STATE = keys.project_state(PROJECT)
EXPIRES = timedelta(seconds=45)
"""When a plan that is about to expire does so, after its job was accepted."""

_OWN_PLAN = -1
"""In place of an age: the apply plans for itself."""


class WithProjects:
    """Accepts jobs; the orders that ``world.applies`` names apply plans that are some generations old."""

    def __init__(self, world: World, acceptance: Acceptance) -> None:
        self._world = world
        self._acceptance = replace(acceptance)

    def accept(self, job: Job, run_id: str, **fields: Any) -> Any:
        """Accept a job, like ``Acceptance``."""
        ages = self._world.applies.get(job.flow_label, {})
        groups = self._world.group_plan
        projects = {job.orders[int(num) - 1].order_name or "": self._project(age, num) for num, age in ages.items()}
        for num in groups.plans.get(job.flow_label, ()):
            projects[job.orders[int(num) - 1].order_name or ""] = OrderProject(key=PROJECT, name="live/network")
        if self._world.merges:
            fields = {**fields, "scope": scope(self._world.merges), "job_name": job.flow_label}
        if groups.branch:
            fields = {**fields, "ledger": BRANCH, "job_name": "deploy"}
        accepted = self._acceptance.accept(job, run_id, projects=projects, **fields)
        # The function may end before its answer arrives.
        with suppress(IacCiError):
            self._world.call("answer", lambda: None)
        return accepted

    def _project(self, age: int, num: str) -> OrderProject:
        state = self._world.plans.project_states.get(STATE)
        generation = state.generation if state is not None else 0
        project = OrderProject(key=PROJECT, name="live/network", applies=True)
        if age == _OWN_PLAN:
            return project
        saved = SavedPlan(
            run_id="20250101T000000-aaaaaaaaaaaa",
            order_num="0001",
            order_name="plan-network",
            file="iac-ci.tfplan",
            planned=PlannedFile(sha256="b" * 64, tool="terraform"),
            files=Sealed(sha256="c" * 64, size=1, identity="YQ=="),
            generation=max(0, generation - age),
            # Some plans expire while their order waits for others.
            usable_until=self._world.now() + EXPIRES if int(num) % 3 == 0 else None,
        )
        return project.model_copy(update={"saved": saved})


def drawn_ages(random: Any, story: Any) -> Mapping[str, int]:
    """Return which orders of a job apply, and how many generations old their plans are; -1 plans for itself."""
    found: dict[str, int] = {}
    for index in range(story.size):
        if random.random() < 0.5:
            found[f"{index + 1:04d}"] = random.choice((0, 0, 0, 1, _OWN_PLAN))
    return found
