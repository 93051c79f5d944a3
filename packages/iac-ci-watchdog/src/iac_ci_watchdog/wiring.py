"""Builds the watchdog on AWS, once per process."""

from __future__ import annotations

from functools import cache, partial

from iac_ci_common.aws.clients import client
from iac_ci_common.aws.functions import LambdaAsyncInvoker
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.workers import AwsWorkers
from iac_ci_common.clock import SystemClock
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.metric_lines import metric_lines
from iac_ci_common.parallel import Threads
from iac_ci_watchdog.act import Watchdog
from iac_ci_watchdog.ports import WatchdogPorts
from iac_ci_watchdog.settings import WatchdogSettings


@cache
def watchdog() -> Watchdog:
    """Return the watchdog; raise pydantic's ``ValidationError`` if a setting is missing."""
    settings = WatchdogSettings()
    logger = PowertoolsLogger("watchdog", settings.log_level)
    return Watchdog(
        WatchdogPorts(
            clock=SystemClock(),
            runs=DynamoRuns(client("dynamodb"), settings.orders_table, settings.events_table),
            locks=DynamoLocks(client("dynamodb"), settings.locks_table),
            objects=S3Objects(client("s3"), settings.internal_bucket),
            # The watchdog reads and stops builds; it starts no worker.
            workers=AwsWorkers(partial(client, "lambda"), partial(client, "codebuild"), "", settings.worker_project),
            invoker=LambdaAsyncInvoker(client("lambda"), settings.init_function),
            parallel=Threads(),
            logger=logger,
            metrics=metric_lines(
                logger,
                SystemClock(),
                namespace=settings.metrics_namespace,
                stack=settings.stack,
                level=settings.log_level,
            ),
        )
    )
