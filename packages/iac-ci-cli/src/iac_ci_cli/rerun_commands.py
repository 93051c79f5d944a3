"""The command that runs orders of a run again."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from iac_ci_cli import jobs
from iac_ci_cli.arguments import RunId  # noqa: TC001 - typer reads them when it runs
from iac_ci_cli.aws_messages import aws_message
from iac_ci_cli.completion import complete_order
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted, problems_of
from iac_ci_cli.job_commands import report_accepted
from iac_ci_cli.lookup import find_event, whole_run_id
from iac_ci_cli.progress import progress
from iac_ci_cli.stack_options import StackOptions, with_stack_options
from iac_ci_cli.watch import watch_to_the_end
from iac_ci_common import ids, overrides
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.command_lines import command_line
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.answer import RerunTask
from iac_ci_common.states import OrderState

if TYPE_CHECKING:
    from iac_ci_cli.connection import StackClient
    from iac_ci_common.models.answer import Accepted

commands = typer.Typer()

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_+=,.@-]+")


@commands.callback()
def of_reruns() -> None:
    """Make a group of the only command here, as the application expects."""


@commands.command()
@with_stack_options
def rerun(
    run: RunId,
    orders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ORDER]...", help="Names or numbers of orders.", autocompletion=complete_order),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Run the orders that did not succeed.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the run; exit with 0 only if it succeeded.")] = False,
    *,
    options: StackOptions,
) -> None:
    """Run the orders of a run that has ended again, as a new run; --failed or ORDER chooses some.

    The code is fetched again at its commit, secrets and rights are checked again. Orders whose files or outputs the
    chosen ones take run too.
    """
    if failed and orders:
        raise CommandFailed("--failed chooses the orders; leave out ORDER", exit_code=ExitCode.BAD_INPUT)
    client = options.connect()
    run = whole_run_id(client, run)
    chosen = list(orders or ())
    if failed:
        with progress("Reading the run", quiet=options.as_json):
            chosen = unsuccessful(client, run)
        if not chosen:
            raise CommandFailed(f"every order of run {run} succeeded", exit_code=ExitCode.BAD_INPUT)
    with progress("Starting the run", quiet=options.as_json):
        accepted = _invoke(client, run, chosen)
    report_accepted(client, accepted, wait=wait, as_json=options.as_json)
    if wait:
        raise typer.Exit(watch_to_the_end(client, accepted.run_id, as_json=options.as_json))


def unsuccessful(client: StackClient, run: str) -> list[str]:
    """Return the names of the orders that did not succeed, from the rows or, when these are gone, from the events."""
    rows = client.runs.read(run)
    if rows.run is not None:
        return [row.order_name for row in overrides.unsuccessful(rows.orders) if not row.not_needed]
    accepted = find_event(client, run)
    states: dict[str, str] = {}
    for event in client.runs.events(accepted.trace_id) if accepted is not None else ():
        if event.order_num != ids.RUN_ORDER_NUM and event.kind in {state.value for state in OrderState}:
            states[event.order_name] = event.kind
    if not states:
        runs = command_line("runs", options=client.options)
        hint = f"`{runs}` lists the runs of the last 90 days. Is this the right stack?"
        raise CommandFailed(f"nothing is known of run {run}", exit_code=ExitCode.BAD_INPUT, hint=hint)
    return [name for name, state in states.items() if state != OrderState.SUCCEEDED.value]


def _invoke(client: StackClient, run: str, orders: list[str]) -> Accepted:
    """Ask the init function for a new run. A caller who may invoke it may run again what ran before."""
    new_run = ids.new_run_id(datetime.now(UTC))
    task = RerunTask(rerun=run, as_run=new_run, orders=tuple(orders), by=_caller(client))
    watch = client.command("watch", new_run)
    try:
        with interrupted("the run may have been started.", hint=f"Look with: {watch}"), aws_errors("starting the run"):
            response = client.client("lambda").invoke(
                FunctionName=f"{client.stack}-init-job", Payload=task.model_dump_json().encode()
            )
            answer: Any = json.loads(response["Payload"].read())
    except PortFailed as error:
        refusal: Any = getattr(error.__cause__, "response", None) or {}
        if 400 <= refusal.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < 500:
            raise
        # The answer may be what was lost, and the same command would start another run.
        message, _ = aws_message(error) or (error.message, "")
        raise CommandFailed(message, hint=f"The run may have been started. Look with: {watch}") from error
    if "statusCode" not in answer:
        hint = f"The reason is in /aws/lambda/{client.stack}-init-job. Was the stack deployed by a version before?"
        raise CommandFailed("the init function did not start the run", hint=hint)
    with problems_of(f"the rerun of run {run}"):
        return jobs.accepted_answer(int(answer["statusCode"]), str(answer["body"]).encode(), f"Look with: {watch}")


def _caller(client: StackClient) -> str:
    """Return the name of the caller's credentials, as AWS knows it."""
    with aws_errors("asking for the caller's name"):
        arn = str(client.client("sts").get_caller_identity()["Arn"])
    return _NOT_IN_NAMES.sub("-", arn.rpartition("/")[2].rpartition(":")[2]).strip("-")[:64] or "operator"
