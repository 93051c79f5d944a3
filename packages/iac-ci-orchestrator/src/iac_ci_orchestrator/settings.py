"""Settings of the orchestrator."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.limits import DEFAULT_PLAN_DAYS
from iac_ci_common.settings import RunSettings
from iac_ci_vcs.provider import HostSettings


class OrchestratorSettings(RunSettings):
    """Settings that the orchestrator reads from its environment."""

    done_bucket: str
    watchdog_arn: str
    worker_function: str
    worker_project: str
    init_function: str | None = Field(
        None, description="Plans again what applies made stale; None in the environment of a version before."
    )
    metrics_namespace: str = Field("", description="Namespace of the metrics; empty if none are written.")
    code_hosts: dict[str, HostSettings] = Field(
        default_factory=dict, description="Provider and API of hosts whose name does not identify them."
    )
    command_options: str = Field("", description="Options that name the stack in command lines of comments.")
    event_bus: str = Field("", description="Name of the bus for announcements; without it nothing is announced.")
    page_address: str = Field("", description="URL of the pages of runs; without it reports have no link.")
    page_key: str | None = Field(None, description="Location of the key that signs links to pages of runs.")
    plan_days: int = Field(DEFAULT_PLAN_DAYS, ge=1, le=365, description="Days for which the bucket keeps saved plans.")
