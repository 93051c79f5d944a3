"""The text of the plans that an order printed, resource by resource, masked and bounded."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import StoredShape


class PlannedResource(StoredShape):
    """One resource of a plan, or all of its changes to outputs."""

    address: str = Field(description="The resource's address; with several root modules, behind the module's name.")
    action: str = Field(description="What happens: create, update, replace, delete, forget, move, outputs and others.")
    text: str = Field("", description="What the plan says of the resource, as a diff: each symbol begins its line.")


class PlanText(StoredShape):
    """What the plans say, what is destroyed or replaced first."""

    resources: tuple[PlannedResource, ...] = ()
    left_out: int = Field(0, ge=0, description="Resources that are not among `resources`, because of the limit.")
    warnings: tuple[str, ...] = Field((), description="The first lines of the tool's warnings.")
