"""Commands that answer an order that waits for an approval."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from iac_ci_cli.arguments import RunId  # noqa: TC001 - typer reads it when it runs
from iac_ci_cli.completion import complete_order
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted
from iac_ci_cli.jobs import check_idempotency_key
from iac_ci_cli.lookup import find_order, find_run, whole_run_id
from iac_ci_cli.progress import progress
from iac_ci_cli.sending import post
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.text import one_line, plain, write
from iac_ci_common.errors import StoredUnreadable
from iac_ci_common.models.approval_request import Answered, AnsweredOrder, ApprovalRequest

if TYPE_CHECKING:
    from iac_ci_cli.connection import StackClient

commands = typer.Typer()

OrderToAnswer = Annotated[
    str, typer.Argument(metavar="ORDER", help="Name or number of the order.", autocompletion=complete_order)
]


@commands.command()
@with_stack_options
def approve(
    run: RunId,
    order: OrderToAnswer,
    *,
    options: StackOptions,
) -> None:
    """Approve an order whose approval has `api: true`. No person is known then: the record says that.

    A person whom the order names comments `/iac-ci approve ORDER` on the pull request instead.
    """
    client = options.connect()
    _answer(client, run, order, approves=True, as_json=options.as_json)


@commands.command()
@with_stack_options
def reject(
    run: RunId,
    order: OrderToAnswer,
    *,
    options: StackOptions,
) -> None:
    """Reject an order whose approval has `api: true`: it ends as failed, and what depends on it is skipped."""
    client = options.connect()
    _answer(client, run, order, approves=False, as_json=options.as_json)


def _answer(client: StackClient, run: str, name: str, *, approves: bool, as_json: bool) -> None:
    run = whole_run_id(client, run)
    word = "approve" if approves else "reject"
    again = f"It is safe to repeat: {client.command(word, run, name)}"
    with (
        interrupted("the order may have been answered.", hint=again),
        progress("Sending the answer", quiet=as_json),
    ):
        rows = find_run(client.runs, client.internal, run)
        row = find_order(rows, run, name)
        commit = rows.run.commit_hash if rows.run is not None else None
        answer = AnsweredOrder(
            run_id=run, order=row.order_num, answer="approve" if approves else "reject", commit_hash=commit
        )
        body = ApprovalRequest(approval=answer).model_dump_json(exclude_none=True).encode()
        status, data = post(
            client.names.webhook_url, client.webhook_secret(), body, key=check_idempotency_key(None), again=again
        )
    if status != 200:
        raise _refused(status, data)
    try:
        answered = Answered.from_stored(data)
    except StoredUnreadable as error:
        raise CommandFailed("the webhook endpoint's answer is not iac-ci's", hint=again) from error
    if as_json:
        write(answered.model_dump_json())
        return
    write(f"{plain(answered.order_name)}: {one_line(answered.reason)}")
    write(f"Watch the run with: {client.command('watch', run)}")


def _refused(status: int, data: bytes) -> CommandFailed:
    try:
        payload = json.loads(data)
        # API Gateway's own answers have a message.
        message = str(payload.get("error", payload.get("message", "no reason given")))
    except (ValueError, AttributeError):
        message = "the answer is not iac-ci's"
    code = ExitCode.BAD_INPUT if status in {400, 409} else ExitCode.UNREACHABLE
    return CommandFailed(f"the order was not answered (HTTP {status}): {message}", exit_code=code)
