"""Settings for code hosts' events."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.settings import JobSettings
from iac_ci_vcs.provider import HostSettings


class TriggerSettings(JobSettings):
    """The repositories that may start jobs, and the APIs of their hosts."""

    connections: str | None = Field(None, description="Location of the list of repositories that may start jobs.")
    code_hosts: dict[str, HostSettings] = Field(
        default_factory=dict, description="Provider and API of hosts whose name does not identify them."
    )
