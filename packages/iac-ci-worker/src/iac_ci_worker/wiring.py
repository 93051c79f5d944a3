"""Builds the worker for Lambda and CodeBuild, once per process."""

from __future__ import annotations

from functools import cache, partial

from iac_ci_common.aws.broker import LambdaBroker
from iac_ci_common.aws.clients import client
from iac_ci_common.clock import SystemClock
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.sops import SopsSealer
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.heartbeat import ThreadHeartbeat
from iac_ci_worker.presigned import HttpPresignedObjects
from iac_ci_worker.processes import shield
from iac_ci_worker.runner import BashRunner
from iac_ci_worker.settings import WorkerSettings


@cache
def worker() -> Worker:
    """Return the worker, after hiding its process's environment from the commands."""
    shield()
    settings = WorkerSettings()
    logger = PowertoolsLogger("worker", settings.log_level)
    return Worker(
        WorkerPorts(
            clock=SystemClock(),
            objects=HttpPresignedObjects(),
            sealer=SopsSealer(),
            runner=BashRunner(),
            broker=LambdaBroker(partial(client, "lambda"), settings.broker_function),
            heartbeat=ThreadHeartbeat(),
            logger=logger,
        ),
        settings,
    )
