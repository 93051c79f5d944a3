"""Builds the worker for Lambda and CodeBuild, once per process."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

from iac_ci_common.aws.broker import LambdaBroker
from iac_ci_common.aws.clients import client
from iac_ci_common.clock import SystemClock
from iac_ci_common.errors import SandboxUnfit
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.sops import SopsSealer
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.heartbeat import ThreadHeartbeat
from iac_ci_worker.leftovers import remove_leftovers
from iac_ci_worker.presigned import HttpPresignedObjects
from iac_ci_worker.processes import shield
from iac_ci_worker.runner import BashRunner
from iac_ci_worker.separation import close_agent_folders, separate_user
from iac_ci_worker.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def worker() -> Worker:
    """Return the worker, after hiding its process's environment and the agent's files from the commands."""
    shield()
    settings = WorkerSettings()
    user = separate_user(settings.command_user)
    if user is not None:
        close_agent_folders()
    logger = PowertoolsLogger("worker", settings.log_level)
    return Worker(
        WorkerPorts(
            clock=SystemClock(),
            objects=HttpPresignedObjects(),
            sealer=SopsSealer(),
            runner=BashRunner(user=user),
            broker=LambdaBroker(partial(client, "lambda"), settings.broker_function),
            heartbeat=ThreadHeartbeat(),
            logger=logger,
        ),
        settings,
    )


@contextmanager
def clean_sandbox() -> Iterator[None]:
    """Remove what earlier orders left, and run an order; end this process if something stays.

    After an exception Lambda would give the same sandbox the next order; after an exit it restarts the sandbox (AWS
    Lambda Developer Guide, "Lambda execution environment lifecycle").
    """
    settings = WorkerSettings()
    try:
        remove_leftovers(settings.clean_below)
        yield
    except SandboxUnfit as error:
        PowertoolsLogger("worker", settings.log_level).error("sandbox unfit", error=error.message)
        sys.stdout.flush()
        os._exit(1)
