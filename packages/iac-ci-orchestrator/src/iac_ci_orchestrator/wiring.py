"""Builds the orchestrator on AWS, once per process."""

from __future__ import annotations

import time
from functools import cache, partial

from iac_ci_common.aws.clients import client
from iac_ci_common.aws.commit_jobs import DynamoCommitJobs
from iac_ci_common.aws.console import log_address
from iac_ci_common.aws.event_bus import EventBridgeBus
from iac_ci_common.aws.functions import LambdaAsyncInvoker
from iac_ci_common.aws.groups import DynamoGroups
from iac_ci_common.aws.last_writes import DynamoLastWrites
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.plans import DynamoPlans
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.secrets import AwsSecrets
from iac_ci_common.aws.watchdogs import StepFunctionWatchdogs
from iac_ci_common.aws.workers import AwsWorkers
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.clock import SystemClock
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.metric_lines import metric_lines
from iac_ci_common.page_links import PageLinks
from iac_ci_common.parallel import Threads
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.ports import OrchestratorPorts
from iac_ci_orchestrator.settings import OrchestratorSettings
from iac_ci_vcs.reports import CodeHostReports


@cache
def orchestrator() -> Orchestrator:
    """Return the orchestrator; raise pydantic's ``ValidationError`` if a setting is missing."""
    settings = OrchestratorSettings()
    logger = PowertoolsLogger("orchestrator", settings.log_level)
    secrets = AwsSecrets(partial(client, "ssm"), partial(client, "secretsmanager"))
    runs = DynamoRuns(client("dynamodb"), settings.orders_table, settings.events_table)
    locks = DynamoLocks(client("dynamodb"), settings.locks_table)
    return Orchestrator(
        OrchestratorPorts(
            clock=SystemClock(),
            runs=runs,
            locks=locks,
            last_writes=DynamoLastWrites(client("dynamodb"), runs, locks),
            objects=S3Objects(client("s3"), settings.internal_bucket),
            done=S3Objects(client("s3"), settings.done_bucket),
            workers=AwsWorkers(
                partial(client, "lambda"),
                partial(client, "codebuild"),
                settings.worker_function,
                settings.worker_project,
            ),
            watchdogs=StepFunctionWatchdogs(client("stepfunctions"), settings.watchdog_arn),
            reports=CodeHostReports(
                secrets,
                DynamoCommitJobs(client("dynamodb"), settings.locks_table, SystemClock()),
                SystemClock(),
                hosts=settings.code_hosts,
                command_options=settings.command_options,
            ),
            plans=DynamoPlans(client("dynamodb"), settings.locks_table, SystemClock(), time.sleep),
            invoker=LambdaAsyncInvoker(client("lambda"), settings.init_function or ""),
            groups=DynamoGroups(client("dynamodb"), settings.locks_table, SystemClock(), time.sleep),
            bus=EventBridgeBus(client("events"), settings.event_bus),
            parallel=Threads(),
            logger=logger,
            metrics=metric_lines(
                logger,
                SystemClock(),
                namespace=settings.metrics_namespace,
                stack=settings.stack,
                level=settings.log_level,
            ),
        ),
        partial(log_address, settings.internal_bucket),
        page_link=PageLinks(settings.page_address, settings.page_key, SharedSecrets(secrets)).of,
        plan_days=settings.plan_days,
        stack=settings.stack,
    )
