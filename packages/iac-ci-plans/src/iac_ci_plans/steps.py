"""What is known of each plan and apply in a log, and their sums: pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.models.changes import Changes, Done, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from iac_ci_plans.blocks import Block

Counts = dict[str, int]

_MAX_COUNT: Final = 1_000_000
_SUMMED: Final = (
    "add", "change", "destroy", "bring_in", "replace", "forget", "moved", "read", "outputs", "actions", "drift",
    "outside", "deferred",
)  # fmt: skip
_OF_THE_PLAN: Final = ("replace", "forget", "moved", "read", "outputs", "actions", "deferred")
"""Counts that the summary of an apply may not have; its plan has them."""


@dataclass(slots=True)
class Step:
    """One plan, one apply, or a plan and its apply, of one root module."""

    unit: bytes
    planned: Counts | None = None
    document: Counts | None = None
    applied: Counts | None = None
    says_nothing: bool = False
    """True if the tool itself said that nothing changes."""
    ended: bool = False
    """True if the last lines of the command `plan` were printed: an apply that follows is another step."""
    is_made: bool = False
    """True if the command makes plans and shows none again, so that this is a plan of its own."""
    is_stream: bool = False
    """True if the step was read from records of ``-json``."""
    is_long: bool = False
    """True if the addresses of some of its resources are not in ``mark``."""
    tally: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    outputs: int = 0
    written_outputs: int = 0
    """Outputs that the records of an apply list with their values, changed or not."""
    mark: int = 0
    """A number that is the same for the same changes in any order."""
    blocks: list[Block] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Return whether more resources may belong to this step's plan."""
        has_summary = self.planned is not None or self.document is not None or self.applied is not None
        return not (has_summary or self.done or self.outputs)

    @property
    def takes_apply(self) -> bool:
        """Return whether an apply that follows belongs to this step."""
        if self.applied is not None:
            return False
        begun = self.planned is not None or (self.is_stream and bool(self.tally))
        return bool(self.done) or (begun and not self.ended)

    @property
    def is_proven(self) -> bool:
        """Return whether the resources of the plan have the counts of its summary, or the apply those of its lines."""
        if self.document is not None:
            return True
        if self.planned is not None and self.tally:
            seen, summary = from_tally(self.tally), self.planned
            return all(seen[name] == summary.get(name, 0) for name in ("add", "change", "destroy"))
        return self.applied is not None and bool(self.done)

    @property
    def has_counts(self) -> bool:
        """Return whether the step says what changes."""
        return any(one is not None for one in (self.planned, self.document, self.applied)) or bool(self.done)

    def plan_counts(self) -> Counts:
        """Return the counts of the plan: those of its document, or else of its summary and its resources."""
        if self.document is not None:
            return self.document
        seen = from_tally(self.tally)
        counts = {**seen, "outputs": self.outputs}
        for name, count in (self.planned or {}).items():
            counts[name] = max(count, seen.get(name, 0)) if name in {"forget", "actions", "deferred"} else count
        if self.says_nothing:
            counts["drift"] = 0
        return counts


def from_tally(tally: Mapping[str, int]) -> Counts:
    """Return the counts of resources by what happens to them; a replacement is an addition and a destruction."""
    replaced = tally.get("replace", 0)
    forgetting = tally.get("replace and forget", 0)
    return {
        "add": tally.get("create", 0) + replaced + forgetting,
        "change": tally.get("update", 0),
        "destroy": tally.get("delete", 0) + replaced,
        "bring_in": tally.get("bring_in", 0),
        "replace": replaced + forgetting,
        "forget": tally.get("forget", 0) + forgetting,
        "moved": tally.get("move", 0),
        "read": tally.get("read", 0),
        "actions": tally.get("invoke", 0),
        "drift": tally.get("drift", 0),
        "deferred": tally.get("defer", 0),
    }


def numbers(read: Mapping[str, Any]) -> Counts | None:
    """Return counts that a tool printed, None if one of them is no number."""
    try:
        return {name: min(max(int(count or 0), 0), _MAX_COUNT) for name, count in read.items()}
    except (TypeError, ValueError, OverflowError):
        return None


def counted(steps: Iterable[Step]) -> list[Step]:
    """Return the steps that count: without the repetitions of `show`, and without lines that only look like a plan.

    Commands may print anything. Where a document or a whole plan proves what a root module's plan is, a summary alone
    is text of another origin, for example an output's value.
    """
    by_unit: dict[bytes, list[Step]] = {}
    for step in steps:
        if step.has_counts:
            by_unit.setdefault(step.unit, []).append(step)
    return [step for found in by_unit.values() for step in _of_unit(found)]


def _of_unit(steps: Sequence[Step]) -> list[Step]:
    if any(step.is_proven for step in steps):
        steps = [step for step in steps if step.is_proven or not _is_bare(step)]
    kept: list[Step] = []
    for step in steps:
        is_own = step.ended or step.is_made or step.is_stream
        shown_again = not is_own and step.applied is None and not step.done
        if shown_again and (step.mark or step.is_long) and any(_is_same(step, other) for other in kept):
            continue
        kept.append(step)
    return kept


def _is_bare(step: Step) -> bool:
    """Return whether the step is nothing but a summary with changes."""
    if step.tally or step.outputs or step.done or step.document is not None:
        return False
    summary = step.applied if step.applied is not None else step.planned
    return any((summary or {}).values())


def _is_same(step: Step, other: Step) -> bool:
    marked = step.mark == other.mark or step.is_long
    return marked and step.outputs == other.outputs and step.tally == other.tally


def changes_of(steps: Sequence[Step]) -> Changes | None:
    """Return the sums over the steps that count; None if there is none.

    Applied changes have precedence over planned ones. What an apply did that has no summary, because it failed, is
    in ``done``; without another apply the counts are then those of its plan.
    """
    if not steps:
        return None
    applied = [step for step in steps if step.applied is not None]
    failed = [step for step in steps if step.applied is None and step.done]
    unused = [step for step in steps if step.planned is not None and step.applied is None and not step.done]
    if applied:
        sums = _sum([_applied_counts(step, unused) for step in applied])
        operation, count = Operation.APPLIED, len(applied)
    else:
        sums = _sum([step.plan_counts() for step in steps])
        planned = [step for step in steps if step.planned is not None or step.document is not None]
        operation, count = (Operation.PLANNED, len(planned)) if planned else (Operation.APPLIED, len(failed))
    done = Done(**_sum([step.done for step in failed], ("add", "change", "destroy", "bring_in"))) if failed else None
    return Changes(operation=operation, plans=max(count, 1), done=done, **sums)


def _applied_counts(step: Step, unused: list[Step]) -> Counts:
    """Return the counts of an apply, with those that only its plan has, which may be a step of its own.

    The records of an apply of a saved plan do not say which outputs change. Without its plan, all that they list count
    if a resource changes, because an apply that changes nothing lists them too.
    """
    summary = step.applied or {}
    plan = step if step.planned is not None or step.document is not None else None
    if plan is None:
        names = ("add", "change", "destroy")
        for other in unused:
            counts = other.plan_counts()
            if other.unit == step.unit and all(counts.get(name, 0) == summary.get(name, 0) for name in names):
                plan = other
                unused.remove(other)
                break
    own = (plan or step).plan_counts()
    if plan is None and any(summary.values()):
        own["outputs"] = max(step.outputs, step.written_outputs)
    return {name: own.get(name, 0) for name in _OF_THE_PLAN} | summary


def _sum(found: Sequence[Mapping[str, int]], names: Sequence[str] = _SUMMED) -> Counts:
    return {name: sum(one.get(name, 0) for one in found) for name in names}
