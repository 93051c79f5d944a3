"""The promises, each a check with a name. A broken one raises ``Violation`` with that name."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from iac_ci_common import keys
from iac_ci_common.approvals import result_key
from iac_ci_common.errors import IacCiError
from iac_ci_common.graph import Readiness, readiness
from iac_ci_common.limits import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    MERGE_SECONDS,
    SHORT_GRACE_SECONDS,
    WORKER_LAMBDA_SECONDS,
)
from iac_ci_common.models.announcement import Announcement
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.models.trade import Refusal, Trade, TradeAnswer
from iac_ci_common.states import OPEN, RUN_TERMINAL, TERMINAL, OrderState, check_order_transition, check_run_transition
from iac_ci_common.tickets import digest
from iac_ci_worker.decide import LATE_SECONDS, Ending, Outcome
from simulation import scheduler
from simulation.graphs import COMMIT
from simulation.group_checks import GroupChecks
from simulation.merges import NUMBER, ended_well, has_succeeded, runs_of
from simulation.repository_checks import RepositoryChecks
from simulation.scheduler import EPOCH, Process
from simulation.world import POLL_SECONDS, World

BOUND_SECONDS = WORKER_LAMBDA_SECONDS + 600.0
"""Every accepted run has ended so long after its deadline: the longest life of a function whose death nobody reported,
a grace, a few polls, one round of Lambda's retries."""

DISPATCH_SECONDS = LEASE_SECONDS + 4 * POLL_SECONDS
"""No order stays `dispatching` longer than this once the world works again."""


NOTICED_SECONDS = 2 * POLL_SECONDS + 150.0
"""A worker that died is noticed after so long: two polls, an event that comes late, a pass."""

TOLD_SECONDS = {"build": POLL_SECONDS + 45.0, "worker": 121.0 + 45.0}
"""The result of a worker that died is written after so long: a build's by the next poll, a function's when Lambda's
record arrives, which may be late; then the calls of one check."""

UNWATCHED_SECONDS = 180.0
"""A pass that has found its run's watchdog running may start workers for so long after it has ended."""


STALE_SECONDS = 120.0
"""A pass may write so long after it has read a row."""

STOPPED_SECONDS = HEARTBEAT_SECONDS + 60.0
"""Commands that were asked to stop have ended so long after: a heartbeat, and a trade on a slow day."""


ASKING_SECONDS = 20.0
"""A late worker's commands start at most so long after they were asked to stop: it asks before, with slow calls."""


def written(run_id: str, order_num: str) -> str:
    """Return the output that an order writes."""
    return f"{run_id}/{order_num}"


class Violation(AssertionError):
    """A promise was broken."""

    def __init__(self, check: str, what: str) -> None:
        super().__init__(f"{check}: {what}")
        self.check = check


@dataclass(frozen=True)
class Accepted:
    """What the caller was told."""

    run_id: str
    trace_id: str


@dataclass(frozen=True)
class Begun:
    """What was there when a trade began: whose the claim was, and whether the run had been asked to stop."""

    claimed_by: str | None
    stop_asked: bool


class Checks:
    """Watches one simulated world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._states: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
        self._command_starts: Counter[tuple[str, str, int]] = Counter()
        self._changed: dict[tuple[str, str], bool] = {}
        self._commands_running: Counter[tuple[str, str]] = Counter()
        self._dispatch_transitions: Counter[tuple[str, str]] = Counter()
        self._accepted: dict[str, Accepted] = {}
        self._by_key: dict[str, str] = {}
        self._said: dict[tuple[str, str], tuple[int, OrderState]] = {}
        self._attempt: dict[tuple[str, str], int] = {}
        self._died: dict[tuple[str, str], tuple[float, str]] = {}
        self._preparation_died: dict[str, float] = {}
        self._told: dict[keys.ResultKey, float] = {}
        self._served: dict[str, str] = {}
        self._traders: dict[str, str] = {}
        self._present: dict[tuple[str, str, str], str] = {}
        self._stop_asked: dict[tuple[str, str | None], float] = {}
        self._stop_hastened: dict[tuple[str, str | None], float] = {}
        self._cancelled: dict[str, float] = {}
        self._grace_until: dict[tuple[str, str], float] = {}
        self._applied: set[tuple[str, int]] = set()
        self._answers: list[tuple[str, str, OrderState]] = []
        self._groups = GroupChecks(world, self._broken)
        self._repository = RepositoryChecks(world, self._broken)
        self._announced: dict[str, Announcement] = {}
        self._announced_at: dict[str, float] = {}
        world.announced = self.announced
        world.merged = self.merged
        world.process_ended = self.process_ended
        world.trade_begins = self.trade_begins
        world.runs.cancelled = self.cancelled
        world.runs.stop_asked = self.stop_asked
        world.runs.stop_hastened = self.stop_hastened
        world.build_stopped = self.build_stopped
        self.violations: list[Violation] = []
        self._mended: float | None = None
        world.row_written = self.row_written
        world.result_written = self.result_written
        world.idle = self.nobody_at_work
        world.worker_started = self.worker_started
        world.watchdog_started = self.watchdog_started

    # -- after every step --------------------------------------------------------------------------------------------

    def row_written(self, before: OrderRow | RunRow | None, after: OrderRow | RunRow) -> None:
        """Check one written row."""
        key = (after.run_id, after.order_num)
        self._states[key].append((self._world.scheduler.time, after.status.value))
        if isinstance(after, OrderRow):
            self._skipped(after)
            self._let_through(after)
        self._groups.row_written(before, after)
        if before is None:
            if isinstance(after, RunRow):
                self._repository.run_inserted(after)
            return
        if isinstance(before, OrderRow) and isinstance(after, OrderRow) and before.attempt != after.attempt:
            self._next_attempt(before, after)
        if before.status in (RUN_TERMINAL if isinstance(before, RunRow) else TERMINAL):
            self._broken("terminal states never change", f"{key}: {before.status} became {after.status}")
        if isinstance(after, RunRow):
            if before.status is not after.status:
                self._legal(key, lambda: check_run_transition(before.status, after.status))  # type: ignore[arg-type]
            return
        if after.status in TERMINAL and self._commands_running[key]:
            self._broken("no order ends while its commands run", f"{key}: {after.status} {after.reason}")
        if after.status is OrderState.DISPATCHING:
            self._dispatch_transitions[key] += 1
            self._room(after)
            if before.status is OrderState.QUEUED and after.approval is None:
                self._not_cancelled(after)
        elif before.status is not after.status:
            self._legal(key, lambda: check_order_transition(before.status, after.status))  # type: ignore[arg-type]

    def _next_attempt(self, before: OrderRow, after: OrderRow) -> None:
        """Check an order that gets another attempt."""
        about = f"{after.run_id}/{after.order_num}: attempt {after.attempt}"
        retry = self._order(after).get("retry") or {"attempts": 1, "on": []}
        if after.attempt != before.attempt + 1 or after.attempt > retry["attempts"]:
            self._broken("no more attempts than were asked for", f"{about} of {retry['attempts']}")
        body = self._world.objects.objects.get(keys.result(*before.attempt_key))
        result = Result.model_validate_json(body) if body is not None else None
        code = result.exit_code if result is not None else None
        named = code is not None and (128 - code if code < 0 else code) in retry["on"]
        if result is None or result.status is not OrderState.FAILED or result.reported_by is not Reporter.WORKER:
            self._broken("only a failed attempt is repeated", f"{about} follows {result and result.status}")
        elif not named:
            self._broken("only a failed attempt is repeated", f"{about} follows exit code {code}")
        asked = self._asked(after.run_id, after.order_num)
        if asked is not None and asked < self._world.scheduler.time - STALE_SECONDS:
            self._broken("nothing is repeated after a wish to stop", about)

    def _skipped(self, row: OrderRow) -> None:
        """Check that the reason for which an order is skipped is true."""
        if row.status is not OrderState.SKIPPED:
            return
        rows = self._world.runs.order_rows[row.run_id]
        before = [rows[num] for num in row.dependencies]
        unchanged = [one for one in before if one.order_num in row.when and one.status is OrderState.SUCCEEDED]
        causes = [one for one in unchanged if not self._changed.get((one.run_id, one.order_num), False)]
        causes += [one for one in before if one.not_needed]
        if not row.not_needed:
            causes = [one for one in before if one.status in TERMINAL - {OrderState.SUCCEEDED} and not one.not_needed]
        if not any((row.reason or "").startswith(f"{one.order_name} ") for one in causes):
            self._broken("an order is skipped for a true reason", f"{row.run_id}/{row.order_num}: {row.reason}")

    def _answer(self, run_id: str, order_num: str) -> Result | None:
        """Return the first answer to an order that waits for an approval."""
        bodies = self._world.objects.bodies.get(keys.answer(run_id, order_num)) or []
        return Result.model_validate_json(bodies[0]) if bodies else None

    def _let_through(self, row: OrderRow) -> None:
        """Check that an order with an approval succeeds by one, or because nothing failed that it overrides."""
        if row.approval is None or row.status is not OrderState.SUCCEEDED:
            return
        first = self._answer(row.run_id, row.order_num)
        if self._is_idle(row):
            if first is None or first.answer is not None:
                self._broken("nobody answers what is not asked", f"{row.run_id}/{row.order_num}: {first}")
            return
        if first is None or first.answer is None or not first.answer.approved:
            self._broken("only an approval lets a run go on", f"{row.run_id}/{row.order_num}: {first}")

    def _overrides(self, row: OrderRow) -> set[str]:
        """Return the numbers of the orders that an approval overrides, as its job has them."""
        if row.approval is None:
            return set()
        job = json.loads(self._world.objects.objects[keys.job(row.run_id)] or b"{}")["job"]
        numbers = {order["order_name"]: f"{index + 1:04d}" for index, order in enumerate(job["orders"])}
        approval = job["orders"][int(row.order_num) - 1].get("approval") or {}
        return {numbers[name] for name in approval.get("overrides", ())}

    def _is_idle(self, row: OrderRow) -> bool:
        """Return whether an approval overrides orders that have all succeeded."""
        rows, numbers = self._world.runs.order_rows[row.run_id], self._overrides(row)
        return bool(numbers) and all(self._ended_as(rows[num]) is OrderState.SUCCEEDED for num in numbers)

    def _is_overridden(self, row: OrderRow, num: str) -> bool:
        """Return whether a dependency's failure was overridden, by an answer to an approval before the order."""
        rows = self._world.runs.order_rows[row.run_id]
        for other in row.dependencies:
            if num in self._overrides(rows[other]):
                first = self._answer(row.run_id, other)
                if first is not None and first.answer is not None and first.answer.approved:
                    return True
        return False

    def answered(self, run_id: str, order_num: str, response: Mapping[str, Any]) -> None:
        """Note what a person was told who answered an order."""
        if response["statusCode"] == 200:
            self._answers.append((run_id, order_num, OrderState(json.loads(response["body"])["status"])))
        elif response["statusCode"] < 500 and response["statusCode"] not in {401, 409}:
            self._broken("an answer is taken or refused with its reason", f"{response}")

    def _waited(self, run_id: str, order_num: str) -> float | None:
        """Return when an order began to wait for its approval, None if it never did."""
        times = [time for time, state in self._states[(run_id, order_num)] if state == "queued"]
        return times[1] if len(times) > 1 else None

    def _approvals(self, run_id: str, last_fault: float) -> None:
        """Check at the end what became of the orders of a run that waited for approvals."""
        world = self._world
        for num, row in world.runs.order_rows[run_id].items():
            if row.approval is None:
                continue
            first, waited = self._answer(run_id, num), self._waited(run_id, num)
            about = f"{run_id}/{num}: {row.status} {row.reason}"
            stopped = {OrderState.CANCELLED, OrderState.SKIPPED}
            if row.status not in stopped and (first is None or first.status is not row.status):
                self._broken("the first answer counts", f"{about}; the answer is {first and first.status}")
            ended = self._states[(run_id, num)][-1][0]
            if first is not None:
                told = self._told[keys.ResultKey(run_id, num)]
                if ended > max(told, last_fault) + DISPATCH_SECONDS:
                    self._broken("an answer is processed", f"{about}, {ended - told:.0f} s later")
            elif waited is not None and row.approval.expires is not None and row.status not in stopped:
                self._broken("the first answer counts", about)
            if waited is not None and row.approval.expires is not None:
                late = ended - max(waited + row.approval.expires, last_fault)
                if late > DISPATCH_SECONDS:
                    self._broken("an approval expires", f"{about}, {late:.0f} s late")
        for answered_run, num, status in self._answers:
            first = self._answer(answered_run, num)
            if answered_run == run_id and (first is None or first.status is not status):
                self._broken("an answer that counts is an answer that holds", f"{run_id}/{num}: {status}")

    def merged(self, number: int, commit: str) -> None:
        """Check a merge when it is asked for: every job of the pull request has a run that ended well."""
        rows = self._world.runs.order_rows
        well = {
            name: [run for run in runs_of(self._world, name) if ended_well(rows[run.run_id].values())]
            for name in self._world.merges
        }
        if (number, commit) != (NUMBER, COMMIT) or not all(well.values()):
            missing = [name for name, runs in well.items() if not runs]
            self._broken("only what is applied is merged", f"pull request {number} at {commit}: {missing}")

    def _merge(self, last_fault: float) -> None:
        """Check at the end that a pull request is merged, once, if every order of all its jobs has ended well.

        A host that fails for longer than a merge is tried is given up, and so is one that refuses a request for good: a
        status that is missing may keep it from merging.
        """
        world, merged = self._world, self._world.reports.merge_host.merged
        rows = {
            name: [world.runs.order_rows[run.run_id].values() for run in runs_of(world, name)] for name in world.merges
        }
        due = bool(rows) and all(runs and all(map(ended_well, runs)) for runs in rows.values())
        applied = any(has_succeeded(orders) for runs in rows.values() for orders in runs)
        runs = [run for name in world.merges for run in runs_of(world, name)]
        ends = [(run.finished_at - EPOCH).total_seconds() for run in runs if run.finished_at is not None]
        is_given_up = world.host_refused or any(last_fault >= end + MERGE_SECONDS for end in ends)
        if len(merged) > 1 or (due and applied and not merged and not is_given_up):
            self._broken("what is applied is merged once", f"{merged}")

    def announced(self, one: Announcement) -> None:
        """Check an announcement: it is true when it is put, and the same each time."""
        first = self._announced.setdefault(one.id, one)
        self._announced_at.setdefault(one.id, self._world.scheduler.time)
        if first.model_copy(update={"at": one.at}) != one:
            self._broken("an announcement is the same each time", f"{first} became {one}")
        run = self._world.runs.run_rows[one.run_id]
        if one.end is not None and (run.status not in RUN_TERMINAL or one.end.status is not run.status):
            self._broken("an announcement is true", f"{one.id}: {one.end.status}, but the run is {run.status}")
        if one.wait is not None and self._waited(one.run_id, one.wait.order_num) is None:
            self._broken("an announcement is true", f"{one.id}: it has never waited")

    def _announcements(self, run_id: str, last_fault: float) -> None:
        """Check at the end that everything was announced in time, and nothing else."""
        nums = [num for num, row in self._world.runs.order_rows[run_id].items() if row.approval is not None]
        due = {f"{run_id}:{num}:run_waits" for num in nums if self._waited(run_id, num) is not None}
        due.add(f"{run_id}:0000:run_ended")
        of_run = {name: one for name, one in self._announced.items() if one.run_id == run_id}
        # Drift is announced when it has changed, and is not due.
        announced = {name for name, one in of_run.items() if one.project is None}
        if announced - due or due - announced - self._world.bus_refused:
            self._broken("each end and each wait is announced", f"{announced} of {due}")
        for num in nums:
            waited, at = self._waited(run_id, num), self._announced_at.get(f"{run_id}:{num}:run_waits")
            if waited is not None and at is not None and at > max(waited, last_fault) + DISPATCH_SECONDS:
                self._broken("a wait is announced in time", f"{run_id}/{num}: {at - waited:.0f} s later")

    def _order(self, row: OrderRow) -> dict[str, Any]:
        """Return an order as its job has it."""
        job = json.loads(self._world.objects.objects[keys.job(row.run_id)] or b"{}")["job"]
        order: dict[str, Any] = job["orders"][int(row.order_num) - 1]
        return order

    def accepted(self, accepted: Accepted, key: str | None) -> None:
        """Note what a caller was told."""
        self._accepted[accepted.run_id] = accepted
        if key is not None and self._by_key.setdefault(key, accepted.run_id) != accepted.run_id:
            self._broken("one key is one run", f"{key}: {self._by_key[key]} and {accepted.run_id}")

    def result_written(self, key: str) -> None:
        """Check a result as it is left: nobody speaks for an order whose commands still run."""
        parsed = keys.parse_result(key)
        if parsed is not None and key == keys.answer(parsed.run_id, parsed.order_num):
            row = self._world.runs.order_rows[parsed.run_id][parsed.order_num]
            waited = self._waited(parsed.run_id, parsed.order_num) is not None or self._is_idle(row)
            if not waited or row.approval is None:
                self._broken("nothing is answered before it waits", key)
        if parsed is not None:
            self._told.setdefault(parsed, self._world.scheduler.time)
        if parsed is not None and self._commands_running[(parsed.run_id, parsed.order_num)]:
            result = Result.model_validate_json(self._world.objects.objects[key])
            self._broken("no order ends while its commands run", f"{key}: {result.reported_by} {result.reason}")

    def commands_start(self, run_id: str, order_num: str, attempt: int) -> None:
        """Check an attempt of an order whose commands start now."""
        key = (run_id, order_num)
        self._attempt[key] = attempt
        self._command_starts[*key, attempt] += 1
        self._commands_running[key] += 1
        if (times := self._command_starts[*key, attempt]) > 1:
            self._broken("commands start at most once", f"attempt {attempt} of {key} started {times} times")
        if self._commands_running[key] > 1:
            self._broken("no attempt starts while another's commands run", f"{key}: attempt {attempt}")
        rows = self._world.runs.order_rows.get(run_id, {})
        if rows[order_num].status in TERMINAL:
            self._broken("no commands start after their order's end", f"{key}: {rows[order_num].reason}")
        self._is_wanted(rows[order_num])
        self._applies(rows[order_num], attempt)
        self._groups.commands_start(rows[order_num])
        self._repository.commands_start(rows[order_num])
        for num in rows[order_num].dependencies:
            state = self._ended_as(rows[num])
            forgiven = state in {OrderState.FAILED, OrderState.TIMED_OUT} and (
                not rows[num].must_succeed or self._is_overridden(rows[order_num], num)
            )
            if state is not OrderState.SUCCEEDED and not forgiven:
                self._broken("an order starts when its dependencies allow", f"{key}: {num} is {state}")
            if num in rows[order_num].when and not self._changed.get((run_id, num), False):
                self._broken("an order starts when its condition holds", f"{key}: {num} is not changed")
            if self._commands_running[(run_id, num)]:
                self._broken("no order starts while a dependency's commands run", f"{key}: {num} is still running")

    def _is_wanted(self, row: OrderRow) -> None:
        """Check commands that start long after their dispatch: nobody had asked them to stop meanwhile."""
        asked = self._asked(row.run_id, row.order_num)
        if asked is None or row.dispatched_at is None or not self._world.faults.profile.is_calm:
            return
        scheduler = self._world.scheduler
        waited = (scheduler.true_time() - row.dispatched_at).total_seconds()
        if waited > LATE_SECONDS + ASKING_SECONDS and scheduler.time > asked + ASKING_SECONDS:
            late = scheduler.time - asked
            self._broken("nothing starts that was asked to stop", f"{row.run_id}/{row.order_num}: {late:.0f} s later")

    def _applies(self, row: OrderRow, attempt: int) -> None:
        """Check an apply whose commands start: its plan is of this state, and no other apply of a plan goes on."""
        project = row.project
        if project is None or not project.applies:
            return
        state = self._world.plans.project_states.get(keys.project_state(project.key))
        under_way = {(one.run_id, one.order_num) for one in state.applying} if state is not None else set()
        own = (row.run_id, row.order_num)
        if own not in under_way:
            self._broken("an apply is entered before it starts", f"{own}")
        for run_id, order_num in under_way - {own}:
            # Applies that plan for themselves may begin beside it; then the lock of their state decides.
            other = self._world.runs.order_rows[run_id][order_num].project
            if project.saved is not None and other is not None and other.saved is not None:
                self._broken("reviewed plans are applied one at a time", f"{own}: {run_id}/{order_num}")
        until = project.saved.usable_until if project.saved is not None else None
        if until is not None and (row.dispatched_at is None or row.dispatched_at >= until):
            self._broken(
                "no apply of an expired plan begins", f"{own}: dispatched at {row.dispatched_at}, until {until}"
            )
        if project.saved is not None and attempt == 1:
            if (project.key, project.saved.generation) in self._applied:
                self._broken("a generation's plans are applied once", f"{row.run_id}/{row.order_num}")
            self._applied.add((project.key, project.saved.generation))

    def _projects(self) -> None:
        """Check that every apply that began has ended in the ledger of plans too."""
        for state in self._world.plans.project_states.values():
            if state.applying:
                self._broken("the end of an apply is not lost", f"{state.applying} is still under way")
            elif state.last is not None:
                row = self._world.runs.order_rows[state.last.run_id][state.last.order_num]
                if row.status.value != state.last.status:
                    self._broken("the end of an apply is not lost", f"{state.last} but the order is {row.status.value}")

    def commands_take(self, run_id: str, order_num: str, taken_num: str, value: str) -> None:
        """Check an output that an order takes: it is that of the order named, in the same run."""
        if value != written(run_id, taken_num):
            self._broken("an order takes what the order it names wrote", f"{run_id}/{order_num}: {value}")

    def commands_say(
        self, run_id: str, order_num: str, outcome: Outcome, stop_reason: str | None, until: float
    ) -> None:
        """Note how an order's commands ended: of themselves, or because they were asked to stop; ``until`` then."""
        if outcome.ending is Ending.STOPPED:
            if stop_reason is not None and stop_reason.startswith(("the run was stopped", "the order was stopped")):
                self._said[(run_id, order_num)] = self._attempt[(run_id, order_num)], OrderState.CANCELLED
                if self._asked(run_id, order_num) is None:
                    self._broken("an apply is interrupted only if it is named", f"{run_id}/{order_num}: {stop_reason}")
            return
        self._changed[(run_id, order_num)] = outcome.ending is Ending.EXITED and outcome.changed
        ended = OrderState.SUCCEEDED if outcome.exit_code in outcome.ok else OrderState.FAILED
        ended = OrderState.TIMED_OUT if outcome.ending is Ending.TIMED_OUT else ended
        self._said[(run_id, order_num)] = self._attempt[(run_id, order_num)], ended
        asked = self._asked(run_id, order_num)
        if asked is not None and self._world.faults.profile.is_calm and until > asked + STOPPED_SECONDS:
            late = until - asked
            self._broken("a wish to stop is honoured", f"{run_id}/{order_num} went on for {late:.0f} s")

    def cancelled(self, run_id: str) -> None:
        """Note that a run was cancelled."""
        self._cancelled[run_id] = self._world.scheduler.time

    def _not_cancelled(self, order: OrderRow) -> None:
        """Check that no event dispatches an order of a run that was cancelled before it came."""
        process, cancelled = self._world.scheduler.current, self._cancelled.get(order.run_id)
        if process is not None and cancelled is not None and process.root.began > cancelled:
            about = f"{order.run_id}/{order.order_num}: cancelled at {cancelled:.3f}, {process} at"
            self._broken("nothing of a cancelled run is dispatched", f"{about} {process.root.began:.3f}")

    def stop_asked(self, run_id: str, order_num: str | None) -> None:
        """Note when the commands of a run, or of one of its orders, were asked to stop."""
        self._stop_asked.setdefault((run_id, order_num), self._world.scheduler.time)

    def stop_hastened(self, run_id: str, order_num: str | None) -> None:
        """Note when that was asked for again."""
        self._stop_hastened.setdefault((run_id, order_num), self._world.scheduler.time)

    def grace_ends(self, run_id: str, order_num: str, *, asked: float) -> None:
        """Check commands that were asked to stop at ``asked`` and have ended: a second wish shortens the wait."""
        again = self._wished(self._stop_hastened, run_id, order_num)
        if again is None or not self._world.faults.profile.is_calm:
            return
        late = self._world.scheduler.time - max(again, asked)
        if late > STOPPED_SECONDS + SHORT_GRACE_SECONDS:
            self._broken("a second wish to stop shortens the wait", f"{run_id}/{order_num} took {late:.0f} s more")

    def _asked(self, run_id: str, order_num: str) -> float | None:
        return self._wished(self._stop_asked, run_id, order_num)

    def _wished(self, wishes: Mapping[tuple[str, str | None], float], run_id: str, order_num: str) -> float | None:
        """Return when the commands of an order were asked to stop: one that applies, only by its name."""
        row = self._world.runs.order_rows[run_id][order_num]
        applies = any("apply" in str(command) for command in self._order(row)["cmds"])
        by_run = None if applies else wishes.get((run_id, None))
        times = [time for time in (by_run, wishes.get((run_id, order_num))) if time is not None]
        return min(times, default=None)

    def grace_begins(self, run_id: str, order_num: str, *, until: float) -> None:
        """Note that commands were asked to stop and may take until then to end by themselves."""
        self._grace_until[(run_id, order_num)] = until

    def build_stopped(self, run_id: str, order_num: str) -> None:
        """Check a build that is stopped from outside: its commands have had their time and their grace."""
        until = self._grace_until.get((run_id, order_num), math.inf)
        if self._commands_running[(run_id, order_num)] and self._world.scheduler.time < until:
            self._broken("no build is stopped while its commands have time", f"{run_id}/{order_num}")

    def trade_begins(self, trade: Trade) -> Begun:
        """Return what the broker will find when it looks."""
        attempt = self._world.runs.order_rows[trade.run_id][trade.order_num].attempt
        body = self._world.objects.objects.get(keys.claim(trade.run_id, trade.order_num, attempt))
        claim = Claim.model_validate_json(body) if body is not None else None
        is_workers = claim is not None and claim.claimed_by is Reporter.WORKER
        return Begun(claim.execution if is_workers else None, self._asked(trade.run_id, trade.order_num) is not None)

    def _is_first_of_claimant(self, trade: Trade, traders: set[str]) -> bool:
        """Return whether the ticket is the first of its dispatch and one of its traders has the claim."""
        order = self._world.runs.order_rows[trade.run_id][trade.order_num]
        is_first = order.first_ticket(trade.dispatch) == digest(trade.ticket)
        return is_first and self.trade_begins(trade).claimed_by in traders

    def traded(self, trade: Trade, answer: TradeAnswer, begun: Begun) -> None:
        """Check one answer of the broker."""
        old, place = digest(trade.ticket), (trade.run_id, trade.order_num, trade.dispatch)
        about = "/".join(place)
        if answer.refusal is Refusal.USED and self._present.get(place) == trade.next_sha256:
            if self._served.get(old) == trade.next_sha256:
                self._broken("the same pair gets the same answer", f"{about}: refused")
        if answer.refusal is not None:
            return
        if self._served.get(old, trade.next_sha256) != trade.next_sha256:
            # Only what the claim's worker began with, if another delivery of its dispatch has traded it.
            # The answers may come in another sequence than the trades.
            traders = {self._traders[old], trade.execution}
            if len(traders) < 2 or not self._is_first_of_claimant(trade, traders):
                self._broken("an old ticket gets nothing", f"{about}: traded twice")
        self._served[old], self._traders[old] = trade.next_sha256, trade.execution
        self._present[place] = trade.next_sha256
        if begun.claimed_by is not None and begun.claimed_by != trade.execution:
            self._broken("after the claim only its chain is served", f"{about}: the claim is of {begun.claimed_by}")
        if answer.begun is not None and begun.claimed_by is None:
            self._broken("no order begins before its claim", about)
        if begun.stop_asked and answer.stop is None:
            self._broken("a wish to stop reaches the worker", about)
        chain = self._world.chains.read(*place)
        of_attempt = (*place[:2], chain.attempt if chain is not None else 1)
        own = {
            keys.package(*place[:2]), keys.claim(*of_attempt), keys.log(*of_attempt), keys.result(*of_attempt),
            keys.outputs(*of_attempt), keys.files(*of_attempt), keys.kept(*of_attempt),
        }  # fmt: skip
        row = self._world.runs.order_rows[trade.run_id][trade.order_num]
        own |= {keys.code(row.code_sha256)} if row.code_sha256 else set()
        urls = [(name, url) for name, url in answer.urls or () if isinstance(url, str)]
        if answer.urls is not None and answer.urls.parts is not None:
            parts = answer.urls.parts
            numbers = range(parts.first, parts.first + len(parts.urls))
            own |= {keys.live_part(*place[:2], number, of_attempt[2]) for number in numbers}
            urls += [("parts", url) for url in parts.urls]
        for name, url in urls:
            if name != "schema_version":
                if unquote(urlsplit(url).path.removeprefix("/")) not in own:
                    self._broken("URLs are for the order's own keys", f"{about}: {name} is {url.partition('?')[0]}")

    def process_ended(self, process: Process) -> None:
        """Look at how a function ended: only the errors that the engine can name may leave it."""
        if process.ending is scheduler.Ending.RAISED and not _is_named(process.error):
            self._broken("only named errors leave a function", f"{process}: {process.error!r}")
        if process.ending is scheduler.Ending.DIED and process.function in {"worker", "build"}:
            run_id, _, order_num = process.about.partition("/")
            self._died[(run_id, order_num)] = (self._world.scheduler.time, process.function)
        if process.ending is scheduler.Ending.DIED and process.function == "init":
            self._preparation_died[process.about] = self._world.scheduler.time

    def _is_left_by_a_late_preparation(self, run_id: str, ended_at: float) -> bool:
        """Return whether a preparation died after its run's end and AWS lost the record of it.

        Nothing then learns of what it wrote; the bucket's lifecycle deletes it after a day.
        """
        return run_id in self._world.lost_records and self._preparation_died.get(run_id, 0.0) > ended_at

    def worker_started(self, run_id: str, order_num: str) -> None:
        """Check a worker that is asked for: something looks after its run."""
        if self._world.runs.order_rows[run_id][order_num].approval is not None:
            self._broken("an approval costs no worker", f"{run_id}/{order_num}")
        executions = self._world.watchdogs_of(run_id)
        since = max((execution.ended_at or self._world.scheduler.time for execution in executions), default=0.0)
        if not executions or self._world.scheduler.time - since > UNWATCHED_SECONDS:
            self._broken("no order starts without a watchdog", f"{run_id}/{order_num}: {len(executions)} executions")

    def watchdog_started(self, run_id: str) -> None:
        """Check an execution that is started: no other looks after the run."""
        if any(execution.ended_at is None for execution in self._world.watchdogs_of(run_id)):
            self._broken("one watchdog looks after a run", run_id)

    def commands_end(self, run_id: str, order_num: str) -> None:
        """Note that an order's commands run no more."""
        self._commands_running[(run_id, order_num)] -= 1
        self._groups.commands_end(self._world.runs.order_rows[run_id][order_num])

    def nobody_at_work(self, run_id: str) -> None:
        """No wake-up is lost: where nothing failed, nothing is left undone when the last function has gone."""
        world = self._world
        if not world.faults.profile.is_calm or run_id in world.any_failed:
            return
        run, orders = world.runs.run_rows.get(run_id), world.runs.order_rows.get(run_id, {})
        lock = world.locks.locks.get(run_id)
        if run is None or lock is None or lock.completed:
            return
        if run.deadline - world.scheduler.true_time() < timedelta(seconds=30):
            return
        for order in orders.values():
            if (order.status in OPEN or order.awaits_answer) and result_key(order) in world.objects.objects:
                self._broken("no wake-up is lost", f"the result of {run_id}/{order.order_num} lies unprocessed")
        if all(order.status in TERMINAL for order in orders.values()):
            self._broken("no wake-up is lost", f"every order of {run_id} has ended and the run has not")
        room = sum(order.status in OPEN for order in orders.values()) < run.max_parallel
        for order in orders.values():
            if order.status is not OrderState.QUEUED or order.waiting_for is not None:
                continue
            if (room or order.approval) and readiness(order, orders)[0] is Readiness.READY:
                self._broken("no wake-up is lost", f"{run_id}/{order.order_num} is ready and was not dispatched")
        if lock.owner is None and lock.answered != lock.doorbell:
            self._broken("no wake-up is lost", f"{run_id}: {lock.answered} of {lock.doorbell} events were looked at")
        if lock.held(world.scheduler.true_time()):
            self._broken("no lock is left active", f"{run_id}: nobody is at work and {lock.owner} holds the lock")

    def _ended_as(self, row: OrderRow) -> OrderState:
        """Return how an order has ended: as its row says, or, where the row is behind, as its one result says."""
        body = self._world.objects.objects.get(keys.result(*row.attempt_key))
        if row.status in OPEN and body is not None:
            return Result.model_validate_json(body).status
        return row.status

    def _room(self, after: OrderRow) -> None:
        run = self._world.runs.run_rows.get(after.run_id)
        rows = self._world.runs.order_rows[after.run_id]
        if after.approval is not None:
            return
        is_open = {num for num, row in rows.items() if self._ended_as(row) in OPEN and row.approval is None}
        is_open |= {after.order_num}
        if run is not None and len(is_open) > run.max_parallel:
            self._broken("no more orders are open than allowed", f"{after.run_id}: {len(is_open)} > {run.max_parallel}")

    # -- at the end --------------------------------------------------------------------------------------------------

    def at_end(self, *, last_fault: float, mended: float | None = None) -> None:
        """Check a world in which everything has come to its end, or should have.

        ``mended`` is when a person gave the runs new watchdogs after theirs had died, None if they did not die.
        """
        world = self._world
        self._mended = mended
        for run_id in self._accepted:
            self._accepted_ended(run_id)
        for run_id in sorted(world.runs.run_rows):
            self._ended(run_id)
            self._events(run_id)
            self._dispatches(run_id, last_fault)
            self._misuses(run_id)
            self._approvals(run_id, last_fault)
            self._announcements(run_id, last_fault)
        for run_id in {run_id for run_id, _ in world.runs.order_rows.items()} - set(world.runs.run_rows):
            self._broken("every accepted run ends", f"{run_id} has orders and no run")
        self._results()
        self._as_told()
        self._projects()
        self._repository.at_end()
        self._merge(last_fault)
        for (run_id, num), transitions in self._dispatch_transitions.items():
            starters = {process for run, order, process in world.worker_starts if (run, order) == (run_id, num)}
            if len(starters) > transitions:
                self._broken(
                    "an order is dispatched by one", f"{run_id}/{num}: {len(starters)} for {transitions} transitions"
                )
        for name, execution in world.executions.items():
            if execution.ended_at is None:
                self._broken("nothing waits for what never comes", f"the execution {name} has not ended")

    def _accepted_ended(self, run_id: str) -> None:
        run = self._world.runs.run_rows.get(run_id)
        if run is None:
            self._broken("every accepted run ends", f"{run_id} was accepted and has no rows")
        elif run.status not in RUN_TERMINAL or not (lock := self._world.locks.locks.get(run_id)) or not lock.completed:
            states = Counter(row.status.value for row in self._world.runs.order_rows[run_id].values())
            self._broken("every accepted run ends", f"{run_id} is {run.status}, orders {dict(states)}")

    def _ended(self, run_id: str) -> None:
        world = self._world
        run, orders = world.runs.run_rows[run_id], world.runs.order_rows[run_id]
        if run.status not in RUN_TERMINAL:
            self._broken("every accepted run ends", f"{run_id} is {run.status}")
            return
        ended_at = self._states[(run_id, "0000")][-1][0]
        limit = max((run.deadline - EPOCH).total_seconds(), self._mended or 0.0) + BOUND_SECONDS
        limit += max(order.grace for order in orders.values())
        if ended_at > limit:
            self._broken("every accepted run ends", f"{run_id} ended {ended_at - limit:.0f} s too late")
        open_orders = [order.order_num for order in orders.values() if order.status not in TERMINAL]
        if open_orders:
            self._broken("the run ends after its orders", f"{run_id} is {run.status}, open: {open_orders}")
        lock = world.locks.locks.get(run_id)
        if lock is None or not lock.completed or lock.owner is not None:
            self._broken("no lock is left active", f"{run_id}: {lock}")
        left = world.objects.list(f"tmp/exec/{run_id}/")
        if left and not self._is_left_by_a_late_preparation(run_id, ended_at):
            self._broken("no sealed package is left", f"{left}")
        markers = world.done.bodies.get(keys.done(run_id), [])
        if len(markers) != 1:
            self._broken("one done marker", f"{run_id}: {len(markers)} were written")
            return
        marker = json.loads(markers[0])
        summary = Counter(order.status.value for order in orders.values())
        if marker["status"] != run.status.value or marker["summary"] != dict(summary):
            self._broken("the marker equals the rows", f"{marker['status']} {marker['summary']} but {summary}")
        told = {entry["order_num"]: entry["status"] for entry in marker["orders"]}
        if told != {num: order.status.value for num, order in orders.items()}:
            self._broken("the marker equals the rows", f"{run_id}: {told}")

    def _events(self, run_id: str) -> None:
        world = self._world
        run, orders = world.runs.run_rows[run_id], world.runs.order_rows[run_id]
        kinds: dict[str, Counter[str]] = defaultdict(Counter)
        for event in world.runs.events(run.trace_id):
            kinds[event.order_num][event.kind] += 1
        for num, row in [("0000", run), *orders.items()]:
            ends = RUN_TERMINAL if num == "0000" else TERMINAL
            told = [kind for kind in kinds[num].elements() if kind in {end.value for end in ends}]
            if told != [row.status.value]:
                self._broken("events tell what the rows tell", f"{run_id}/{num} is {row.status}, events: {kinds[num]}")
            times_queued = sum(state == "queued" for _, state in self._states[(run_id, num)])
            if num != "0000" and kinds[num]["queued"] + kinds[num]["waiting"] != times_queued:
                self._broken("events tell what the rows tell", f"{run_id}/{num}: {kinds[num]}")
            was_running = any(state == "running" for _, state in self._states[(run_id, num)])
            if was_running != bool(kinds[num]["running"]):
                self._broken("events tell what the rows tell", f"{run_id}/{num}: running? {kinds[num]}")

    def _misuses(self, run_id: str) -> None:
        """Every misuse of a chain becomes one event."""
        world = self._world
        for num in world.runs.order_rows.get(run_id, {}):
            chains = [
                chain for chain in world.chains.chains.values() if (chain.run_id, chain.order_num) == (run_id, num)
            ]
            misused = sum(chain.misused_at is not None for chain in chains)
            trace = world.runs.run_rows[run_id].trace_id
            told = sum(event.kind == "ticket_refused" and event.order_num == num for event in world.runs.events(trace))
            # The broker may have died between the note and the event.
            if told > misused or (told < misused and world.faults.profile.is_calm):
                self._broken("a misuse becomes one event", f"{run_id}/{num}: {told} events for {misused} chains")

    def _dispatches(self, run_id: str, last_fault: float) -> None:
        for num in self._world.runs.order_rows[run_id]:
            history = self._states[(run_id, num)]
            begun = next((time for time, state in history if state == "dispatching"), None)
            left = next((time for time, state in history if state not in {"queued", "dispatching"}), None)
            if begun is None or left is None:
                continue
            stood = left - max(begun, last_fault)
            if stood > DISPATCH_SECONDS:
                self._broken("no dispatch stays half done", f"{run_id}/{num} stood dispatching for {stood:.0f} s")

    def _results(self) -> None:
        world = self._world
        for key, bodies in world.objects.bodies.items():
            parsed = keys.parse_result(key)
            if parsed is None or parsed.order_num == "0000":
                continue
            if len(set(bodies)) > 1:
                self._broken("the first result counts", f"{key} was written {len(bodies)} times")
            row = world.runs.order_rows.get(parsed.run_id, {}).get(parsed.order_num)
            result = Result.model_validate_json(bodies[0])
            is_last = row is not None and row.attempt == parsed.attempt and row.dispatched_at is not None
            if row is not None and is_last and row.status is not result.status:
                self._broken("the first result counts", f"{key} says {result.status}, the row {row.status}")
            if result.reported_by is Reporter.WORKER and result.status is OrderState.SUCCEEDED:
                if self._command_starts[parsed] != 1:
                    self._broken("nothing succeeds that did not run", key)
                if row is not None and row.changed is not self._changed.get((parsed.run_id, parsed.order_num)):
                    self._broken("an order is changed as its commands say", f"{key}: {row.changed}")

    def _as_told(self) -> None:
        """Where nothing failed, orders end as their commands did, and a dead worker is noticed within two polls."""
        world = self._world
        if not world.faults.profile.is_calm:
            return
        for (run_id, num), (attempt, state) in self._said.items():
            row = world.runs.order_rows[run_id][num]
            # A further attempt may end before its commands start.
            if row.attempt == attempt and row.status is not state:
                self._broken("an order ends as its commands did", f"{run_id}/{num}: {row.status}, not {state}")
        if self._mended is not None:
            return
        for (run_id, num), (died, function) in self._died.items():
            attempt = world.runs.order_rows[run_id][num].attempt
            told = self._told.get(keys.ResultKey(run_id, num, attempt), world.scheduler.time)
            if told > died + TOLD_SECONDS[function]:
                self._broken("a dead worker is reported within one poll", f"{run_id}/{num}: {told - died:.0f} s later")
            ended = self._states[(run_id, num)][-1][0]
            if ended > died + NOTICED_SECONDS:
                self._broken("a dead worker is noticed", f"{run_id}/{num}: {ended - died:.0f} s later")

    def _legal(self, key: tuple[str, str], check: object) -> None:
        try:
            check()  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - whatever the state table says
            self._broken("only transitions of the state table", f"{key}: {error}")

    def _broken(self, check: str, what: str) -> None:
        self.violations.append(Violation(check, f"{what} (at {self._world.scheduler.time:.3f})"))


def _is_named(error: BaseException | None) -> bool:
    if isinstance(error, ExceptionGroup):
        return all(_is_named(each) for each in error.exceptions)
    return isinstance(error, IacCiError)
