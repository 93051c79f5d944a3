"""Makes jobs from configured jobs: pure. They pass the same check as jobs sent to the webhook endpoint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.job_validation.check import check_fields
from iac_ci_common.purpose import Purpose, purpose
from iac_ci_triggers.configuration import Statuses, TemplateValues, expand

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from iac_ci_common.models.job import Job, Order
    from iac_ci_triggers.configuration import Configuration, Expansion
    from iac_ci_triggers.facts import Facts, Rerun
    from iac_ci_vcs.provider import Account

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")


def configured(
    facts: Facts,
    configuration: Configuration,
    name: str,
    *,
    command: str = "",
    target: str | None = None,
    also: Collection[str] = (),
) -> tuple[Job | None, Expansion]:
    """Return the job for the event and its expansion; the job is None if it has no order to run.

    The orders ``also`` run whatever has changed.
    Raises ``InputProblems`` if it cannot be made or this stack does not accept it.
    """
    pull = facts.pull
    values = TemplateValues(
        pr_number=pull.number if pull is not None else None,
        sha=facts.commit,
        branch=pull.head_branch if pull is not None else facts.branch,
        base_branch=facts.base_branch,
        actor=facts.actor.login,
        command=command,
        target=target or "",
    )
    expansion = expand(configuration, name, values, facts.changed, target, facts.deleted_folders, also)
    if not expansion.orders:
        return None, expansion
    fields: dict[str, Any] = {
        "flow_label": expansion.flow_label,
        "job_timeout": expansion.job_timeout,
        "max_parallel": expansion.max_parallel,
        "mask": expansion.mask,
        "concurrency": expansion.concurrency,
        "order_statuses": configuration.statuses is Statuses.ORDERS,
    }
    merged = expansion.merged if facts.base_sha else frozenset()
    host_commit = facts.merge_state.commit if facts.merge_state is not None else None
    code = {"merge_into": facts.base_sha, "merge_commit": host_commit}
    orders = [order.model_copy(update=code) if order.order_name in merged else order for order in expansion.orders]
    return _checked(facts, fields, orders), expansion


def again(facts: Facts, rerun: Rerun) -> Job:
    """Return a job of the orders of a run that did not succeed, without dependencies on the others.

    Orders whose files or outputs these take run again too: a plan that was saved for a failed apply is not used twice.
    An approval before one of them is asked for again: it was given for the run that has ended. What it overrides and
    what judged something that is made again runs again too.
    """
    orders = orders_again(rerun.job.orders, rerun.unsuccessful)
    fields = {"flow_label", "job_timeout", "max_parallel", "mask", "concurrency", "order_statuses"}
    return _checked(facts, rerun.job.model_dump(include=fields), orders)


def orders_again(orders: Sequence[Order], names: Collection[str]) -> list[Order]:
    """Return the orders ``names``, those that they need and the approvals before them, without other dependencies."""
    wanted = _with_taken(orders, names)
    while more := _judges(orders, wanted) - wanted:
        wanted |= _with_taken(orders, more)
    approvals = {name: approvals_before(orders, name) for name in wanted}
    wanted |= {name for found in approvals.values() for name in found}
    chosen = [order for order in orders if order.order_name in wanted]
    present = {name for order in chosen for name in (order.order_name, order.queue_id) if name is not None}
    return [
        order.model_copy(update={"dependencies": dependencies} | _conditions(order, dependencies))
        for order in chosen
        for dependencies in [_still_there(order, present, approvals.get(order.order_name or "", ()))]
    ]


def _judges(orders: Sequence[Order], wanted: Collection[str]) -> set[str]:
    """Return what took something of an order that runs again, and what approvals override, before orders that do.

    A policy has judged the plan that is made again. What applies is never repeated for that reason.
    """
    by_name = _by_name(orders)
    found: set[str | None] = set()
    for name in wanted:
        for before in _before(by_name, name):
            overrides = before.approval.overrides if before.approval is not None else ()
            found |= {by_name[one].order_name for one in overrides if one in by_name}
            givers = {by_name[one].order_name for one in taken(before) if one in by_name}
            if not givers.isdisjoint(wanted) and not _applies(before):
                found.add(before.order_name)
    return {name for name in found if name is not None}


def _applies(order: Order) -> bool:
    return purpose(order.order_name or "", order.commands) is Purpose.APPLY


def _still_there(order: Order, names: Collection[str], approvals: Collection[str]) -> list[str]:
    """Return an order's dependencies of those that run again, with the approvals that stood before it."""
    return list(dict.fromkeys([*(name for name in order.dependencies if name in names), *approvals]))


def _conditions(order: Order, dependencies: Collection[str]) -> dict[str, Any]:
    """Return the change to an approval's conditions: to ask although the condition's order does not run is safe."""
    if order.approval is None:
        return {}
    return {"when": {name: state for name, state in order.when.items() if name in dependencies}}


def approvals_before(orders: Sequence[Order], name: str) -> list[str]:
    """Return the names of the approvals among all orders that must end before an order."""
    before = _before(_by_name(orders), name)
    return sorted(order.order_name for order in before if order.approval is not None and order.order_name is not None)


def _by_name(orders: Sequence[Order]) -> dict[str, Order]:
    return {name: order for order in orders for name in (order.queue_id, order.order_name) if name is not None}


def _before(by_name: Mapping[str, Order], name: str) -> list[Order]:
    """Return the orders that must end before an order."""
    found: dict[str, Order] = {}
    waiting = list(by_name[name].dependencies) if name in by_name else []
    while waiting:
        order = by_name.get(waiting.pop())
        if order is None or order.order_name is None or order.order_name in found:
            continue
        found[order.order_name] = order
        waiting += order.dependencies
    return list(found.values())


def taken(order: Order) -> set[str]:
    """Return the names of the orders from which an order takes something."""
    return {wanted.order for wanted in order.restore} | {output.order for output in order.taken_outputs().values()}


def _with_taken(orders: Sequence[Order], names: Collection[str]) -> set[str]:
    """Return the orders ``names`` and, again and again, those of which these take something or whose changes count."""
    by_name = _by_name(orders)
    found: set[str] = set()
    waiting = [by_name[name] for name in names if name in by_name]
    while waiting:
        order = waiting.pop()
        if order.order_name is None or order.order_name in found:
            continue
        found.add(order.order_name)
        overrides = order.approval.overrides if order.approval is not None else ()
        waiting += [by_name[name] for name in {*taken(order), *order.when, *overrides} if name in by_name]
    return found


def _checked(facts: Facts, fields: dict[str, Any], orders: list[Order]) -> Job:
    pull = facts.pull
    if facts.source.head_repository is not None:
        code = {"git_repo": facts.source.head_repository, "commit_hash": facts.commit}
        orders = [order if order.approval is not None else order.model_copy(update=code) for order in orders]
    whole = {
        "username": username(facts.actor),
        "git_repo": facts.source.repository,
        "commit_hash": facts.commit,
        "git_token_location": facts.source.token_location,
        "pr_number": pull.number if pull is not None else _origin(facts, orders),
        "commit_status": True,
        "orders": orders,
        **fields,
    }
    return check_fields({name: value for name, value in whole.items() if value is not None}, facts.source.rules)


def _origin(facts: Facts, orders: Sequence[Order]) -> int | None:
    """Return the merged pull request that shows the run of a push.

    It shows no run that waits for an approval: the comments of that pull request could not answer it.
    """
    return None if any(order.approval is not None for order in orders) else facts.came_from


def username(account: Account) -> str:
    """Return an account's name with the characters that a flow id allows, at most 100."""
    return _NOT_IN_NAMES.sub("-", account.login).strip("-_")[:100] or "unknown"
