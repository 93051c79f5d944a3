"""The promises of concurrency groups, judged by what commands do and not by the engine's own rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from iac_ci_common import keys
from iac_ci_common.models.group import Entry, Group
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.states import TERMINAL, OrderState
from simulation.world import POLL_SECONDS, World

FREED_SECONDS = 2 * POLL_SECONDS + 180.0
"""A group that has become free is used so long after it, or after the last fault: a poll, an event that comes late, a
pass whose predecessor died."""

_RUN = "0000"
_TIME = 15
"""Characters of a run's id that are its time."""


class Use(NamedTuple):
    """Who uses a group: an order, or a run; and whether others may use it beside."""

    run_id: str
    num: str
    shared: bool


class GroupChecks:
    """Watches the groups of one world; ``broken`` notes a broken promise."""

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken
        self._used: dict[str, set[Use]] = defaultdict(set)
        self._begun: dict[str, tuple[str, str | None]] = {}
        self._free_since: dict[tuple[str, str, str], float] = {}
        self._ended_at: dict[tuple[str, str], float] = {}
        self._superseded: set[tuple[str, str, str]] = set()
        world.groups.written = self.group_written

    def commands_start(self, row: OrderRow) -> None:
        """Check an order whose commands start: it is alone, nobody was overtaken, no newer commit began before."""
        run = self._world.runs.run_rows[row.run_id]
        for key, use in self._uses(run, row):
            about = f"{row.run_id}/{row.order_num} in {key}"
            others = [one for one in self._used[key] if one.run_id != row.run_id or one.num != use.num]
            for other in others:
                if not (other.shared and use.shared) and not self._is_over(other):
                    self._broken("one at a time in a group", f"{about}: {other.run_id}/{other.num} goes on")
            self._used[key].add(use)
            if (key, use.run_id, use.num) in self._superseded:
                self._broken("who is superseded does not start", about)
            self._check_line(key, use, about)
            self._check_commit(key, use, run, row)

    def commands_end(self, row: OrderRow) -> None:
        """Note that an order's commands run no more; a run that uses a group does so until its orders have ended."""
        for key, use in self._uses(self._world.runs.run_rows[row.run_id], row):
            if use.num != _RUN:
                self._used[key].discard(use)

    def row_written(self, before: OrderRow | RunRow | None, after: OrderRow | RunRow) -> None:
        """Check a row: how long an order waited that waits no more."""
        key = (after.run_id, after.order_num)
        if isinstance(after, OrderRow) and after.status in TERMINAL:
            self._ended_at.setdefault(key, self._world.scheduler.time)
        if not isinstance(before, OrderRow) or not isinstance(after, OrderRow) or before.waiting_for is None:
            return
        is_leaving = after.status is OrderState.DISPATCHING or after.status in TERMINAL
        run = self._world.runs.run_rows.get(after.run_id)
        if (
            not is_leaving
            or run is None
            or run.max_parallel < run.order_count
            or self._world.watchdogs_died_at is not None
        ):
            return
        for group_key, use in self._uses(run, after):
            self._check_wait(group_key, use, f"{after.run_id}/{after.order_num} in {group_key}")

    def group_written(self, before: Group | None, after: Group) -> None:
        """Check a group's row as it is written: nobody is put before others, comes back, or waits in a circle."""
        known = {one.token for one in before.entries} if before is not None else set()
        tokens = [one.token for one in after.entries]
        old = [token for token in tokens if token in known]
        runs = {one.token: one.run_id for one in (*(before.entries if before is not None else ()), *after.entries)}
        if before is not None and old != [one.token for one in before.entries if one.token in set(tokens)]:
            self._broken("first come, first served", f"{after.key}: {before.entries} became {after.entries}")
        for position, token in enumerate(tokens):
            later = [one for one in tokens[position + 1 :] if one in known]
            is_taken_over = any(runs[token] == runs[one.token] for one in (before.entries if before else ()))
            if token not in known and later and not is_taken_over:
                self._broken("first come, first served", f"{after.key}: {token} was put before {later}")
        now = self._world.scheduler.time
        for entry in after.entries:
            place_in_time = (after.key, entry.run_id, entry.order_num)
            if entry.superseded_by is not None:
                self._superseded.add(place_in_time)
            elif place_in_time in self._superseded:
                self._broken("who is superseded stays so", f"{after.key}: {entry}")
            if not _blockers(after, entry):
                self._free_since.setdefault(place_in_time, now)
        self._circles()

    # -- single promises ---------------------------------------------------------------------------------------------

    def _uses(self, run: RunRow, row: OrderRow) -> list[tuple[str, Use]]:
        found = []
        if run.group is not None:
            found.append((run.group, Use(row.run_id, _RUN, shared=False)))
        if row.group is not None:
            found.append((row.group, Use(row.run_id, row.order_num, shared=False)))
        if row.project is not None:
            orders = self._world.runs.order_rows[row.run_id].values()
            fresh = any(one.project and one.project.applies and one.project.saved is None for one in orders)
            shared = not row.project.applies and not fresh
            found.append((keys.project_group(row.project.key), Use(row.run_id, row.order_num, shared)))
        return found

    def _is_over(self, use: Use) -> bool:
        """Return whether a run that used a group has ended all of its orders; an order's commands are noted apart."""
        if use.num != _RUN:
            return False
        return all(self._has_ended(row) for row in self._world.runs.order_rows[use.run_id].values())

    def _has_ended(self, row: OrderRow) -> bool:
        return row.status in TERMINAL or keys.result(*row.attempt_key) in self._world.objects.objects

    def _check_line(self, key: str, use: Use, about: str) -> None:
        group = self._world.groups.groups.get(key)
        own = _find(group, use) if group is not None else None
        if group is None or own is None:
            self._broken("an order holds its group when it starts", f"{about}: no entry")
        elif _blockers(group, own):
            self._broken("nobody is overtaken in a group", f"{about}: before it {_blockers(group, own)}")

    def _check_commit(self, key: str, use: Use, run: RunRow, row: OrderRow) -> None:
        if use.shared or run.ledger is None:
            return
        about = (run.job_name or "") + ("" if use.num == _RUN else row.order_name)
        series = f"{key} {run.ledger}" + ("" if key.startswith("group:project:") else f" {about}")
        newest, commit = self._begun.get(series, ("", None))
        if run.run_id[:_TIME] < newest and run.commit_hash != commit and not self._is_newer_commit(run, newest):
            self._broken("no older commit after a newer one", f"{run.run_id}/{row.order_num} after {newest} in {key}")
        if run.run_id[:_TIME] >= newest:
            self._begun[series] = run.run_id[:_TIME], run.commit_hash

    def _late(self, since: float) -> bool:
        """Return whether a poll must have come since a moment and the last fault."""
        return self._world.scheduler.time - max(since, self._world.faults.last) > FREED_SECONDS

    def _is_newer_commit(self, run: RunRow, newest: str) -> bool:
        """Return whether a run that was accepted after the newest that has begun has this run's commit."""
        rows = self._world.runs.run_rows.values()
        return any(
            row.ledger == run.ledger and row.run_id[:_TIME] > newest and row.commit_hash == run.commit_hash
            for row in rows
        )

    def _check_wait(self, key: str, use: Use, about: str) -> None:
        """Check that an order did not wait for a group that was free, or for an order that had ended."""
        group, now = self._world.groups.groups.get(key), self._world.scheduler.time
        own = _find(group, use) if group is not None else None
        since = self._free_since.get((key, use.run_id, use.num))
        if use.num != _RUN and since is not None and self._late(since) and self._free_for(use):
            self._broken("a free group is used within a poll", f"{about}: free for {now - since:.0f} s")
        if group is None or own is None or since is not None:
            return
        ended = [self._ended_at.get((one.run_id, one.order_num)) for one in _blockers(group, own)]
        times = [time for time in ended if time is not None]
        if len(times) == len(ended) and self._late(max(times, default=now)):
            self._broken("an end frees a group within a poll", f"{about}: {now - max(times):.0f} s")

    def _free_for(self, use: Use) -> bool:
        """Return whether all groups of an order have been free for it for long."""
        row = self._world.runs.order_rows[use.run_id][use.num]
        run = self._world.runs.run_rows[use.run_id]
        keys_of = [(key, one) for key, one in self._uses(run, row) if one.num != _RUN]
        times = [self._free_since.get((key, one.run_id, one.num)) for key, one in keys_of]
        return all(time is not None and self._late(time) for time in times)

    def _circles(self) -> None:
        """Check that nobody waits in a circle; a run that holds a group waits for what its orders wait for."""
        edges: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        for group in self._world.groups.groups.values():
            for entry in group.entries:
                for other in _blockers(group, entry):
                    edges[(entry.run_id, entry.order_num)].add((other.run_id, other.order_num))
                    if entry.order_num != _RUN:
                        edges[(entry.run_id, _RUN)].add((entry.run_id, entry.order_num))
        for start in edges:
            seen, todo = set(), list(edges[start])
            while todo:
                node = todo.pop()
                if node == start:
                    self._broken("nobody waits in a circle", f"{start}: {dict(edges)}")
                    return
                if node not in seen:
                    seen.add(node)
                    todo += edges.get(node, ())


def _find(group: Group, use: Use) -> Entry | None:
    return next((one for one in group.entries if (one.run_id, one.order_num) == (use.run_id, use.num)), None)


def _blockers(group: Group, entry: Entry) -> list[Entry]:
    """Return those that came before an entry and do not share the group with it."""
    before = group.entries[: group.entries.index(entry)]
    return [one for one in before if one.superseded_by is None and not (one.shared and entry.shared)]
