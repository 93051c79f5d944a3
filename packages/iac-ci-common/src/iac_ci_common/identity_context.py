"""What the identity of a set of secrets is encrypted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iac_ci_common.models.rows import RunRow

CONTEXT_KEY: Final = "iac-ci-run"
"""Key of the encryption context that binds an identity, or the sealed file of a version before, to its run."""

CONTEXT_KEYS: Final = ("iac-ci-stack", "iac-ci-source", CONTEXT_KEY)
"""Keys of the encryption context of an identity; policies name them."""

SCOPE_KEYS: Final = (*CONTEXT_KEYS[:2], "iac-ci-scope")
"""Keys of the encryption context of an identity for what orders hand on: outputs and files."""


@dataclass(frozen=True, slots=True)
class IdentityContext:
    """What an age identity is encrypted for: one stack, one source of jobs, one run."""

    stack: str
    source: str
    run_id: str

    def as_kms(self) -> dict[str, str]:
        """Return the encryption context of KMS."""
        return dict(zip(CONTEXT_KEYS, (self.stack, self.source, self.run_id), strict=True))


@dataclass(frozen=True, slots=True)
class ScopeContext:
    """What the identity of handed-on data is encrypted for: one stack, one source of jobs, one pull request or run.

    Orders of the same scope can open the data, in whatever worker they run. ``run_id`` is for messages only.
    """

    stack: str
    source: str
    scope: str
    run_id: str

    def as_kms(self) -> dict[str, str]:
        """Return the encryption context of KMS."""
        return dict(zip(SCOPE_KEYS, (self.stack, self.source, self.scope), strict=True))


def scope_of(run: RunRow) -> str:
    """Return the scope of what a run's orders hand on: its pull request, else the run itself."""
    report = run.report
    if report is not None and report.pull_request is not None:
        return f"pull:{report.repository}#{report.pull_request}"
    return f"run:{run.run_id}"


KmsContext = IdentityContext | ScopeContext
"""Any context of an encrypted identity."""
