"""Settings of the broker."""

from __future__ import annotations

from iac_ci_common.settings import RunSettings


class BrokerSettings(RunSettings):
    """Settings that the broker reads from its environment."""
