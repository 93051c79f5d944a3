"""What the shell offers for runs and orders. Whatever fails offers nothing: a shell has no use for messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DAYS: Final = 14
_MOST: Final = 50
_UNSAFE: Final = re.compile(r"[^\w ./@+,=-]")
"""What a shell could read as more than a letter: completion in zsh evaluates what it is given."""

Offer = tuple[str, str]
"""A word, and a few words about it, for shells that show them."""


def complete_run(ctx: Any, incomplete: str) -> list[Offer]:
    """Return the runs of the last two weeks whose id begins like this, the newest first."""
    return _quietly(lambda: _runs(ctx, incomplete))


def complete_order(ctx: Any, incomplete: str) -> list[Offer]:
    """Return the orders of the run before this word, by their names."""
    return _quietly(lambda: _orders(ctx, incomplete))


def _quietly(offers: Callable[[], Iterator[Offer]]) -> list[Offer]:
    try:
        return list(offers())[:_MOST]
    except Exception:  # noqa: BLE001 - no stack, no rights, no network: nothing to offer
        return []


def _runs(ctx: Any, incomplete: str) -> Iterator[Offer]:
    from iac_ci_cli.history import Wanted, find_runs

    now = datetime.now(UTC)
    page = find_runs(_connection(ctx).history, Wanted(since=now - timedelta(days=_DAYS)), now, most=_MOST * 20)
    for run in page.runs:
        if run.run_id.startswith(incomplete):
            facts = (run.state, run.job, run.repository, run.branch)
            yield run.run_id, _UNSAFE.sub("?", " ".join(fact for fact in facts if fact))


def _orders(ctx: Any, incomplete: str) -> Iterator[Offer]:
    from iac_ci_cli.lookup import whole_run_id

    client = _connection(ctx)
    rows = client.runs.read(whole_run_id(client, ctx.params["run"]))
    for order in rows.orders:
        if order.order_name.startswith(incomplete):
            yield order.order_name, order.status.value


def _connection(ctx: Any) -> Any:
    from iac_ci_cli.connection import connect

    given = ctx.params
    return connect(
        given.get("stack") or "iac-ci",
        local=bool(given.get("local")),
        cloud=given.get("cloud"),
        region=given.get("region"),
        profile=given.get("profile"),
        quiet=True,
    )


__all__ = ["complete_order", "complete_run"]
