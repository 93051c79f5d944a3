"""The init function on AWS: each leg built once per process, when it is first needed."""

from __future__ import annotations

from functools import cache, partial

from iac_ci_common.aws.clients import client
from iac_ci_common.aws.functions import LambdaPreparations
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3CodeStore, S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.secrets import AwsSecrets
from iac_ci_common.aws.watchdogs import StepFunctionWatchdogs
from iac_ci_common.clock import SystemClock
from iac_ci_common.notes import PowertoolsNotes
from iac_ci_common.parallel import Threads
from iac_ci_common.sops import SopsSealer
from iac_ci_common.vcs.git import GitRepositories
from iac_ci_common.vcs.reports import CodeHostReports
from iac_ci_init.act import Door, DoorPorts, PreparationPorts, Preparer
from iac_ci_init.settings import InitSettings


@cache
def settings() -> InitSettings:
    """Read the settings; raises pydantic's error where one is missing."""
    return InitSettings()


@cache
def notes() -> PowertoolsNotes:
    """Open the log."""
    return PowertoolsNotes("init", settings().log_level)


@cache
def door() -> Door:
    """Build the first leg."""
    return Door(
        DoorPorts(
            clock=SystemClock(),
            locks=DynamoLocks(client("dynamodb"), settings().locks_table),
            objects=S3Objects(client("s3"), settings().internal_bucket),
            watchdogs=StepFunctionWatchdogs(client("stepfunctions"), settings().watchdog_arn),
            preparations=LambdaPreparations(client("lambda"), settings().init_function),
            secrets=_secrets(),
            notes=notes(),
        ),
        settings(),
    )


@cache
def preparer() -> Preparer:
    """Build the second leg."""
    return Preparer(
        PreparationPorts(
            clock=SystemClock(),
            runs=DynamoRuns(client("dynamodb"), settings().orders_table, settings().events_table),
            objects=S3Objects(client("s3"), settings().internal_bucket),
            code_store=S3CodeStore(client("s3")),
            repositories=GitRepositories(allow_file=settings().allow_file_repositories),
            secrets=_secrets(),
            sealer=SopsSealer(settings().kms_key_arn),
            reports=CodeHostReports(_secrets()),
            parallel=Threads(),
            notes=notes(),
        ),
        settings().max_parallel,
    )


def _secrets() -> AwsSecrets:
    return AwsSecrets(partial(client, "ssm"), partial(client, "secretsmanager"), partial(client, "sts"))
