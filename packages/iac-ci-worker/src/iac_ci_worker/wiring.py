"""Builds the worker for Lambda and CodeBuild, once per process."""

from __future__ import annotations

from functools import cache

from iac_ci_common.clock import SystemClock
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.sops import SopsSealer
from iac_ci_worker.act import Worker, WorkerPorts
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
    return Worker(WorkerPorts(SystemClock(), HttpPresignedObjects(), SopsSealer(), BashRunner(), logger), settings)
