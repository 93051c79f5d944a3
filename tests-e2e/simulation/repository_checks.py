"""The promises about a repository: planned minutes, plans that are made again, and applies after a merge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.states import RUN_TERMINAL
from simulation.graphs import REPOSITORY
from simulation.repository import SCHEDULED
from simulation.repository_plan import TICK_SECONDS
from simulation.scheduler import EPOCH

if TYPE_CHECKING:
    from iac_ci_common.models.saved_plan import PlanRecord, ProjectState
    from simulation.repository import Repository
    from simulation.world import World

_MERGED, _AGAIN = "applied because pull request ", "planned again because run "
_LEDGER = keys.schedule_ledger(REPOSITORY.removeprefix("https://").removesuffix(".git"))


class RepositoryChecks:
    """Watches the runs that events and ticks of a repository start; ``broken`` notes a broken promise."""

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world, self._broken = world, broken
        self._minutes: dict[datetime, str] = {}
        self._causes: dict[tuple[int | None, str], str] = {}

    @property
    def _repository(self) -> Repository | None:
        return self._world.repository

    def run_inserted(self, run: RunRow) -> None:
        """Check a run as its row is written for the first time: nothing else was started for the same reason."""
        self._of_schedule(run)
        because = _because(run)
        if because is None or not because.startswith((_MERGED, _AGAIN)):
            return
        # Two projects of one apply or merge would be told apart by their names, which follow.
        cause = (_pull(run), because)
        if self._causes.setdefault(cause, run.run_id) != run.run_id:
            name = "a merge starts its applies once" if because.startswith(_MERGED) else "an apply replans a plan once"
            self._broken(name, f"{cause}: {self._causes[cause]} and {run.run_id}")

    def _of_schedule(self, run: RunRow) -> None:
        minute = run.planned_for
        if minute is None:
            return
        if self._minutes.setdefault(minute, run.run_id) != run.run_id:
            self._broken("a planned minute starts once", f"{minute}: {self._minutes[minute]} and {run.run_id}")
        if minute > self._world.scheduler.true_time() + timedelta(seconds=10):
            self._broken("no planned minute starts before it has come", f"{run.run_id}: {minute}")
        for other in self._world.runs.run_rows.values():
            if other.run_id != run.run_id and other.planned_for is not None and other.status not in RUN_TERMINAL:
                self._broken("a schedule's runs do not overlap", f"{run.run_id} beside {other.run_id}")

    def commands_start(self, row: OrderRow) -> None:
        """Check an apply of a reviewed plan: it is of its run's commit, or of what the base branch has had since."""
        repository, project = self._repository, row.project
        if repository is None or project is None or not project.applies or project.saved is None:
            return
        runs = self._world.runs.run_rows
        run, planned = runs[row.run_id], runs.get(project.saved.run_id)
        number = _pull(run)
        if planned is None or planned.commit_hash is None or number is None:
            return
        about = f"{row.run_id}/{row.order_num} applies the plan of {planned.run_id}"
        if _pull(planned) != number:
            self._broken("a pull request applies its own plans", about)
        merged_at = repository.merged_at.get(number)
        if not repository.applies_after_merge:
            if planned.commit_hash != run.commit_hash:
                self._broken("a plan of the run's commit is applied", about)
        elif merged_at is None:
            self._broken("nothing is applied before the merge", about)
        else:
            since = {repository.content(commit) for commit in repository.main[merged_at:]}
            if repository.content(planned.commit_hash) not in since:
                self._broken("what is applied after a merge is what was merged", about)

    def at_end(self) -> None:
        """Check what nothing may be missing of where nothing failed."""
        world, repository = self._world, self._repository
        if repository is None:
            return
        self._started_or_left_out()
        if not world.faults.profile.is_calm or world.is_disturbed:
            return
        for record in world.plans.plan_records.values():
            pull = repository.host.pulls.get(record.pull_request)
            state = world.plans.project_states.get(keys.project_state(record.project))
            if pull is None or not pull.is_open or pull.head_sha != record.commit or state is None:
                continue
            if record.saved.generation != state.generation and not self._was_replanned(record, state):
                about = f"pull request {record.pull_request}: {record.saved.generation} of {state.generation}"
                self._broken("a stale plan is made again", about)

    def _was_replanned(self, record: PlanRecord, state: ProjectState) -> bool:
        """Return whether the last apply of a project has started a run for a plan, or has applied the plan itself."""
        if state.last is None or state.last.plan_sha256 == record.saved.planned.sha256:
            return True
        runs = (run for run in self._world.runs.run_rows.values() if _pull(run) == record.pull_request)
        return any(f"{_AGAIN}{state.last.run_id} " in f"{_because(run)} " for run in runs)

    def _started_or_left_out(self) -> None:
        """Check that a planned minute is started or left out, and where nothing failed, that it is one of them."""
        ledger = self._world.ledgers.ledgers.get(_LEDGER)
        known = ledger.schedule(SCHEDULED) if ledger is not None else None
        repository = self._repository
        if ledger is None or known is None or repository is None:
            return
        spans: dict[datetime, int] = defaultdict(int)
        for one in ledger.left_out:
            minute = one.first
            while minute <= one.last:
                spans[minute] += 1
                minute += timedelta(seconds=TICK_SECONDS)
        for minute in spans.keys() & self._minutes.keys():
            self._broken("a planned minute is not left out and started", f"{minute}: {ledger.left_out}")
        if not self._world.faults.profile.is_calm:
            return
        read = min(repository.ticked)
        minute = EPOCH + timedelta(seconds=(read // TICK_SECONDS + 1) * TICK_SECONDS)
        while minute <= known.decided:
            if minute not in spans and minute not in self._minutes:
                self._broken("a planned minute starts or is left out", f"{minute}: {ledger.left_out}")
            minute += timedelta(seconds=TICK_SECONDS)
        last = EPOCH + timedelta(seconds=max(repository.ticked) // TICK_SECONDS * TICK_SECONDS)
        if last >= EPOCH + timedelta(seconds=(read // TICK_SECONDS + 1) * TICK_SECONDS) and known.decided < last:
            self._broken("a planned minute starts or is left out", f"{last}: decided up to {known.decided}")


def _because(run: RunRow) -> str | None:
    scope = run.report.scope if run.report is not None else None
    return scope.because if scope is not None else None


def _pull(run: RunRow) -> int | None:
    return run.report.pull_request if run.report is not None else None
