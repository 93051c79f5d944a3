"""The stack that a command works on: one on AWS, or a running local cloud."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from iac_ci_cli import streams
from iac_ci_cli.aws_messages import client_failed
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.executions import StepFunctionExecutions
from iac_ci_cli.local_clouds import ask_for_one, can_ask, choose_local_cloud, local_session
from iac_ci_cli.progress import progress
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.history import DynamoHistory
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.ticket_chains import DynamoTicketChains
from iac_ci_common.aws.workers import AwsWorkers
from iac_ci_common.clock import SystemClock
from iac_ci_common.command_lines import command_line, stack_option
from iac_ci_common.errors import NotFound
from iac_ci_common.locations import parse_location
from iac_ci_common.parallel import Threads

if TYPE_CHECKING:
    from iac_ci_cli.executions import Executions
    from iac_ci_common.ports import Clock, History, LockReader, Objects, Parallel, Runs, TicketChains, Workers


_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Names:
    """The parts of a stack that the command line uses."""

    webhook_url: str
    webhook_secret_location: str
    internal_bucket: str
    done_bucket: str
    orders_table: str
    events_table: str
    locks_table: str
    watchdog_arn: str


_NO_NAMES: Final = Names(*[""] * len(Names.__dataclass_fields__))


@dataclass(slots=True)
class StackClient:
    """A stack and how to reach it. Clients are made when first used.

    ``session`` are boto3's settings of a client; ``profile`` is the AWS profile that the user named.
    ``options`` are the options that name this stack in another command line (`` --local``), each with a space in front.
    ``open_lists`` are the operator's lists that let every source use everything. ``page_address`` is the URL of the
    pages of runs, empty on a stack of a version before.
    ``ends_with_command`` is true of a local cloud that this very process runs: no later command can reach it.
    """

    stack: str
    names: Names
    session: dict[str, str] = field(default_factory=dict, repr=False)
    profile: str | None = None
    options: str = ""
    ends_with_command: bool = False
    open_lists: tuple[str, ...] = ()
    page_address: str = ""
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _session: Any = field(default=None, repr=False)

    def client(self, service: str) -> Any:
        """Return a client of the stack's account. Raises ``CommandFailed`` where its settings are wrong."""
        if service not in self._clients:
            from botocore.config import Config

            try:
                config = Config(
                    signature_version="s3v4" if service == "s3" else None,
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    # Host names of buckets do not resolve in a local cloud.
                    s3={"addressing_style": "path" if "endpoint_url" in self.session else "virtual"},
                )
                self._clients[service] = self._boto3_session().client(service, config=config, **self.session)
            except Exception as error:  # settings of the environment raise errors of many kinds
                message, hint = client_failed(error)
                raise CommandFailed(message, hint=hint) from error
        return self._clients[service]

    def _boto3_session(self) -> Any:
        """Return the one session of all clients, so that credentials are fetched, and a code is asked for, once."""
        if "endpoint_url" in self.session:
            return local_session()
        if self._session is None:
            import boto3

            # A named profile counts more than credentials in the environment (Boto3 documentation, "Credentials").
            self._session = boto3.Session(profile_name=self.profile)
        return self._session

    def command(self, name: str, run_id: str, *more: str) -> str:
        """Return the command line that runs a command on a run of this stack, to be shown in a hint."""
        return command_line(name, run_id, *map(shlex.quote, more), options=self.options)

    @property
    def runs(self) -> Runs:
        """The tables of orders and events."""
        return DynamoRuns(self.client("dynamodb"), self.names.orders_table, self.names.events_table)

    @property
    def history(self) -> History:
        """The index of runs."""
        return DynamoHistory(self.client("dynamodb"), self.names.events_table, self.clock, self.parallel)

    @property
    def locks(self) -> LockReader:
        """The table of locks."""
        return DynamoLocks(self.client("dynamodb"), self.names.locks_table)

    @property
    def chains(self) -> TicketChains:
        """The chains of tickets, in the table of locks."""
        return DynamoTicketChains(self.client("dynamodb"), self.names.locks_table)

    @property
    def internal(self) -> Objects:
        """The bucket of jobs, results and logs."""
        return S3Objects(self.client("s3"), self.names.internal_bucket)

    @property
    def done(self) -> Objects:
        """The bucket of done markers."""
        return S3Objects(self.client("s3"), self.names.done_bucket)

    @property
    def workers(self) -> Workers:
        """Builds and functions that run orders: to look at, names to start them by are not known here."""
        return AwsWorkers(partial(self.client, "lambda"), partial(self.client, "codebuild"), "", "")

    @property
    def executions(self) -> Executions:
        """The executions of the watchdog."""
        return StepFunctionExecutions(partial(self.client, "stepfunctions"), self.names.watchdog_arn)

    @property
    def clock(self) -> Clock:
        """The time here."""
        return SystemClock()

    @property
    def parallel(self) -> Parallel:
        """Threads, fewer than connections."""
        return Threads(8)

    def webhook_secret(self) -> str:
        """Read the secret that jobs are signed with."""
        location = parse_location(self.names.webhook_secret_location)
        return self._read_parameter(location.name, "reading the webhook secret")

    def parameter(self, name: str) -> str:
        """Return the text of one of the stack's own parameters; raise ``NotFound`` or ``PortFailed``."""
        full = f"/iac-ci/{self.stack}/{name}"
        return self._read_parameter(full, f"reading {full}")

    def _read_parameter(self, name: str, doing: str) -> str:
        with aws_errors(doing):
            answer = self.client("ssm").get_parameter(Name=name, WithDecryption=True)
        value: str = answer["Parameter"]["Value"]
        return value


def connect(
    stack: str,
    *,
    local: bool,
    cloud: str | None = None,
    region: str | None = None,
    profile: str | None = None,
    quiet: bool = False,
) -> StackClient:
    """Reach a stack: the one that was deployed under this name, or the one of a running local cloud.

    ``cloud`` is the account number of a local cloud and implies ``local``; ``region`` and ``profile`` are those of AWS.
    Raises ``CommandFailed`` where there is no such stack, where several local clouds run and none is named, and where
    the options name both AWS and a local cloud.
    """
    is_local = local or cloud is not None
    if is_local and (region is not None or profile is not None):
        raise CommandFailed(
            "--region and --profile choose a stack on AWS, --local and --cloud one on this machine",
            exit_code=ExitCode.BAD_INPUT,
            hint="Leave out one of the two.",
        )
    if is_local:
        return _connect_locally(stack, cloud, quiet=quiet)
    with progress(f"Connecting to the stack {stack}", quiet=quiet):
        return aws_connection(stack, region=region, profile=profile)


def _connect_locally(stack: str, cloud: str | None, *, quiet: bool) -> StackClient:
    """Reach a local cloud. One that the user did not name is named on standard error."""
    chosen = choose_local_cloud(stack, cloud, ask=None if quiet or not can_ask() else ask_for_one)
    if cloud is None and not quiet:
        streams.write_error(f"Local cloud {chosen.state['account']}, {chosen.description}\n")
    with progress(f"Connecting to the local cloud {chosen.state['account']}", quiet=quiet):
        return local_connection(chosen.state, named=not chosen.is_only)


def aws_connection(stack: str, *, region: str | None = None, profile: str | None = None) -> StackClient:
    """Reach the stack that was deployed under this name, by default in the account and region of the environment.

    boto3 reads AWS_DEFAULT_REGION only; the other SDKs and the AWS CLI read AWS_REGION first, and so does this.
    """
    if os.environ.get("AWS_DEFAULT_REGION") == "":
        # boto3 would take the empty text for a region.
        del os.environ["AWS_DEFAULT_REGION"]
    chosen = region or os.environ.get("AWS_REGION")
    session = {"region_name": chosen} if chosen else {}
    options = stack_option(stack)
    options += f" --region {region}" if region else ""
    options += f" --profile {shlex.quote(profile)}" if profile else ""
    return _read_names(StackClient(stack, _NO_NAMES, session, profile, options=options))


def local_connection(state: dict[str, Any], *, named: bool = False) -> StackClient:
    """Reach a local cloud; ``state`` is what it announces: its stack, endpoint, region and keys.

    ``named`` is true where the user chose it by its account, so that hints must name it too.
    """
    session = {
        "region_name": state["region"],
        "endpoint_url": state["endpoint"],
        "aws_access_key_id": state["access_key"],
        "aws_secret_access_key": state["secret_key"],
    }
    return _read_names(
        StackClient(
            state["stack"],
            _NO_NAMES,
            session,
            options=local_options(state, named=named),
            ends_with_command=state.get("pid") == os.getpid(),
        )
    )


def local_options(state: dict[str, Any], *, named: bool) -> str:
    """Return the options of a command line that reach a local cloud, ``named`` by its account or not."""
    return (f" --cloud {state['account']}" if named else " --local") + stack_option(state["stack"])


def _read_names(connection: StackClient) -> StackClient:
    """Read the names of a stack's parts from the one parameter that its deployment wrote."""
    name = f"/iac-ci/{connection.stack}/outputs"
    try:
        with aws_errors(f"reading {name}"):
            answer = connection.client("ssm").get_parameter(Name=name)
    except NotFound as error:
        hint = "Check --stack, --region and --profile, or use --local for a running local cloud."
        raise CommandFailed(f"there is no stack {connection.stack} here: {name} does not exist", hint=hint) from error
    try:
        outputs = json.loads(answer["Parameter"]["Value"])
        connection.names = Names(**{field: outputs[field] for field in Names.__dataclass_fields__})
        # The version before had no such lists.
        connection.open_lists = tuple(str(name) for name in outputs.get("open_lists", ()))
        connection.page_address = str(outputs.get("page_address", ""))
    except (ValueError, KeyError, TypeError) as error:
        hint = "Was the stack deployed by another version? Deploy it again with this one."
        raise CommandFailed(f"{name} does not describe a stack of this version", hint=hint) from error
    return connection
