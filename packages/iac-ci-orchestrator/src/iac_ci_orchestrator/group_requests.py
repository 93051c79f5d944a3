"""Which concurrency groups the orders of a run need, and how: pure.

An order first needs the group that its job or it itself names, and then the one of its project. A run holds the group
of its job until its end, and who holds a project's group waits for no other: so no two wait for each other.
"""

from __future__ import annotations

import hashlib
import json
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from iac_ci_common import keys
from iac_ci_common.groups import Wanted
from iac_ci_common.ids import RUN_ORDER_NUM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from iac_ci_common.models.rows import OrderRow, RunRow


class GroupRequest(NamedTuple):
    """A group's key and what is wanted of it."""

    key: str
    wanted: Wanted


def needs_group(run: RunRow, order: OrderRow) -> bool:
    """Return whether an order needs a group before it may start."""
    return run.group is not None or order.group is not None or order.project is not None


def some_need_groups(run: RunRow, orders: Sequence[OrderRow]) -> bool:
    """Return whether one of the orders may need a group before it may start."""
    return run.group is not None or any(map(attrgetter("group"), orders)) or any(map(attrgetter("project"), orders))


def named_request(run: RunRow, order: OrderRow) -> GroupRequest | None:
    """Return the request for the group that the run's job or the order names, None if neither does."""
    pull = run.report.pull_request if run.report is not None else None
    # Who sends a signed job decides which commit comes after which.
    commit = run.commit_hash if run.ledger is not None else None
    origin = run.ledger if run.ledger is not None else str(pull)
    if run.group is not None:
        wanted = Wanted(
            run_id=run.run_id,
            order_num=RUN_ORDER_NUM,
            name=run.job_name or "job",
            expires_at=run.expires_at,
            shared=run.shares_group,
            newest=run.newest_in_group,
            series=_series(origin, run.job_name),
            commit=commit,
            pull_request=pull,
        )
        return GroupRequest(run.group, wanted)
    if order.group is None:
        return None
    wanted = Wanted(
        run_id=run.run_id,
        order_num=order.order_num,
        name=order.order_name,
        expires_at=run.expires_at,
        shared=order.shares_group,
        newest=order.newest_in_group,
        series=_series(origin, run.job_name, order.order_name),
        commit=commit,
        pull_request=pull,
    )
    return GroupRequest(order.group, wanted)


def project_request(run: RunRow, order: OrderRow, planned_alone: AbstractSet[str]) -> GroupRequest | None:
    """Return the request for the group of the order's project, None if it has none.

    Plans share the group, except those of ``planned_alone``, which an order of the same run applies.
    """
    project = order.project
    if project is None:
        return None
    shared = not project.applies and project.key not in planned_alone
    is_ordered = not shared and run.ledger is not None
    wanted = Wanted(
        run_id=run.run_id,
        order_num=order.order_num,
        name=order.order_name,
        expires_at=run.expires_at,
        shared=shared,
        series=_series(run.ledger) if is_ordered else None,
        commit=run.commit_hash if is_ordered else None,
        pull_request=run.report.pull_request if run.report is not None else None,
        # An order that waited for a named group while it held this one could bring about a deadlock.
        after=frozenset(order.dependencies) if order.group is None else frozenset(),
    )
    return GroupRequest(keys.project_group(project.key), wanted)


def planned_alone(orders: Iterable[OrderRow]) -> frozenset[str]:
    """Return the projects that a run plans to apply this very plan: nobody may apply in between."""
    projects = (order.project for order in orders if order.project is not None)
    return frozenset(project.key for project in projects if project.applies and project.saved is None)


def _series(*parts: str | None) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
