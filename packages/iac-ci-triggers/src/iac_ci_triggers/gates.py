"""Answers to orders that wait for an approval, in comments: who may give them, and what each refusal says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.approvals import not_answerable
from iac_ci_common.models.approval import THROUGH_COMMENT, ApprovalAnswer
from iac_ci_common.states import OrderState
from iac_ci_triggers.commands import APPROVE, PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_triggers.commands import Command
    from iac_ci_triggers.ledger import StartedRun
    from iac_ci_vcs.provider import Account, PullRequest

TEAM: Final = "team:"


@dataclass(frozen=True, slots=True)
class Gate:
    """An order with an approval in a run of this pull request, as it is now.

    ``is_named`` says whether the comment's author is among those who may answer, None if the host does not tell it.
    """

    started: StartedRun
    run: RunRow
    orders: tuple[OrderRow, ...]
    order: OrderRow
    is_named: bool | None


@dataclass(frozen=True, slots=True)
class Answerable:
    """An order that the comment answers, and the answer."""

    order: OrderRow
    answer: ApprovalAnswer


def names(entry: str, account: Account, *, by_login: bool) -> bool:
    """Return whether an entry of ``by`` names a person: by the permanent id in braces, or by the login.

    Logins are compared ignoring case; ``by_login`` is False for a host whose names are not unique.
    """
    if entry.startswith("{"):
        return entry.casefold() == account.id.casefold()
    return by_login and bool(account.login) and entry.casefold() == account.login.casefold()


@dataclass(frozen=True, slots=True)
class WrittenCommand:
    """A command in a comment: who wrote it and when, and what identifies it."""

    command: Command
    author: Account
    at: datetime
    intent: str


def answer_to(gates: Sequence[Gate], pull: PullRequest, written: WrittenCommand, now: datetime) -> Answerable | str:
    """Return the answer of a comment's command to an order, or why there is none."""
    command, author, intent = written.command, written.author, written.intent
    approved = command.name == APPROVE
    target = command.target or ""
    known = [gate for gate in gates if gate.order.order_name == target]
    if command.run_id is not None:
        known = [gate for gate in known if gate.run.run_id == command.run_id]
    if not known:
        return _unknown(target, command, gates)
    present = [gate for gate in known if gate.started.at_base or gate.started.sha == pull.head_sha]
    if not present:
        return f"{target} was not answered: its run {known[-1].run.run_id} is for an older commit than {pull.head_sha}."
    present = [gate for gate in present if gate.started.base in {None, pull.base_branch}]
    if not present:
        return f"{target} was not answered: its run {known[-1].run.run_id} is for another base branch."
    waiting = [gate for gate in present if gate.order.status is OrderState.QUEUED] or present[-1:]
    if len(waiting) > 1:
        runs = ", ".join(gate.run.run_id for gate in waiting)
        return (
            f"{target} was not answered: several runs have it. Name one: {PREFIX} {command.name} {target} RUN ({runs})."
        )
    (gate,) = waiting
    if gate.order.approval_answer is not None and gate.order.approval_answer.reference == intent:
        # The event is processed again.
        return Answerable(gate.order, gate.order.approval_answer)
    why = not_answerable(gate.run, gate.order, {order.order_num: order for order in gate.orders}, now)
    why = why or _too_early(gate, written) or _not_by(gate, pull, author, approved=approved)
    if why is not None:
        return f"{target} was not {'approved' if approved else 'rejected'}: {why}."
    answer = ApprovalAnswer(
        approved=approved,
        through=THROUGH_COMMENT,
        by=author.login or author.id,
        account=author.id,
        commit=gate.started.sha,
        reference=intent,
        at=now,
    )
    return Answerable(gate.order, answer)


def _unknown(target: str, command: Command, gates: Sequence[Gate]) -> str:
    in_run = f" in run {command.run_id}" if command.run_id is not None else ""
    text = f"No order {target}{in_run} of this pull request waits for an approval, or did in the last day."
    open_names = sorted({gate.order.order_name for gate in gates if gate.order.awaits_answer})
    return f"{text} Waiting: {', '.join(open_names[:10])}." if open_names else text


def _too_early(gate: Gate, written: WrittenCommand) -> str | None:
    """Return why a comment was about another run, None if it may be about this one: nobody approves unseen."""
    if written.at >= gate.run.accepted_at:
        return None
    return f"the comment was written before its run {gate.run.run_id} was started"


def _not_by(gate: Gate, pull: PullRequest, author: Account, *, approved: bool) -> str | None:
    """Return why this person may not answer, None if they may."""
    approval = gate.order.approval
    if approval is None:
        return "it waits for no approval"
    if gate.is_named is None:
        return f"the code host does not tell this stack's token whether {author.login} is in one of the teams it names"
    if not gate.is_named:
        return f"{author.login} is not among those it names"
    if approved and not approval.self_approval:
        if author.id == pull.author.id:
            return f"{author.login} is the author of the pull request, and the order does not let authors approve"
        if _has_started(author, gate):
            return f"{author.login} started the run, and the order does not let them approve"
    return None


def _has_started(account: Account, gate: Gate) -> bool:
    """Return whether an account started the run; people may change their names meanwhile, and not their ids."""
    if gate.started.by is not None:
        return account.id == gate.started.by
    return gate.run.actor is not None and account.login.casefold() == gate.run.actor.casefold()
