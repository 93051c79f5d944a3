"""Settings of the page."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.settings import RunSettings


class PageSettings(RunSettings):
    """Settings that the page reads from its environment."""

    page_key: str = Field(description="Location of the key that signs links to pages of runs.")
    connections: str = Field(description="Location of the list of connected repositories.")
