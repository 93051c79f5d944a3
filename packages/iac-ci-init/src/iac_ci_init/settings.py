"""Settings of the init function."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.limits import DEFAULT_MAX_PARALLEL
from iac_ci_common.settings import RunSettings
from iac_ci_common.vcs.provider import HostSettings


class InitSettings(RunSettings):
    """What the init function reads from its environment."""

    done_bucket: str
    kms_key_arn: str
    watchdog_arn: str
    init_function: str
    webhook_secrets: list[str] = Field(description="Locations of the secrets that requests may be signed with.")
    secrets_prefix: str = Field("/iac-ci/jobs/", description="Where the secrets that jobs may name must lie.")
    secret_allow_list: dict[str, list[str]] = Field(
        default_factory=lambda: {"*": ["*"]}, description="Patterns of locations that each source of jobs may name."
    )
    allow_file_repositories: bool = Field(False, description="file:// repositories: on the local cloud only.")
    connections: str | None = Field(None, description="Location of the list of repositories that may start jobs.")
    code_hosts: dict[str, HostSettings] = Field(
        default_factory=dict, description="Provider and API of hosts whose name does not tell them."
    )
    max_parallel: int = DEFAULT_MAX_PARALLEL
