"""Takes and leaves concurrency groups for the orders of a run. Each step may be repeated."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_common.errors import ConditionFailed, IacCiError, PortFailed
from iac_ci_common.groups import HOLDS, Access, Standing, ask, free, group_keys, holders, leave, new_group
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.nudge import nudge
from iac_ci_common.states import OPEN, RUN_TERMINAL, TERMINAL
from iac_ci_orchestrator.group_requests import named_request, planned_alone, project_request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from iac_ci_common.groups import Wanted
    from iac_ci_common.models.group import Entry, Group
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.ports import Clock, Groups, Logger, Objects, Parallel, Runs
    from iac_ci_orchestrator.decide import Plan
    from iac_ci_orchestrator.group_requests import GroupRequest

_TRIES: Final = 20
"""Most writes of one row: each time another process has changed it meanwhile."""

LOOKED_AT: Final = 10
"""Most entries of other runs, the first in line, whose rows a waiting run reads to see whether they have ended."""

T = TypeVar("T")


class ConcurrencyGroups:
    """The concurrency groups, as the orchestrator uses them."""

    def __init__(
        self, groups: Groups, runs: Runs, objects: Objects, clock: Clock, parallel: Parallel, logger: Logger
    ) -> None:
        """Use these ports; ``objects`` is the internal bucket."""
        self._groups = groups
        self._runs = runs
        self._objects = objects
        self._clock = clock
        self._parallel = parallel
        self._logger = logger

    def settle(self, plan: Plan, keep_lease: Callable[[], object]) -> dict[str, Standing]:
        """Leave the groups of orders that a result has ended, and ask for those of ``plan.asks``.

        A result is the end of an order's commands, whatever its row says yet: nothing that is left is still used.
        Returns where the orders stand, by their numbers. Raises the first error of a port, and what ``keep_lease``
        raises if another process owns the run's lock: it may have ended the orders that ask here.
        """
        run = plan.run
        ended = [end.after for end in plan.ends if end.before.status in OPEN]
        named = {order.order_num: named_request(run, order) for order in plan.asks}
        requests = {num: one for num, one in named.items() if one is not None}
        standings = self._ask(plan, ended, requests, keep_lease)
        alone = planned_alone(plan.orders)
        projects = {
            order.order_num: request
            for order in plan.asks
            if _may_go_on(standings.get(order.order_num, HOLDS))
            and (request := project_request(run, order, alone)) is not None
        }
        return standings | self._ask(plan, ended, projects, keep_lease, only_projects=True)

    def leave(self, run: RunRow, orders: Sequence[OrderRow], *, whole: bool = False) -> None:
        """Leave the groups of orders whose rows say that they have ended; ``whole`` leaves the one of the run too."""
        wanted: dict[str, set[str]] = {}
        for order in orders:
            for key in group_keys(order):
                wanted.setdefault(key, set()).add(order.order_num)
        if whole and run.group is not None:
            wanted.setdefault(run.group, set()).add(RUN_ORDER_NUM)
        if wanted:
            known = self._groups.read(wanted)
            self._each([partial(self._change, run, key, known.get(key), (), wanted[key], _keep) for key in wanted])

    def _ask(
        self,
        plan: Plan,
        ended: Sequence[OrderRow],
        requests: Mapping[str, GroupRequest],
        keep_lease: Callable[[], object],
        *,
        only_projects: bool = False,
    ) -> dict[str, Standing]:
        """Settle the groups of requests, by their orders' numbers, and those of the same kind of ended orders."""
        if not requests and not any(map(group_keys, ended)):
            return {}
        asked: dict[str, dict[str, Wanted]] = {}
        for num, request in requests.items():
            asked.setdefault(request.key, {})[num] = request.wanted
        leaving: dict[str, set[str]] = {key: set() for key in asked}
        now_ended = {order.order_num for order in ended}
        # An order that ends without a start may have been dispatched since its row was read.
        unwritten = {end.after.order_num for end in plan.ends} - now_ended
        for order in plan.orders:
            if order.status not in TERMINAL or order.order_num in unwritten:
                continue
            for key in group_keys(order):
                # Those that ended before have left, unless a pass died: then they leave where another order asks.
                if (key == order.group) is not only_projects and (key in asked or order.order_num in now_ended):
                    leaving.setdefault(key, set()).add(order.order_num)
        if not leaving:
            return {}
        known = self._groups.read(leaving)
        calls = [
            partial(
                self._change,
                plan.run,
                key,
                known.get(key),
                tuple(asked.get(key, {}).items()),
                leaving[key],
                keep_lease if key in asked else _keep,
            )
            for key in leaving
        ]
        standings: dict[str, Standing] = {}
        for found in self._each(calls):
            standings |= found
        return standings

    def _change(
        self,
        run: RunRow,
        key: str,
        known: Group | None,
        asked: Collection[tuple[str, Wanted]],
        leaving: Collection[str],
        keep_lease: Callable[[], object],
    ) -> dict[str, Standing]:
        """Change one row, read as ``known``; return where the orders that ask stand."""
        ended: frozenset[int] | None = None
        for _ in range(_TRIES):
            if known is None and not asked:
                return {}
            now = self._clock.now()
            before = known or new_group(key, now)
            if ended is None:
                ended = self._ended(run, before) if asked else frozenset()
            after = free(before, ended, now)
            # An order that comes after one that ends takes its entry over, so it asks first.
            for _, wanted in asked:
                after, _ = ask(after, wanted, now)
            after = leave(after, run.run_id, leaving, now)
            standings: dict[str, Standing] = {}
            for num, wanted in asked:
                after, standings[num] = ask(after, wanted, now)
            if after != before:
                # After the row was read: a process that stood still would enter orders that have ended meanwhile.
                keep_lease()
            try:
                if after != before:
                    self._groups.write(after)
            except ConditionFailed:
                known = self._groups.read([key]).get(key)
                continue
            self._wake(run, before, after)
            return standings
        raise PortFailed("other runs changed the concurrency group at every attempt", retry_is_safe=True)

    def _ended(self, run: RunRow, group: Group) -> frozenset[int]:
        """Return the entries of other runs whose rows prove that they have ended: silence proves nothing."""
        others = [one for one in group.entries if one.run_id != run.run_id][:LOOKED_AT]
        answers = self._each([partial(self._has_ended, one) for one in others])
        return frozenset(one.token for one, has_ended in zip(others, answers, strict=True) if has_ended)

    def _has_ended(self, entry: Entry) -> bool:
        """Return whether the order of an entry, or its run, has ended: its row says so, or has expired."""
        is_run = entry.order_num == RUN_ORDER_NUM
        row = self._runs.find_run(entry.run_id) if is_run else self._runs.find_order(entry.run_id, entry.order_num)
        if row is None:
            # Rows outlive the longest possible life of every worker of their run.
            return entry.expires_at <= self._clock.now()
        return row.status in (RUN_TERMINAL if is_run else TERMINAL)

    def _wake(self, run: RunRow, before: Group, after: Group) -> None:
        """Wake the runs of entries that hold the group now, or that another supersedes; the watchdogs do it too."""
        held = {one.token for one in holders(before)}
        superseded = {one.token for one in before.entries if one.superseded_by is not None}
        woken = [one for one in holders(after) if one.token not in held]
        woken += [one for one in after.entries if one.superseded_by is not None and one.token not in superseded]
        for run_id in dict.fromkeys(one.run_id for one in woken if one.run_id != run.run_id):
            try:
                nudge(self._objects, run_id)
            except IacCiError as error:
                self._logger.warning("run not woken; its watchdog wakes it", run_id=run_id, error=error.message)

    def _each(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        answers: list[T] = []
        for answer in self._parallel.run(calls):
            if isinstance(answer, IacCiError):
                raise answer
            answers.append(answer)
        return answers


def _keep() -> None:
    """Keep no lease: to leave a group is right without the lock too."""


def _may_go_on(standing: Standing) -> bool:
    """Return whether an order may ask for its next group: only who waits for nothing holds what others wait for."""
    return standing.access is Access.HOLDS
