"""The changes that an order's Terraform planned or applied."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from iac_ci_common.models.base import StoredShape


class Operation(StrEnum):
    """Whether the changes are planned or applied."""

    PLANNED = "planned"
    APPLIED = "applied"


class Changes(StoredShape):
    """Counts of resources, summed over every plan (or apply) that the order's commands printed."""

    operation: Operation
    add: int = Field(0, ge=0)
    change: int = Field(0, ge=0)
    destroy: int = Field(0, ge=0)
    bring_in: int = Field(0, ge=0, description="Resources that Terraform imports into the state.")
    plans: int = Field(1, ge=1, description="Number of plans (or applies) in the sums.")

    def __str__(self) -> str:
        """Return the counts as ``+1 ~2 -3``, or ``no changes``."""
        if not (self.add or self.change or self.destroy or self.bring_in):
            return "no changes"
        words = f"+{self.add} ~{self.change} -{self.destroy}"
        return f"{words}, {self.bring_in} imported" if self.bring_in else words
