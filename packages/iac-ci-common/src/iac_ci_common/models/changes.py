"""The changes that an order's Terraform planned or applied."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from iac_ci_common.models.base import StoredShape


class Operation(StrEnum):
    """Whether the changes are planned or applied."""

    PLANNED = "planned"
    APPLIED = "applied"


class Done(StoredShape):
    """What applies that failed had done before they failed, in resources."""

    add: int = Field(0, ge=0)
    change: int = Field(0, ge=0)
    destroy: int = Field(0, ge=0)
    bring_in: int = Field(0, ge=0)

    def __str__(self) -> str:
        """Return the counts as ``+1 ~2 -3``."""
        words = f"+{self.add} ~{self.change} -{self.destroy}"
        return f"{words}, {self.bring_in} imported" if self.bring_in else words


class Changes(StoredShape):
    """Counts of resources, summed over every plan (or apply) that the order's commands printed."""

    operation: Operation
    add: int = Field(0, ge=0)
    change: int = Field(0, ge=0)
    destroy: int = Field(0, ge=0)
    bring_in: int = Field(0, ge=0, description="Resources that Terraform imports into the state.")
    replace: int = Field(0, ge=0, description="Replacements; each is also one of add, and of destroy or forget.")
    forget: int = Field(0, ge=0, description="Resources that leave the state and are not destroyed.")
    moved: int = Field(0, ge=0, description="Resources with a new address.")
    read: int = Field(0, ge=0, description="Data sources that an apply reads.")
    outputs: int = Field(0, ge=0, description="Outputs of the root module that change.")
    actions: int = Field(0, ge=0, description="Actions that Terraform invokes.")
    drift: int = Field(0, ge=0, description="Resources that changed outside of Terraform.")
    outside: int = Field(
        0,
        ge=0,
        description="Planned changes of resources that were changed outside of Terraform.",
    )
    deferred: int = Field(0, ge=0, description="Resources that the plan leaves to a later plan, at least.")
    plans: int = Field(1, ge=1, description="Number of plans (or applies) in the sums.")
    done: Done | None = Field(None, description="What was done by applies that did not end; None if all ended.")

    @property
    def is_nothing(self) -> bool:
        """Return whether nothing changes: neither resources, their addresses or outputs, nor the state."""
        counts = (self.add, self.change, self.destroy, self.bring_in, self.forget, self.moved, self.outputs)
        return not any(counts) and not (self.actions or self.drift or self.deferred or self.done)

    def __str__(self) -> str:
        """Return the counts as ``+1 ~2 -3`` and what else changes, or ``no changes``."""
        if self.is_nothing:
            return "no changes"
        planned = f"+{self.add} ~{self.change} -{self.destroy}"
        parts = [planned if self.done is None else self._in_part(planned)]
        parts += [f"{count} {word}" for count, word in self._others() if count]
        return ", ".join(parts)

    def _in_part(self, planned: str) -> str:
        """Return what was done before an apply failed; if its plan was printed, also of how much."""
        if self.operation is Operation.APPLIED:
            ended = f"{planned} and " if self.add or self.change or self.destroy else ""
            return f"{ended}{self.done} before a failure"
        return f"{self.done} done of {planned}"

    def _others(self) -> list[tuple[int, str]]:
        return [
            (self.replace, "replaced"),
            (self.bring_in, "imported"),
            (self.forget, "forgotten"),
            (self.moved, "moved"),
            (self.outputs, "output" if self.outputs == 1 else "outputs"),
            (self.actions, "action" if self.actions == 1 else "actions"),
            (self.drift, "changed outside"),
            (self.deferred, "deferred"),
        ]
