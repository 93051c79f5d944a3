"""Which requirements the orders of a job have, and which of them are not met: pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.globs import matches
from iac_ci_common.models.rows import RequirementTick
from iac_ci_common.project_states import plan_again
from iac_ci_triggers.commands import PREFIX
from iac_ci_triggers.configuration import (
    applied_states,
    merged_orders,
    own_requirements,
    planned_by,
    reads_after_merge,
)
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.requirements import BaseChanges, Standing, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from iac_ci_common.models.saved_plan import PlanRecord
    from iac_ci_triggers.configuration import Configuration, PlannedState
    from iac_ci_triggers.connections import Connection
    from iac_ci_triggers.facts import Facts
    from iac_ci_triggers.required import Requirements

MOST_TICKS: Final = 20
"""Most requirements that the comment of a plan shows one by one."""

_BY_URGENCY: Final = [standing.value for standing in (Standing.NOT_MET, Standing.UNKNOWN, Standing.MET)]

BY_MERGE: Final = "on: merge"
"""What applies a plan after the merge, in the place of a comment."""

_TICK_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Required:
    """What is required of an order: the sets of the job and of the operator, and the patterns of what it reads."""

    sets: tuple[Requirements, ...]
    reads: tuple[str, ...] | None


def required_of(
    configuration: Configuration,
    connection: Connection | None,
    job_name: str,
    base_branch: str,
    *,
    is_merged: bool = False,
) -> dict[str, Required]:
    """Return what is required of the orders of a job, by their names; orders of which nothing is are left out.

    The operator's minimum is for every job that a comment starts, but those that pull requests with the same base
    branch start by themselves: these run before anybody could have approved them. Of orders that run after the merge,
    and of all orders once the pull request ``is_merged``, nothing about the merge is required.
    """
    trigger = configuration.jobs[job_name].on
    by_itself = trigger.pull_request is not None and (
        trigger.pull_request.branches is None or matches(trigger.pull_request.branches, base_branch)
    )
    minimum = connection.require if connection is not None and trigger.command and not by_itself else None
    found: dict[str, Required] = {}
    after_merge = reads_after_merge(configuration, job_name)
    for name, (own, paths) in own_requirements(configuration, job_name).items():
        sets: list[Requirements] = []
        for given in (own, minimum):
            one = given.after_merge if given is not None and (is_merged or name in after_merge) else given
            if one is not None and not one.is_empty and one not in sets:
                sets.append(one)
        if sets:
            found[name] = Required(tuple(sets), paths)
    return found


def sets_of(
    configuration: Configuration,
    connection: Connection | None,
    jobs: Collection[str],
    base_branch: str,
    *,
    is_merged: bool = False,
) -> tuple[Requirements, ...]:
    """Return the distinct sets of requirements of some jobs."""
    found: list[Requirements] = []
    for name in jobs:
        for required in required_of(configuration, connection, name, base_branch, is_merged=is_merged).values():
            found += [one for one in required.sets if one not in found]
    return tuple(found)


def jobs_that_apply(configuration: Configuration, plan_jobs: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the jobs whose orders apply what these jobs plan: their orders with the planning orders ``<job>/<order>``.

    Only jobs that a comment starts count.
    """
    found: dict[str, dict[str, str]] = {}
    for name, job in configuration.jobs.items():
        if name in plan_jobs or not job.on.command:
            continue
        planners = planned_by(configuration, name)
        wanted = {order: planner for order, planner in planners.items() if planner.partition("/")[0] in plan_jobs}
        if wanted:
            found[name] = wanted
    return found


def verdicts_of(
    facts: Facts, configuration: Configuration, job_name: str, orders: Collection[str]
) -> dict[str, tuple[Verdict, ...]]:
    """Return the verdicts on what is required of some orders of a job; orders of which nothing is are left out.

    A push, a merge queue and a schedule have no pull request, which requirements are about.
    """
    if facts.pull is None:
        return {}
    connection, is_merged = facts.source.connection, facts.merge is not None
    required = required_of(configuration, connection, job_name, facts.base_branch, is_merged=is_merged)
    wanted = {name: one for name, one in required.items() if name in orders}
    if not wanted:
        return {}
    if facts.known is None:
        raise ValueError("the facts lack what the requirements are about")
    applied = applied_states(configuration, job_name)
    merged = merged_orders(configuration, job_name)
    found: dict[str, tuple[Verdict, ...]] = {}
    for name, one in wanted.items():
        state = applied.get(name)
        verdicts: dict[Verdict, None] = {}
        for requirements in one.sets:
            base = _base(facts, requirements, one.reads, state, is_merged=name in merged)
            verdicts |= dict.fromkeys(judge(requirements, facts.known, base))
        found[name] = tuple(verdicts)
    return found


def ticks(
    facts: Facts, configuration: Configuration, job_name: str, orders: Collection[str]
) -> tuple[RequirementTick, ...]:
    """Return what the comment of a plan shows of the requirements of applying it."""
    found: dict[RequirementTick, None] = {}
    if facts.known is None or facts.pull is None:
        return ()
    for name, planners in jobs_that_apply(configuration, [job_name]).items():
        word = f"{PREFIX} {configuration.jobs[name].on.command[0]}"
        after_merge = reads_after_merge(configuration, name) if facts.merge is None else {}
        wanted = [order for order, planner in planners.items() if planner.partition("/")[2] in orders]
        for order, verdicts in verdicts_of(facts, configuration, name, wanted).items():
            command = BY_MERGE if order in after_merge else word
            for verdict in verdicts:
                text = verdict.text or verdict.name
                found[RequirementTick(command=command, standing=verdict.standing.value, text=text[:_TICK_CHARS])] = None
    return shown_ticks(list(found))


def shown_ticks(found: list[RequirementTick]) -> tuple[RequirementTick, ...]:
    """Return at most ``MOST_TICKS`` requirements, those not met first if there are more, and a count of the others.

    Of the others, each command has one entry, which stands as the worst of them.
    """
    if len(found) <= MOST_TICKS:
        return tuple(found)
    found = sorted(found, key=lambda tick: _BY_URGENCY.index(tick.standing))
    others: dict[str, list[str]] = {}
    for tick in found[MOST_TICKS:]:
        others.setdefault(tick.command, []).append(tick.standing)
    counts = (
        RequirementTick(command=command, standing=standings[0], text=_counted(Counter(standings)))
        for command, standings in others.items()
    )
    return (*found[:MOST_TICKS], *counts)


def _counted(standings: Counter[str]) -> str:
    shown = ", ".join(f"{count} {standing}" for standing, count in standings.items())
    return f"{standings.total()} more requirement{'' if standings.total() == 1 else 's'}: {shown}"


def _base(
    facts: Facts,
    required: Requirements,
    paths: tuple[str, ...] | None,
    state: tuple[PlannedState, bool] | None,
    *,
    is_merged: bool,
) -> BaseChanges | None:
    """Return what the base branch has changed, since the plan, of what an order reads; None if that is not asked."""
    if not required.undiverged:
        return None
    reads = tuple(required.undiverged) if isinstance(required.undiverged, list) else paths
    branch = facts.base_branch
    again = f"merge {branch} into the pull request's branch, which plans it again"
    planned = facts.merge_base
    if state is not None and state[1]:
        record = planned_record(facts, state[0])
        if record is None:
            # There is no plan to compare with, which is another answer.
            return BaseChanges((), again)
        if record.merge_into is not None:
            planned = record.merge_into
            again = plan_again(state[0].planner)
    elif is_merged:
        # It runs on the merge into the newest commit.
        return BaseChanges((), again)
    if planned is None:
        why = "the code host knows no common ancestor of it and the pull request"
        way_on = "open it from a branch of this repository, or do not require undiverged"
        return BaseChanges(None, way_on, facts.merge_base_unknown or why)
    changed = facts.base_changes.get(planned)
    if changed is None:
        return BaseChanges(None, again, facts.merge_base_unknown or "it is compared when the command is commented")
    return BaseChanges(tuple(sorted(path for path in changed if reads is None or matches(reads, path))), again)


def planned_record(facts: Facts, state: PlannedState) -> PlanRecord | None:
    """Return the newest plan of what an order applies, None if there is none."""
    repository = repository_key(facts.source.repository) or ""
    number = facts.pull.number if facts.pull is not None else None
    return facts.plans.records.get(state.project(repository, number).record or "")


def unmet_text(labels: Mapping[str, str], orders: Collection[str], names: Collection[str]) -> str:
    """Return whose requirements are not met: ``names`` of all ``orders``."""
    if len(names) == len(orders):
        return "its requirements are not met"
    shown = [labels.get(name, name) for name in names]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return f"the requirements of {', '.join(shown[:3])}{more} are not met"


__all__ = [
    "Required",
    "Standing",
    "jobs_that_apply",
    "required_of",
    "sets_of",
    "shown_ticks",
    "ticks",
    "unmet_text",
    "verdicts_of",
]
