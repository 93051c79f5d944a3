"""Decides which runs' comments are folded because the pull request has changed: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_common.models.commands import command_text
from iac_ci_common.purpose import SUPERSEDED, Purpose, purpose
from iac_ci_triggers.decisions import Cancel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_triggers.decisions import Decision
    from iac_ci_triggers.facts import Facts


def outdated_runs(facts: Facts, decisions: Sequence[Decision]) -> dict[str, bool]:
    """Return the runs that the pull request has superseded, and whether each may have applied something.

    An apply that runs goes on, and what one has done stays true: in a folded comment, nobody would see its failure. A
    job that the configuration does not have any more may have applied something.
    """
    superseded = {
        run_id
        for decision in decisions
        if isinstance(decision, Cancel) and decision.reason.startswith(SUPERSEDED)
        for run_id in decision.run_ids
    }
    return {run.run_id: _may_apply(facts, run.job) for run in facts.ledger.runs if run.run_id in superseded}


def has_begun_apply(orders: Sequence[OrderRow]) -> bool:
    """Return whether an apply of a run has begun; one whose rows have expired may have had one."""
    return not orders or any(order.purpose is Purpose.APPLY and order.dispatched_at is not None for order in orders)


def _may_apply(facts: Facts, name: str) -> bool:
    configuration = facts.configuration
    if configuration is None or isinstance(configuration, ConfigurationProblems):
        return True
    job = configuration.jobs.get(name)
    return job is None or any(
        purpose(order.name, map(command_text, order.cmds)) is Purpose.APPLY for order in job.orders
    )


__all__ = ["has_begun_apply", "outdated_runs"]
