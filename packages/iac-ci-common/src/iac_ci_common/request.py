"""A request as it reached the webhook endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was sent: raw bytes, and headers by lower-case name."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return a header's value, whatever its case."""
        return self.headers.get(name.lower())
