"""Settings of the orchestrator."""

from __future__ import annotations

from iac_ci_common.settings import RunSettings


class OrchestratorSettings(RunSettings):
    """What the orchestrator reads from its environment."""

    done_bucket: str
    watchdog_arn: str
    worker_function: str
    worker_project: str
