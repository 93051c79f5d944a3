"""Settings that every function reads from its environment, all under the prefix ``IAC_CI_``.

``terraform/deploy/stack/functions.json`` gives each function exactly the ones its own settings class declares.
"""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from iac_ci_common.job_validation.rules import DEFAULT_SECRETS_PREFIX


class CommonSettings(BaseSettings):
    """What every function knows of its stack."""

    model_config = SettingsConfigDict(env_prefix="IAC_CI_", frozen=True, extra="ignore")

    stack: str = "iac-ci"
    log_level: str = "INFO"


class RunSettings(CommonSettings):
    """Where runs are kept: for the functions that read and move them."""

    internal_bucket: str
    orders_table: str
    events_table: str
    locks_table: str


class JobSettings(RunSettings):
    """What jobs may name: for the functions that accept them."""

    secrets_prefix: str = Field(DEFAULT_SECRETS_PREFIX, description="Where the secrets that jobs may name must lie.")
    secret_allow_list: dict[str, list[str]] = Field(
        default_factory=lambda: {"*": ["*"]}, description="Patterns of locations that each source of jobs may name."
    )
    allow_file_repositories: bool = Field(False, description="file:// repositories: on the local cloud only.")
