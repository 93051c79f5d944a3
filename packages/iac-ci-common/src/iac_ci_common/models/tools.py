"""The tools whose versions orders may choose."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StrictStr, field_validator

from iac_ci_common import keys
from iac_ci_common.models.base import Sha256, Shape, StoredShape
from iac_ci_common.tool_versions import Request


class Tool(StrEnum):
    """A tool that the engine can fetch."""

    TERRAFORM = "terraform"
    OPENTOFU = "opentofu"
    TERRAGRUNT = "terragrunt"

    @property
    def program(self) -> str:
        """Return the name of its program."""
        return "tofu" if self is Tool.OPENTOFU else self.value


def _request(text: str) -> str:
    Request.parse(text)
    return text


ToolVersion = Annotated[StrictStr, AfterValidator(_request)]
"""A version like ``1.11.4``, or one of the words that choose among the published versions."""


class ToolSource(Shape):
    """Where a tool's releases are fetched, and who signs them, in place of its publisher."""

    address: Annotated[str, Field(pattern=r"^https?://[^\s?#]{1,256}$")]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")] | None = None


class StoredToolSource(ToolSource):
    """A source that was checked when the stack was deployed, with fields that a newer version may have added."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ToolSettings(StoredShape):
    """What the operator set for tools, in the parameter ``/iac-ci/<stack>/tools``."""

    sources: dict[str, StoredToolSource] = Field(
        default_factory=dict, description="Mirrors by tools, in place of the publishers."
    )
    builds_have_own_image: bool = Field(
        False, description="Builds have another image than the functions, so that its tools are not theirs."
    )

    @field_validator("sources", mode="before")
    @classmethod
    def _as_stored(cls, sources: Any) -> Any:
        if not isinstance(sources, dict):
            return sources
        return {
            str(tool): source.model_dump() if isinstance(source, ToolSource) else source
            for tool, source in sources.items()
        }


class StoredTool(StoredShape):
    """One release in the stack's bucket, verified."""

    tool: str
    version: str
    sha256: Sha256
    key: Annotated[str, AfterValidator(keys.check_tool)]
