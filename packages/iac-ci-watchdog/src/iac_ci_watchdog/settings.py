"""Settings of the watchdog."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.settings import RunSettings


class WatchdogSettings(RunSettings):
    """Settings that the watchdog reads from its environment."""

    init_function: str
    worker_project: str
    metrics_namespace: str = Field("", description="Namespace of the metrics; empty if none are written.")
