"""Folds the newest states of a job's orders on a commit into the status ``iac-ci/<job>``. Pure.

A required check speaks for the commit: a run of some orders changes their part of the status only, and one pull
request does not hide what another one with the same commit needs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.commit_job import CommitJob, JobOnPull, JobPart, Plans
from iac_ci_common.overrides import overridden
from iac_ci_common.states import RUN_TERMINAL, OrderState
from iac_ci_vcs.provider import CommitState
from iac_ci_vcs.reporting.commit_status import ORDER_STATES, cut
from iac_ci_vcs.reviews import OWN_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from iac_ci_common.models.commit_job import StalePlan
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_vcs.provider import CommitStatus

NOT_RUN: Final = "not_run"
"""Entry of an order that has not run on this commit."""

NOTHING: Final = "nothing"
"""State of an order that has nothing to do on this commit: the plan of its folder has no changes."""

WAITING_FOR_APPROVAL: Final = "waiting for an approval of this commit"
"""Description of the status ``iac-ci`` until a pull request of an outside contributor is approved."""

WAITS: Final = {"": OrderState.QUEUED.value}
"""The orders of a job that does not run yet; the next run of the whole job replaces the entry."""

COULD_NOT_START: Final = {"": OrderState.FAILED.value}
"""The orders of a job that could not be started; the next run of the whole job replaces the entry."""

_OPTIONAL: Final = "optional"
"""Word after the state of an order that may fail."""

_DESTROYED: Final = "destroyed"
"""Word after the state of an order that applied a plan to destroy."""

_CHANGES: Final = "changes"
"""Word of a plan that leaves something to apply."""

_SEVERITY: Final = (CommitState.SUCCESS, CommitState.PENDING, CommitState.ERROR, CommitState.FAILURE)
"""States, the worst last: an order that waits does not hide one that failed."""

_TERMINAL: Final = frozenset(state.value for state in ORDER_STATES)


MAX_TARGET_ORDERS: Final = 1000
"""Most orders of targets that are remembered of a job on a commit, those of the targets that ran last: a row has 400 KB
(Amazon DynamoDB Developer Guide, "Quotas")."""


def part_of_run(
    run: RunRow, orders: Sequence[OrderRow], not_run: Sequence[str] = (), target: str | None = None
) -> JobPart | None:
    """Return the part of a run; None for a run that no pull request's event or comment started.

    ``target`` is as in ``JobPart``.
    """
    report = run.report
    if report is None or report.number is None or report.scope is None:
        return None
    may_fail = overridden(orders)
    states = {order.order_name: _state(order, is_overridden=order.order_num in may_fail) for order in orders}
    return JobPart(
        report.number,
        report.scope.base,
        run.run_id,
        states,
        report.scope.whole,
        tuple(not_run),
        target=target,
        ended=run.status in RUN_TERMINAL,
    )


def plans_of_run(run: RunRow, orders: Sequence[OrderRow]) -> Plans | None:
    """Return the plans of the orders of a run that succeeded; None if no job waits for them."""
    report = run.report
    if report is None or report.number is None or report.scope is None or not report.scope.before_merge:
        return None
    job = run.job_name or ""
    found = {
        f"{job}/{order.order_name}": order.changes is None or not order.changes.is_nothing
        for order in orders
        if order.status is OrderState.SUCCEEDED
    }
    if not found:
        return None
    scope = report.scope
    return Plans(report.number, scope.base, run.run_id, found, scope.merge_when_applied, scope.appliers)


def plans_for(plans: Plans, job: str) -> Plans:
    """Return the plans as a job applies them: with its own orders of ``appliers``, by their names alone."""
    prefix = f"{job}/"
    own = {name.removeprefix(prefix): planner for name, planner in plans.appliers.items() if name.startswith(prefix)}
    return replace(plans, appliers=own)


def with_plans(job: CommitJob, plans: Plans) -> CommitJob:
    """Return the job with what the plans leave to do: an order that has not run has nothing to do without changes."""
    known = job.pulls.get(str(plans.number))
    if known is None or known.base != plans.base:
        return job
    orders = dict(known.orders)
    for name, planned_by in known.planned_by.items():
        has_changes = plans.changes.get(planned_by)
        if has_changes is not None and _waits(orders.get(name, "")):
            orders[name] = NOT_RUN if has_changes else f"{plans.source} {NOTHING}"
    changed = known.model_copy(update={"orders": orders, "planned": _planned(known, plans)})
    return job.model_copy(update={"pulls": job.pulls | {str(plans.number): changed}})


def _planned(known: JobOnPull, plans: Plans) -> dict[str, str]:
    """Return the newest plans of orders, where they are kept."""
    planned = dict(known.planned)
    for name, planner in {**plans.appliers, **known.planned_by}.items() if plans.are_kept else ():
        has_changes = plans.changes.get(planner)
        if has_changes is not None and _source(planned.get(name, NOT_RUN)) <= plans.source:
            planned[name] = f"{plans.source} {_CHANGES if has_changes else NOTHING}"
    return planned


def unapplied(pull: JobOnPull) -> str | None:
    """Return an order whose newest plan has changes that no run has applied since, None if there is none."""
    for name, plan in sorted(pull.planned.items()):
        entry = pull.orders.get(name, NOT_RUN)
        is_applied = not _waits(entry) and _source(entry) >= _source(plan)
        if not _is_nothing(plan) and not is_applied:
            return name
    return None


def is_green(job: CommitJob) -> bool:
    """Return whether the status of a job on a commit is success, for all pull requests with that commit."""
    return all(worst(map(_commit_state, pull.orders.values())) is CommitState.SUCCESS for pull in job.pulls.values())


def waits_for_pull_requests(job: CommitJob) -> bool:
    """Return whether the status of a job on a commit is pending, and no run that is open can end it."""
    entries = [(name, entry) for pull in job.pulls.values() for name, entry in pull.orders.items()]
    if worst(_commit_state(entry) for _, entry in entries) is not CommitState.PENDING:
        return False
    without_run = {OWN_CONTEXT, *WAITS}
    waiting = [(name, entry) for name, entry in entries if _commit_state(entry) is CommitState.PENDING]
    return all(entry == NOT_RUN or name in without_run for name, entry in waiting)


def forgiven(pull: JobOnPull) -> list[str]:
    """Return the orders that did not succeed and let the status be success all the same, sorted."""
    return sorted(name for name, entry in pull.orders.items() if _word(entry) in _UNSUCCESSFUL)


def destroyed(pull: JobOnPull) -> list[str]:
    """Return the orders that applied a plan to destroy, sorted."""
    return sorted(name for name, entry in pull.orders.items() if _DESTROYED in entry.split())


def succeeded(pull: JobOnPull) -> list[str]:
    """Return the orders that succeeded, sorted."""
    return sorted(name for name, entry in pull.orders.items() if _word(entry) == OrderState.SUCCEEDED.value)


def with_stale(job: CommitJob, stale: StalePlan) -> CommitJob:
    """Return the job with an order that has to plan again; the states of a newer run stay."""
    known = job.pulls.get(str(stale.number))
    if known is None or known.base != stale.base or _source(known.orders.get(stale.order, "")) != stale.run_id:
        return job
    changed = known.model_copy(update={"orders": known.orders | {stale.order: NOT_RUN}})
    return job.model_copy(update={"pulls": job.pulls | {str(stale.number): changed}})


def entered(job: CommitJob, part: JobPart) -> CommitJob:
    """Return the job with the states of a part, except where a newer run or base branch has replaced them.

    Entering a part again changes nothing.
    """
    known = job.pulls.get(str(part.number))
    if known is not None and known.base != part.base:
        if known.since > part.source:
            return job
        known = None
    if known is None:
        known = JobOnPull(base=part.base, since=part.source)
    orders = dict(known.orders)
    is_newest = part.source >= (known.whole or "")
    if part.whole and is_newest:
        orders = {name: entry for name, entry in orders.items() if name in part.orders or _source(entry) > part.source}
    for name, state in part.orders.items():
        if (name in orders or is_newest) and _replaces(part.source, state, orders.get(name, NOT_RUN)):
            orders[name] = f"{part.source} {state}"
    if part.not_run and part.source >= known.since:
        orders = {name: entry for name, entry in orders.items() if not _waits(entry) or name in part.not_run}
    for name in part.not_run:
        orders.setdefault(name, NOT_RUN)
    whole = part.source if part.whole and is_newest else known.whole
    since = max(known.since, part.source)
    planned_by = dict(part.planned_by) or known.planned_by
    changed = known.model_copy(
        update={
            "orders": orders,
            "since": since,
            "whole": whole,
            "planned_by": planned_by,
            "targets": _targets(known, part),
        }
    )
    return job.model_copy(update={"pulls": job.pulls | {str(part.number): changed}})


def _targets(known: JobOnPull, part: JobPart) -> dict[str, tuple[str, ...]]:
    """Return the targets with a status of their own and their orders, that of the part at the end."""
    if part.target is None:
        return known.targets
    others = {target: names for target, names in known.targets.items() if target != part.target}
    targets = {**others, part.target: tuple(sorted(part.orders))}
    left = MAX_TARGET_ORDERS
    kept = []
    for target, names in reversed(targets.items()):
        left -= len(names)
        if left < 0:
            break
        kept.append((target, names))
    return dict(reversed(kept))


def other_targets(job: CommitJob, part: JobPart, own: CommitStatus) -> list[CommitStatus]:
    """Return the statuses of earlier targets whose orders a run that has ended ran again, by their newest states.

    A target that failed would otherwise stay red beside a job that is green.
    """
    pull = job.pulls[str(part.number)]
    if not part.ended:
        return []
    found = []
    for target, names in pull.targets.items():
        entries = [pull.orders[name] for name in names if name in pull.orders]
        if target != part.target and not part.orders.keys().isdisjoint(names) and entries:
            text = f"{_counts(entries)} (the newest state of each order)"
            context = f"{own.context}/{target}"
            found.append(replace(own, context=context, state=worst(map(_commit_state, entries)), description=cut(text)))
    return found


def folded(job: CommitJob, part: JobPart, own: CommitStatus) -> CommitStatus:
    """Return the status of a job on a commit: the worst over all orders of all pull requests with that commit.

    ``own`` is the status that the part alone would have. It counts if the part is all that there is.
    """
    pull = job.pulls[str(part.number)]
    ours = pull.orders
    state = worst(map(_commit_state, ours.values()))
    for number, other in sorted(job.pulls.items()):
        theirs = worst(map(_commit_state, other.orders.values()))
        if number != str(part.number) and _SEVERITY.index(theirs) > _SEVERITY.index(state):
            counts = _counts(other.orders.values()) if own.context != OWN_CONTEXT else WAITING_FOR_APPROVAL
            text = f"pull request {number} has the same commit: {counts}"
            return replace(own, state=theirs, description=cut(text))
    # A run that ends after an event has said that the job has nothing to do changes nothing of that.
    is_newest = bool(ours) or part.source >= pull.since
    if is_newest and all(_source(entry) == part.source and not _is_nothing(entry) for entry in ours.values()):
        return own
    return replace(own, state=state, description=cut(_text(own.context, ours.values(), state)))


def folded_of_all(job: CommitJob, own: CommitStatus) -> CommitStatus:
    """Return the status of a job on a commit as all pull requests with that commit make it, for none in particular.

    Of ``own``, the commit and the context are used.
    """
    found = [(worst(map(_commit_state, pull.orders.values())), pull) for _, pull in sorted(job.pulls.items())]
    state, pull = max(found, key=lambda one: _SEVERITY.index(one[0]))
    return replace(own, state=state, description=cut(_text(own.context, pull.orders.values(), state)))


def _text(context: str, entries: Collection[str], state: CommitState) -> str:
    if context == OWN_CONTEXT:
        return "approved" if state is CommitState.SUCCESS else WAITING_FOR_APPROVAL
    word = context.rpartition("/")[2]
    if not entries:
        return f"nothing to {word}"
    done = sum(_is_nothing(entry) for entry in entries)
    if done == len(entries):
        return f"nothing to {word}: no plan has changes"
    if state is CommitState.PENDING and NOT_RUN in entries:
        left = sum(_commit_state(entry) is not CommitState.SUCCESS for entry in entries)
        return f"{left} of {len(entries) - done} orders to {word}"
    return f"{_counts(entries)} (the newest state of each order)"


def worst(states: Iterable[CommitState]) -> CommitState:
    """Return the worst of the states; success if there is none."""
    return max(states, key=_SEVERITY.index, default=CommitState.SUCCESS)


def _state(order: OrderRow, *, is_overridden: bool) -> str:
    # That an order was not needed, or that a person has overridden its failure, is as good as its success.
    needed = order.must_succeed and not order.not_needed and not is_overridden
    words = [order.status.value, *(() if needed else (_OPTIONAL,))]
    project = order.project
    if project is not None and project.saved is not None and project.saved.planned.destroys:
        words.append(_DESTROYED)
    return " ".join(words)


def _replaces(source: str, state: str, entry: str) -> bool:
    if _is_nothing(entry):
        return True
    if _source(entry) != source:
        return _source(entry) < source
    # The first report of a run may arrive after its last.
    return state.split()[0] in _TERMINAL or entry.split()[1] not in _TERMINAL


def _source(entry: str) -> str:
    return "" if entry == NOT_RUN else entry.split()[0]


def _word(entry: str) -> str:
    """Return the state of an entry."""
    return entry.partition(" ")[2].partition(" ")[0]


def _is_nothing(entry: str) -> bool:
    return entry.endswith(f" {NOTHING}")


def _waits(entry: str) -> bool:
    return entry == NOT_RUN or _is_nothing(entry)


def _commit_state(entry: str) -> CommitState:
    if entry == NOT_RUN:
        return CommitState.PENDING
    if _is_nothing(entry):
        return CommitState.SUCCESS
    _, state, *words = entry.split()
    if state in _TERMINAL and _OPTIONAL in words:
        return CommitState.SUCCESS
    # A state that a newer version wrote is not known here, and is no success.
    return ORDER_STATES.get(OrderState(state), CommitState.PENDING) if state in _STATES else CommitState.PENDING


_STATES: Final = frozenset(state.value for state in OrderState)
_UNSUCCESSFUL: Final = _TERMINAL - {OrderState.SUCCEEDED.value, OrderState.SKIPPED.value}


def _counts(entries: Iterable[str]) -> str:
    counts = Counter("not run" if entry == NOT_RUN else entry.split()[1] for entry in entries)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
