"""Decides which reviewed plans a command applies: pure. Each plan that is not applied has its own reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.globs import matches
from iac_ci_common.project_states import may_apply, plan_again, what_came
from iac_ci_triggers.apply_requirements import verdicts_of
from iac_ci_triggers.commands import PREFIX
from iac_ci_triggers.configuration import FILE_NAME, applied_states, planned_states
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.destroy_plans import plans_to_destroy
from iac_ci_triggers.jobs import taken
from iac_ci_triggers.requirements import unmet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from iac_ci_common.models.job import Job, Order
    from iac_ci_common.models.saved_plan import OrderProject, PlanRecord, ProjectState
    from iac_ci_triggers.configuration import Configuration, PlannedState
    from iac_ci_triggers.facts import Facts
    from iac_ci_triggers.requirements import Verdict


_PATHS: Final = 3
_PATH_CHARS: Final = 120

_UNMET: Final = "its requirements are not met"
"""Reason of an order that does not run for its requirements, which have their own words."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The projects of a job's orders, the orders that are not applied, with the reasons, and those that are done.

    ``job`` is None if nothing is left to run. ``applied`` are those of ``done`` whose plans were applied; the others
    have nothing to do. ``unmet`` are the requirements that are not met, by the orders that do not run for them.
    ``stale`` are those of ``refused`` that have to be planned again. ``labels`` are the names of projects by their
    orders.
    """

    job: Job | None
    projects: Mapping[str, OrderProject]
    refused: Mapping[str, str] = field(default_factory=dict)
    done: Mapping[str, str] = field(default_factory=dict)
    applied: frozenset[str] = frozenset()
    unmet: Mapping[str, tuple[Verdict, ...]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()


def wanted_keys(
    configuration: Configuration, jobs: Collection[str], repository: str, number: int
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys of the plans and of the projects that the reviewed applies of these jobs need."""
    projects = [
        state.project(repository, number)
        for name in jobs
        for state, reviewed in applied_states(configuration, name).values()
        if reviewed
    ]
    records = frozenset(project.record for project in projects if project.record is not None)
    return records, frozenset(keys.project_state(project.key) for project in projects)


def after_merge_records(configuration: Configuration, repository: str, number: int) -> dict[str, str]:
    """Return the names of the projects whose reviewed plans are applied after the merge, by the keys of these plans."""
    return {
        state.project(repository, number).record or "": state.label
        for name in configuration.jobs
        for state, reviewed in applied_states(configuration, name).values()
        if reviewed and state.after_merge
    }


def with_saved_plans(
    facts: Facts, configuration: Configuration, job_name: str, job: Job, intent: str = "", *, is_named: bool = True
) -> Chosen:
    """Return the job with the orders whose plans may be applied, and the project of each order.

    An order that comes after one that is refused or needs something of one that does not run is refused too, and so is
    one without a plan that only prepares orders that do not run. Nobody is asked to override only orders that are done.
    Other orders without plans are left as they are. A plan that a run of the same ``intent`` applies is not refused for
    it: the event is processed again. ``is_named``: a person has named what is applied, or nobody has; without it, a
    plan to destroy is refused.
    """
    repository = repository_key(facts.source.repository) or ""
    number = facts.pull.number if facts.pull is not None else None
    applied = applied_states(configuration, job_name)
    planned = planned_states(configuration, job_name)
    projects = {name: state.project(repository, number) for name, state in planned.items()}
    for name in {order.order_name or "" for order in job.orders if plans_to_destroy(order)} & planned.keys():
        asked = {"replans": False, "planner": planned[name].destroyer or planned[name].planner}
        projects[name] = projects[name].model_copy(update=asked)
    if any(not reviewed for _, reviewed in applied.values()):
        # The plans of such a job are for itself: nobody reviews them.
        projects = {name: project.model_copy(update={"record": None}) for name, project in projects.items()}
    own = frozenset(run.run_id for run in facts.ledger.runs if run.job == job_name and run.intent == intent)
    command = next(iter(configuration.jobs[job_name].on.command), None)
    starter = _Starter(job_name, intent, own, None if is_named or command is None else command)
    judged = verdicts_of(facts, configuration, job_name, [order.order_name or "" for order in job.orders])
    lacking = {name: unmet(verdicts) for name, verdicts in judged.items() if unmet(verdicts)}
    refused: dict[str, str] = {}
    done: dict[str, str] = {}
    was_applied: set[str] = set()
    stale: set[str] = set()
    merged: dict[str, dict[str, str | None]] = {}
    for order in job.orders:
        name = order.order_name or ""
        if name in lacking:
            refused[name] = _UNMET
        if name not in applied:
            continue
        state, reviewed = applied[name]
        projects[name] = state.project(repository, number).model_copy(update={"applies": True})
        if not reviewed:
            continue
        plan = _reviewed(state, projects[name], facts, starter)
        if plan.done is not None:
            done[name] = plan.done
            refused.pop(name, None)
            was_applied |= {name} if plan.was_applied else set()
        elif plan.refused is not None or plan.record is None:
            refused[name] = plan.refused or ""
            stale |= {name} if plan.is_stale else set()
        else:
            saved = plan.record.saved.model_copy(update={"usable_until": plan.record.usable_until})
            made_by = plan.record.planner if saved.planned.destroys else projects[name].planner
            projects[name] = projects[name].model_copy(update={"saved": saved, "planner": made_by})
            merged[name] = {"merge_into": plan.record.merge_into, "merge_commit": plan.record.merge_commit}
            merged[name] |= _code_of(plan.record, facts)
    refused = _taking(job, done) | refused
    idle = _idle_overrides(job, done)
    job = _bridged(job, idle)
    refused |= _after(job, refused, done)
    refused, done = _with_preparing(job, applied, refused, done)
    done |= {name: f"{name} has nothing to override" for name in idle if name not in refused}
    left = [order for order in job.orders if order.order_name not in refused and order.order_name not in done]
    # The code of a plan of the merged result is that merge, also if the base branch has newer commits now.
    left = [order.model_copy(update=merged.get(order.order_name or "", {})) for order in left]
    present = {order.order_name for order in left}
    if len(left) < len(job.orders):
        left = [
            order.model_copy(update={"dependencies": [name for name in order.dependencies if name in present]})
            for order in left
        ]
    left = [_with_overrides_of(order, present) for order in left]
    rest = job if left == job.orders else job.model_copy(update={"orders": left})
    chosen = {name: one for name, one in projects.items() if name in present}
    return Chosen(
        rest if left else None,
        chosen,
        {name: reason for name, reason in refused.items() if reason != _UNMET},
        done,
        frozenset(was_applied),
        {name: lacking[name] for name in refused if name in lacking},
        {name: state.label for name, (state, _) in applied.items()},
        frozenset(stale),
    )


def _not_now(state: PlannedState, facts: Facts) -> str | None:
    """Return why a plan is not applied before, or after, the merge; None if this is its time."""
    if facts.merge is None and state.after_merge:
        return f"{state.label} is applied by itself after the merge; merge the pull request"
    if facts.merge is not None and not state.after_merge:
        return f"{state.label} is applied before the merge only, and the pull request is merged; open another one"
    return None


def _code_of(record: PlanRecord, facts: Facts) -> dict[str, str | None]:
    """Return the code of a plan that may be of another commit than the run that applies it."""
    if record.commit == facts.commit:
        return {}
    of_head = facts.pull is not None and record.commit == facts.pull.head_sha
    return {"git_repo": facts.head_repository if of_head else None, "commit_hash": record.commit}


def _dependents(job: Job) -> dict[str, list[str]]:
    dependents: dict[str, list[str]] = {}
    for order in job.orders:
        for other in order.dependencies:
            dependents.setdefault(other, []).append(order.order_name or "")
    return dependents


def _with_preparing(
    job: Job, applied: Collection[str], refused: Mapping[str, str], done: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return both with the orders that apply no plan and whose dependents all do not run.

    Alone, an order that stops something before an apply would leave it stopped.
    """
    dependents, refused, done = _dependents(job), dict(refused), dict(done)
    waiting = [*refused, *done]
    by_name = {order.order_name or "": order for order in job.orders}
    while waiting:
        after = waiting.pop()
        for name in by_name[after].dependencies:
            if name in applied or name in refused or name in done:
                continue
            if not all(one in refused or one in done for one in dependents[name]):
                continue
            first = next((one for one in dependents[name] if one in refused), None)
            if first is not None:
                refused[name] = f"{name} comes before {first}, which is not applied"
            else:
                done[name] = f"{name} comes before {after}, which has nothing left to do"
            waiting.append(name)
    return refused, done


def _after(job: Job, refused: Mapping[str, str], done: Mapping[str, str]) -> dict[str, str]:
    """Return the orders that come after refused ones, directly or through others, with the reason."""
    dependents = _dependents(job)
    found: dict[str, str] = {}
    waiting = list(refused)
    while waiting:
        before = waiting.pop()
        for name in dependents.get(before, ()):
            if name not in refused and name not in done and name not in found:
                found[name] = f"{name} comes after {before}, which is not applied"
                waiting.append(name)
    return found


def _taking(job: Job, done: Collection[str]) -> dict[str, str]:
    """Return the orders that need something of an order that does not run, with the reason."""
    run = {order.order_name for order in job.orders} - set(done)
    found: dict[str, str] = {}
    for order in job.orders:
        name = order.order_name or ""
        missing = sorted(one for one in {*taken(order), *order.when} if one not in run)
        if name in run and missing:
            needed = "takes something of" if missing[0] in taken(order) else "runs if something is changed by"
            found[name] = f"{name} {needed} {missing[0]}, which does not run"
    return found


def _idle_overrides(job: Job, done: Collection[str]) -> list[str]:
    """Return the approvals that override only orders with nothing left to do: nobody is asked then."""
    return [
        order.order_name or ""
        for order in job.orders
        if order.approval is not None and order.approval.overrides and set(order.approval.overrides) <= set(done)
    ]


def _bridged(job: Job, idle: Collection[str]) -> Job:
    """Return the job without the orders ``idle``; what depends on one depends on its dependencies instead."""
    orders = list(job.orders)
    for name in idle:
        (gone,) = (order for order in orders if order.order_name == name)
        orders = [_depends_on(order, name, gone.dependencies) for order in orders if order is not gone]
    return job.model_copy(update={"orders": orders}) if idle else job


def _depends_on(order: Order, old: str, new: Sequence[str]) -> Order:
    if old not in order.dependencies:
        return order
    names = [one for name in order.dependencies for one in (new if name == old else [name])]
    return order.model_copy(update={"dependencies": list(dict.fromkeys(names))})


def _with_overrides_of(order: Order, present: Collection[str | None]) -> Order:
    """Return an approval that overrides nothing that does not run: a run cannot name it."""
    approval = order.approval
    if approval is None or all(name in present for name in approval.overrides):
        return order
    overrides = [name for name in approval.overrides if name in present]
    return order.model_copy(update={"approval": approval.model_copy(update={"overrides": overrides})})


def _done_by(record: PlanRecord | None, known: ProjectState | None, facts: Facts) -> str | None:
    """Return the run that applied the plan of this commit, None if none did."""
    last = known.last if known is not None and not known.applying else None
    if record is None or last is None or not _is_present(record, facts) or last.status != "succeeded":
        return None
    return last.run_id if last.plan_sha256 == record.saved.planned.sha256 else None


@dataclass(frozen=True, slots=True)
class _Starter:
    """The command that is to apply plans: its job and intent, and the runs that it has started already.

    ``unnamed`` is the word of a command that names nothing, None for any other start.
    """

    job: str
    intent: str
    own: frozenset[str]
    unnamed: str | None = None


@dataclass(frozen=True, slots=True)
class _Reviewed:
    """What becomes of a reviewed plan: it is applied, or it is refused or done, with the reason."""

    record: PlanRecord | None
    refused: str | None = None
    done: str | None = None
    was_applied: bool = False
    is_stale: bool = False


def _reviewed(state: PlannedState, project: OrderProject, facts: Facts, starter: _Starter) -> _Reviewed:
    record = facts.plans.records.get(project.record or "")
    known = facts.plans.states.get(keys.project_state(project.key))
    if (why := _not_now(state, facts)) is not None:
        return _Reviewed(record, refused=why)
    if facts.merge is not None and record is not None and (why := _not_as_planned(state, record, facts)) is not None:
        return _Reviewed(record, refused=f"{why}; {_again(state, record, facts)}", is_stale=True)
    if (by := _done_by(record, known, facts)) is not None and by not in starter.own:
        return _Reviewed(record, done=f"{state.label} was applied by run {by}", was_applied=True)
    if (other := _applied_by_another(record, facts, starter)) is not None:
        return _Reviewed(record, refused=f"the plan of {state.label} is being applied by {other}; wait for its end")
    reason = _problem(state, record, known, facts, starter.own)
    if reason is None and record is not None and record.changes is not None and record.changes.is_nothing:
        # Its apply would make other pull requests' plans stale for nothing.
        return _Reviewed(record, done=f"the plan of {state.label} has no changes")
    if reason is None and record is not None and record.saved.planned.destroys and starter.unnamed is not None:
        named = f"{PREFIX} {starter.unnamed} {state.own_name}"
        return _Reviewed(record, refused=f"the plan of {state.label} destroys all that it has; apply it with {named}")
    if reason is None and record is not None and _is_unseen(record, facts) and not _is_own(known, record, starter.own):
        why = f"the plan of {state.label} was made after the comment was written; read it, and write the command again"
        return _Reviewed(record, refused=why)
    return _Reviewed(record, refused=reason, is_stale=reason is not None)


def _is_unseen(record: PlanRecord, facts: Facts) -> bool:
    """Return whether a plan was made after the comment that applies it, in whole seconds: hosts round some times."""
    return facts.comment is not None and record.planned_at.replace(microsecond=0) > facts.comment.created_at


def _applied_by_another(record: PlanRecord | None, facts: Facts, starter: _Starter) -> str | None:
    """Return another command of this pull request that applies the plan, None if there is none."""
    if record is None or not _is_present(record, facts):
        return None
    other = facts.plans.other_applier(starter.job, record.saved.planned.sha256, starter.intent)
    return other.name if other is not None else None


def _is_present(record: PlanRecord, facts: Facts) -> bool:
    """Return whether a plan is of the present commit; after the merge its content counts, which was compared before."""
    return facts.merge is not None or record.commit == facts.commit


def _again(state: PlannedState, record: PlanRecord | None, facts: Facts) -> str:
    """Return the way on from a plan that is not applied, None for one that does not exist."""
    if facts.merge is not None and facts.merge.by_itself:
        return f"it is planned at {facts.merge.newest[:12]}"
    destroys = record is not None and record.saved.planned.destroys
    return plan_again((state.destroyer if destroys else None) or state.planner)


def _not_as_planned(state: PlannedState, record: PlanRecord, facts: Facts) -> str | None:
    """Return why a plan is not of what the base branch has after the merge, or was not reviewed; None if it is both.

    Other conditions are those of every plan.
    """
    merge, pull = facts.merge, facts.pull
    if merge is None or pull is None:
        return None
    name, at = state.label, f"{pull.base_branch} at {merge.newest[:12]}"
    if merge.by_itself and (merge.seen is None or record.planned_at > merge.seen.at):
        return f"the plan of {name} was made after the merge, and no person has reviewed it"
    if merge.by_itself and not facts.trusted:
        return f"the plan of {name} is of a commit that no longer has the approval that outside contributors need"
    differing = merge.differing.get(record.key)
    if differing is None:
        why = merge.incomparable.get(record.key, "its commit was not read")
        return f"the plan of {name} cannot be compared with {at}: {why}"
    paths = sorted(path for path in differing if state.reads is None or matches(state.reads, path))
    if not paths:
        return None
    shown = ", ".join(path[:_PATH_CHARS] for path in paths[:_PATHS])
    more = f" and {len(paths) - _PATHS} more" if len(paths) > _PATHS else ""
    return f"{at} differs from what was planned of {name}, in {shown}{more}"


def _problem(
    state: PlannedState, record: PlanRecord | None, known: ProjectState | None, facts: Facts, own: Collection[str]
) -> str | None:
    """Return why a plan may not be applied, in its own words and with the way on; None if it may."""
    name, planner, again = state.label, state.planner, _again(state, record, facts)
    if record is None and facts.merge is not None:
        return f"{name} has no plan in this pull request; {again}"
    if record is None:
        return f"{name} has no plan in this pull request; wait for the run that plans it, or plan it with {planner}"
    if record.saved.planned.problem is not None:
        return f"the plan of {name} cannot be applied: {record.saved.planned.problem}; {again}"
    difference = next(_differences(state, record, facts), None)
    if difference is not None:
        return f"the plan of {name} is stale: {difference}; {again}"
    if record.usable_until <= facts.received_at:
        return f"the plan of {name} expired at {record.usable_until:%Y-%m-%d %H:%M} UTC; {again}"
    if may_apply(known, record.saved.generation) or _is_own(known, record, own):
        return None
    return what_came(name, known, record.saved.planned.sha256, again)


def _is_own(known: ProjectState | None, record: PlanRecord, own: Collection[str]) -> bool:
    """Return whether one of these runs has begun to apply the plan, and nothing came after it."""
    apply = (known.applying[-1] if known.applying else known.last) if known is not None else None
    return apply is not None and apply.run_id in own and apply.plan_sha256 == record.saved.planned.sha256


def _differences(state: PlannedState, record: PlanRecord, facts: Facts) -> Iterator[str]:
    """Yield what is different now from what a plan was made from."""
    base, workspace = facts.base_branch, record.saved.planned.workspace
    if not _is_present(record, facts):
        yield f"it is of commit {record.commit[:12]}, and the newest is {facts.commit[:12]}"
    if record.base != base:
        yield f"it was made for the base branch {record.base}, and that is {base} now"
    if record.configuration != facts.configuration_sha256:
        yield f"{FILE_NAME} on {base} has changed since"
    if record.saved.file != state.file:
        yield f"it is the file {record.saved.file}, and the order applies {state.file}"
    if state.checks_workspace and workspace != state.workspace:
        yield f"it is for the workspace {workspace or 'of an unknown name'}, not {state.workspace}"
