"""Which stack to talk to: one on AWS, or a running local cloud."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.executions import StepFunctionExecutions
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.workers import AwsWorkers
from iac_ci_common.clock import SystemClock
from iac_ci_common.errors import NotFound
from iac_ci_common.locations import parse_location
from iac_ci_common.parallel import Threads

if TYPE_CHECKING:
    from iac_ci_cli.executions import Executions
    from iac_ci_common.ports import Clock, LockReader, Objects, Parallel, Runs, Workers


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


@dataclass(slots=True)
class StackClient:
    """A stack within reach. Clients are made when first used."""

    stack: str
    names: Names
    session: dict[str, str] = field(default_factory=dict, repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def client(self, service: str) -> Any:
        """Return a client of the stack's account."""
        if service not in self._clients:
            import boto3
            from botocore.config import Config

            make: Any = boto3.client
            config = Config(
                signature_version="s3v4" if service == "s3" else None,
                # Host names of buckets do not resolve in a local cloud.
                s3={"addressing_style": "path" if "endpoint_url" in self.session else "virtual"},
            )
            self._clients[service] = make(service, config=config, **self.session)
        return self._clients[service]

    @property
    def runs(self) -> Runs:
        """The tables of orders and events."""
        return DynamoRuns(self.client("dynamodb"), self.names.orders_table, self.names.events_table)

    @property
    def locks(self) -> LockReader:
        """The table of locks."""
        return DynamoLocks(self.client("dynamodb"), self.names.locks_table)

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
        with aws_errors("reading the webhook secret"):
            answer = self.client("ssm").get_parameter(Name=location.name, WithDecryption=True)
        value: str = answer["Parameter"]["Value"]
        return value


def connect(stack: str, *, local: bool) -> StackClient:
    """Find a stack: the newest running local cloud, or the one that was deployed under this name."""
    return local_connection(newest_local_cloud(stack)) if local else aws_connection(stack)


def aws_connection(stack: str) -> StackClient:
    """Reach the stack that was deployed under this name, in the AWS account and region of the environment."""
    return _connection(stack, {})


def local_connection(state: dict[str, Any]) -> StackClient:
    """Reach a local cloud; ``state`` is what it announces: its stack, endpoint, region and keys."""
    session = {
        "region_name": state["region"],
        "endpoint_url": state["endpoint"],
        "aws_access_key_id": state["access_key"],
        "aws_secret_access_key": state["secret_key"],
    }
    return _connection(state["stack"], session)


def _connection(stack: str, session: dict[str, str]) -> StackClient:
    """Read the names of a stack's parts from the one parameter that its deployment wrote."""
    connection = StackClient(stack, Names(*[""] * len(Names.__dataclass_fields__)), session)
    name = f"/iac-ci/{stack}/outputs"
    try:
        with aws_errors(f"reading {name}"):
            answer = connection.client("ssm").get_parameter(Name=name)
    except NotFound as error:
        hint = "Check --stack and the AWS account and region you are in, or use --local for a running local cloud."
        raise CommandFailed(f"there is no stack {stack} here: {name} does not exist", hint=hint) from error
    outputs = json.loads(answer["Parameter"]["Value"])
    connection.names = Names(**{field: outputs[field] for field in Names.__dataclass_fields__})
    return connection


def newest_local_cloud(stack: str) -> dict[str, Any]:
    """Find the newest local cloud of this user that announced itself and has a stack of this name."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "iac-ci" if base else Path(tempfile.gettempdir()) / f"iac-ci-{os.getuid()}"
    found: list[tuple[float, dict[str, Any]]] = []
    if folder.is_dir() and folder.stat().st_uid == os.getuid():
        for link in folder.glob("*.json"):
            try:
                state = json.loads(link.read_text("utf-8"))
                found.append((link.stat().st_mtime, state))
            except (OSError, ValueError):
                continue  # its cloud is gone
    mine = [(age, state) for age, state in found if state.get("stack") == stack]
    if not mine:
        raise CommandFailed(
            f"no local cloud with a stack {stack} is running",
            exit_code=ExitCode.UNREACHABLE,
            hint="Start one with `iac-ci local up` in another terminal.",
        )
    return max(mine, key=lambda entry: entry[0])[1]
