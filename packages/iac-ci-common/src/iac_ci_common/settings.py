"""Settings that every function reads from its environment, all under the prefix ``IAC_CI_``.

``terraform/deploy/stack/functions.json`` gives each function exactly the ones its own settings class declares.
"""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


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
