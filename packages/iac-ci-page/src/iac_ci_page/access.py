"""Who may see a run: checks capabilities, and trades a link for a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common import capabilities
from iac_ci_common.capabilities import Kind
from iac_ci_common.errors import NotFound
from iac_ci_triggers.connections import read_connections

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iac_ci_common.cached_secrets import SharedSecrets
    from iac_ci_common.capabilities import Capability
    from iac_ci_common.models.rows import RunRow


@dataclass(frozen=True, slots=True)
class Session:
    """What a link is traded for: the cookie's value, and for how many seconds the browser keeps it."""

    value: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Access:
    """Checks capabilities with the page key and the operator's list of connections; both are read every 5 minutes."""

    key_location: str
    connections_location: str
    secrets: SharedSecrets

    def trade(self, run_id: str, link: str, now: datetime) -> Session | None:
        """Return a session for a link; None if the link is no link to this run or has expired."""
        key = self._key(now)
        found = capabilities.check(key, Kind.LINK, run_id, link, now=now)
        if found is None:
            return None
        ends = capabilities.session_end(found.expires_at, now)
        value = capabilities.make(key, Kind.SESSION, run_id, expires_at=ends, generation=found.generation)
        return Session(value, max(1, int((ends - now).total_seconds())))

    def check(self, run_id: str, sessions: Iterable[str], now: datetime) -> Capability | None:
        """Return the first valid session for this run, None if there is none. No row is read for it."""
        key = self._key(now)
        checked = (capabilities.check(key, Kind.SESSION, run_id, text, now=now) for text in sessions)
        return next((found for found in checked if found is not None), None)

    def is_current(self, capability: Capability, run: RunRow, now: datetime) -> bool:
        """Return whether the capability has the generation of the run's connection."""
        repository = run.report.repository if run.report is not None else None
        try:
            listed = read_connections(self.secrets.value(self.connections_location, now) or "[]")
        except NotFound:
            return capability.generation == capabilities.NO_CONNECTION
        return capability.generation == listed.link_generation(repository)

    def _key(self, now: datetime) -> str:
        """Return the page key; empty, which opens nothing, if there is none."""
        try:
            return self.secrets.value(self.key_location, now)
        except NotFound:
            return ""
