"""Settings that every function reads from its environment, all under the prefix ``IAC_CI_``.

``terraform/deploy/stack/functions.json`` sets exactly the variables that each function's settings class declares.
"""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from iac_ci_common.grants import ANY_SOURCE, Grants
from iac_ci_common.job_validation.rules import DEFAULT_SECRETS_PREFIX


class CommonSettings(BaseSettings):
    """Settings of every function."""

    model_config = SettingsConfigDict(env_prefix="IAC_CI_", frozen=True, extra="ignore")

    stack: str = "iac-ci"
    log_level: str = "INFO"


class RunSettings(CommonSettings):
    """Names of bucket and tables, for the functions that read and change runs."""

    internal_bucket: str
    orders_table: str
    events_table: str
    locks_table: str
    permissions_changed_at: str = Field(
        "", description="When the stack's policies changed last; iac_ci_common.aws.new_permissions reads it."
    )


class JobSettings(RunSettings):
    """Limits of what jobs may name, for the functions that accept jobs."""

    done_bucket: str
    secrets_prefix: str = Field(DEFAULT_SECRETS_PREFIX, description="Prefix of the secrets that jobs may name.")
    sources: str | None = Field(
        None, description="Location of the lists of secrets and roles that each source's jobs may use."
    )
    secret_allow_list: dict[str, list[str]] = Field(
        default_factory=dict,
        description="List of a version before, which counts without `sources`; every source may then use every role.",
    )
    order_sizes: dict[str, str] = Field(
        default_factory=dict, description="CodeBuild compute types by the sizes that orders may name."
    )
    allow_file_repositories: bool = Field(False, description="Accept file:// repositories: on the local cloud only.")

    @property
    def former_grants(self) -> Grants:
        """Return the lists of a version before, which named no roles."""
        return Grants.from_stored({"secrets": self.secret_allow_list, "roles": {ANY_SOURCE: ["*"]}})

    @property
    def own_buckets(self) -> frozenset[str]:
        """Return the stack's buckets, of which jobs may name code archives only."""
        return frozenset({self.internal_bucket, self.done_bucket})
