"""Builds the parts of the init function on AWS: each once per process, at its first use."""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from iac_ci_common.acceptance import Acceptance
from iac_ci_common.accepted_jobs import AcceptedJobs
from iac_ci_common.aws.clients import client
from iac_ci_common.aws.commit_jobs import DynamoCommitJobs
from iac_ci_common.aws.deliveries import DynamoDeliveries
from iac_ci_common.aws.functions import LambdaAsyncInvoker
from iac_ci_common.aws.groups import DynamoGroups
from iac_ci_common.aws.objects import S3CodeStore, S3Objects
from iac_ci_common.aws.plans import DynamoPlans
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.secrets import AwsSecrets
from iac_ci_common.aws.watchdogs import StepFunctionWatchdogs
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.clock import SystemClock
from iac_ci_common.granted import SourceGrants
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.models.tools import ToolSettings
from iac_ci_common.page_links import PageLinks
from iac_ci_common.parallel import Threads
from iac_ci_common.sops import SopsSealer
from iac_ci_init.approval_intake import ApprovalIntake
from iac_ci_init.downloads import HttpDownloads
from iac_ci_init.job_intake import JobIntake, JobIntakePorts
from iac_ci_init.job_tools import JobTools
from iac_ci_init.own_tools import OwnTools
from iac_ci_init.preparation import PreparationPorts, Preparer
from iac_ci_init.settings import InitSettings
from iac_ci_init.tool_releases import ToolReleases
from iac_ci_triggers.dynamo_ledgers import DynamoLedgers
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.reports import CodeHostReports

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_init.chores import Chore
    from iac_ci_init.reruns import Reruns
    from iac_ci_init.tick import Tick
    from iac_ci_triggers.act import EventProcessor
    from iac_ci_triggers.connections import Connections
    from iac_ci_triggers.webhook import WebhookReceiver


_TICK_SECONDS: Final = 10
"""Longest time that a tick waits for a host: a sixth of its time, because a host that is down is asked again later."""

_TREE_SECONDS: Final = 120
"""Longest time for reading a commit's paths: the function's time-out of 300 seconds less the requests and decisions."""


@cache
def settings() -> InitSettings:
    """Return the settings; raise pydantic's ``ValidationError`` if one is missing."""
    return InitSettings()


@cache
def logger() -> PowertoolsLogger:
    """Return the logger."""
    return PowertoolsLogger("init", settings().log_level)


@cache
def job_intake() -> JobIntake:
    """Return the part that accepts jobs."""
    return JobIntake(
        JobIntakePorts(
            clock=SystemClock(),
            deliveries=DynamoDeliveries(client("dynamodb"), settings().locks_table),
            objects=_internal(),
            watchdogs=StepFunctionWatchdogs(client("stepfunctions"), settings().watchdog_arn),
            invoker=LambdaAsyncInvoker(client("lambda"), settings().init_function),
            secrets=_secrets(),
            logger=logger(),
            accepted=_accepted_jobs(),
        ),
        settings(),
    )


@cache
def approval_intake() -> ApprovalIntake:
    """Return the part that answers orders by signed requests."""
    return ApprovalIntake(SystemClock(), _runs(), _internal(), _secrets(), settings().webhook_secrets)


@cache
def webhook_receiver() -> WebhookReceiver:
    """Return the part that receives code hosts' events; it is only loaded for these."""
    from iac_ci_triggers.webhook import WebhookReceiver, WebhookReceiverPorts

    return WebhookReceiver(
        WebhookReceiverPorts(
            clock=SystemClock(),
            deliveries=DynamoDeliveries(client("dynamodb"), settings().locks_table),
            objects=_internal(),
            invoker=LambdaAsyncInvoker(client("lambda"), settings().init_function),
            secrets=_secrets(),
            logger=logger(),
        ),
        settings(),
    )


@cache
def event_processor() -> EventProcessor:
    """Return the part that processes stored events."""
    from iac_ci_triggers.act import EventProcessor, EventProcessorPorts
    from iac_ci_vcs.hosts import OpenedCodeHosts

    return EventProcessor(
        EventProcessorPorts(
            clock=SystemClock(),
            objects=_internal(),
            runs=_runs(),
            ledgers=_ledgers(),
            commit_jobs=_commit_jobs(),
            code_hosts=OpenedCodeHosts(_secrets(), hosts=settings().code_hosts),
            trees=GitRepositories(
                allow_file=settings().allow_file_repositories, hosts=settings().code_hosts, seconds=_TREE_SECONDS
            ),
            plans=DynamoPlans(client("dynamodb"), settings().locks_table, SystemClock(), time.sleep),
            groups=DynamoGroups(client("dynamodb"), settings().locks_table, SystemClock(), time.sleep),
            logger=logger(),
        ),
        _acceptance(),
        webhook_receiver().connections,
        SourceGrants(_secrets(), settings().sources, settings().former_grants).of,
        settings(),
    )


@cache
def tick() -> Tick:
    """Return the part that runs the regular tasks; it is only loaded for these."""
    from iac_ci_init.connection_check import ConnectionCheck
    from iac_ci_init.missed_events import MissedEvents, MissedEventsPorts
    from iac_ci_init.schedules import Schedules, SchedulesPorts
    from iac_ci_init.tick import Tick, TickPorts
    from iac_ci_vcs.hosts import OpenedCodeHosts

    clock = SystemClock()
    checks = ConnectionCheck(webhook_receiver().connections, _secrets(), clock, logger())
    missed = MissedEvents(
        MissedEventsPorts(
            clock=clock,
            code_hosts=OpenedCodeHosts(_secrets(), hosts=settings().code_hosts, seconds=_TICK_SECONDS),
            ledgers=_ledgers(),
            deliveries=DynamoDeliveries(client("dynamodb"), settings().locks_table),
            objects=_internal(),
            invoker=LambdaAsyncInvoker(client("lambda"), settings().init_function),
            logger=logger(),
        ),
        webhook_receiver().connections,
    )
    schedules = Schedules(
        SchedulesPorts(
            clock=clock,
            code_hosts=OpenedCodeHosts(_secrets(), hosts=settings().code_hosts, seconds=_TICK_SECONDS),
            ledgers=_ledgers(),
            deliveries=DynamoDeliveries(client("dynamodb"), settings().locks_table),
            objects=_internal(),
            invoker=LambdaAsyncInvoker(client("lambda"), settings().init_function),
            logger=logger(),
        ),
        webhook_receiver().connections,
    )
    chores: list[Chore] = [checks, missed, schedules]
    return Tick(TickPorts(clock, _internal(), logger()), settings().tick_rule_arn, chores, [schedules.start_due])


@cache
def reruns() -> Reruns:
    """Return the part that runs orders again; it is only loaded for that."""
    from iac_ci_init.reruns import RerunPorts, Reruns

    return Reruns(
        RerunPorts(SystemClock(), _internal(), _runs(), _ledgers()),
        _acceptance(),
        settings(),
        SourceGrants(_secrets(), settings().sources, settings().former_grants).of,
        _connections,
    )


@cache
def preparer() -> Preparer:
    """Return the part that prepares runs."""
    return Preparer(
        PreparationPorts(
            clock=SystemClock(),
            runs=_runs(),
            ledgers=_ledgers(),
            objects=_internal(),
            code_store=S3CodeStore(client("s3")),
            repositories=GitRepositories(allow_file=settings().allow_file_repositories, hosts=settings().code_hosts),
            secrets=_secrets(),
            sealer=SopsSealer(settings().kms_key_arn, partial(client, "kms")),
            reports=CodeHostReports(
                _secrets(),
                _commit_jobs(),
                SystemClock(),
                hosts=settings().code_hosts,
                command_options=settings().command_options,
            ),
            parallel=Threads(),
            logger=logger(),
            tools=JobTools(
                # The local cloud is the one that accepts file:// repositories.
                ToolReleases(_internal(), HttpDownloads(again=not settings().allow_file_repositories)),
                OwnTools(settings().command_path),
                _tool_settings,
            ),
            accepted=_accepted_jobs(),
        ),
        settings().max_parallel,
        stack=settings().stack,
        own_buckets=settings().own_buckets,
        connections=_connections,
        page_link=PageLinks(settings().page_address, settings().page_key, _shared_secrets()).of,
    )


def _connections(now: datetime) -> Connections:
    # Loaded for the first submodule, or for a run that is started again.
    return webhook_receiver().connections(now)


def _tool_settings(now: datetime) -> ToolSettings:
    """Return what the operator set for tools; a stack of a version before has no such parameter."""
    found = _shared_secrets().values([f"ssm:/iac-ci/{settings().stack}/tools"], now)
    return ToolSettings.from_stored(found[0]) if found else ToolSettings()


@cache
def _shared_secrets() -> SharedSecrets:
    return SharedSecrets(_secrets())


def _acceptance() -> Acceptance:
    return Acceptance(
        _internal(),
        StepFunctionWatchdogs(client("stepfunctions"), settings().watchdog_arn),
        LambdaAsyncInvoker(client("lambda"), settings().init_function),
        logger(),
        settings().done_bucket,
        settings().stack_level,
        settings().order_sizes,
        _accepted_jobs(),
    )


@cache
def _accepted_jobs() -> AcceptedJobs:
    return AcceptedJobs()


def _internal() -> S3Objects:
    return S3Objects(client("s3"), settings().internal_bucket)


def _runs() -> DynamoRuns:
    return DynamoRuns(client("dynamodb"), settings().orders_table, settings().events_table)


def _ledgers() -> DynamoLedgers:
    return DynamoLedgers(client("dynamodb"), settings().locks_table, SystemClock())


def _commit_jobs() -> DynamoCommitJobs:
    return DynamoCommitJobs(client("dynamodb"), settings().locks_table, SystemClock())


def _secrets() -> AwsSecrets:
    return AwsSecrets(partial(client, "ssm"), partial(client, "secretsmanager"))
