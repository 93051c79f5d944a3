"""Settings of the broker."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.settings import RunSettings
from iac_ci_vcs.provider import HostSettings


class BrokerSettings(RunSettings):
    """Settings that the broker reads from its environment."""

    kms_key_arn: str = Field("", description="Key that encrypts the identities of sealed secrets.")
    sources: str | None = Field(
        None, description="Location of the lists of secrets and roles that each source's jobs may use."
    )
    connections: str | None = Field(None, description="Location of the list of connected repositories.")
    code_hosts: dict[str, HostSettings] = Field(
        default_factory=dict, description="Provider and API of hosts whose name does not identify them."
    )
