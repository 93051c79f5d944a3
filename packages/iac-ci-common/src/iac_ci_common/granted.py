"""Reads what a source's jobs may use from the stack's parameters, at most every five minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.grants import Grants, part_of

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.grants import Grant
    from iac_ci_common.ports import Secrets


class SourceGrants:
    """The operator's lists of secrets and roles.

    ``location`` is that of the parameters without the part (``ssm:/iac-ci/<stack>/sources``). Without it ``former``
    counts, which a version before set for the function.
    """

    def __init__(self, secrets: Secrets, location: str | None, former: Grants | None = None) -> None:
        """Read parameters through ``secrets``."""
        self._secrets = SharedSecrets(secrets)
        self._location = location
        self._former = former or Grants()

    def of(self, source: str, now: datetime) -> Grant:
        """Return what a source's jobs may use. Raise ``PortFailed`` if the lists cannot be read."""
        return self._read(source, now).of(source)

    def tagged(self, role: str, now: datetime) -> bool:
        """Return whether the role's sessions carry session tags. Raise ``PortFailed`` if the lists cannot be read."""
        return role in self._read(role, now).tagged

    def _read(self, name: str, now: datetime) -> Grants:
        if self._location is None:
            return self._former
        return Grants.from_stored(self._secrets.value(f"{self._location}/{part_of(name)}", now))
