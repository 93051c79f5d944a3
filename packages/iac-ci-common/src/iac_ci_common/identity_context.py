"""What the identity of a set of secrets is encrypted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONTEXT_KEY: Final = "iac-ci-run"
"""Key of the encryption context that binds an identity, or the sealed file of a version before, to its run."""

CONTEXT_KEYS: Final = ("iac-ci-stack", "iac-ci-source", CONTEXT_KEY)
"""Keys of the encryption context of an identity; policies name them."""


@dataclass(frozen=True, slots=True)
class IdentityContext:
    """What an age identity is encrypted for: one stack, one source of jobs, one run."""

    stack: str
    source: str
    run_id: str

    def as_kms(self) -> dict[str, str]:
        """Return the encryption context of KMS."""
        return dict(zip(CONTEXT_KEYS, (self.stack, self.source, self.run_id), strict=True))
