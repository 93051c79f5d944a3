"""Settings of the broker."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.settings import RunSettings


class BrokerSettings(RunSettings):
    """Settings that the broker reads from its environment."""

    kms_key_arn: str = Field("", description="Key that encrypts the identities of sealed secrets.")
    sources: str | None = Field(
        None, description="Location of the lists of secrets and roles that each source's jobs may use."
    )
