"""Settings of the init function."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.limits import DEFAULT_MAX_PARALLEL
from iac_ci_triggers.settings import TriggerSettings


class InitSettings(TriggerSettings):
    """Settings that the init function reads from its environment."""

    kms_key_arn: str
    watchdog_arn: str
    init_function: str
    webhook_secrets: list[str] = Field(description="Locations of the secrets that may sign requests.")
    command_options: str = Field("", description="Options that name the stack in command lines of comments.")
    max_parallel: int = DEFAULT_MAX_PARALLEL
    command_path: str = Field(
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", description="PATH of the workers' commands."
    )
    page_address: str = Field("", description="URL of the pages of runs; without it reports have no link.")
    page_key: str | None = Field(None, description="Location of the key that signs links to pages of runs.")
    tick_rule_arn: str = Field("", description="The rule whose events are ticks; without it none is accepted.")
    stack_level: int = Field(1, ge=1, description="Level that jobs are accepted under; see docs/upgrades.md.")
