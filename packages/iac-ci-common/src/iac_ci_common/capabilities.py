"""Capabilities for the page of a run: made with the stack's page key, and checked with it.

A capability is ``<expiry>.<generation>.<mac>``. The MAC covers its kind, the run, the expiry and the generation, so
that a link is no session, and neither opens another run. The generation is that of the run's connection: once the
operator raises it, everything that was made before is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from iac_ci_common.ids import check_run_id

MIN_KEY_CHARS: Final = 32
"""Shortest page key; a shorter one opens nothing."""

OPEN_SECONDS: Final = 900
"""How long a link of ``iac-ci open`` may be opened."""

SESSION_SECONDS: Final = 12 * 3600
"""How long a browser keeps a page open at most."""

NO_CONNECTION: Final = 0
"""Generation of runs whose repository has no connection."""

_CAPABILITY: Final = re.compile(r"([0-9]{1,12})\.([0-9]{1,9})\.([A-Za-z0-9_-]{43})")


class Kind(StrEnum):
    """What a capability is for: a link is traded for a session, which a browser keeps as a cookie."""

    LINK = "link"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Capability:
    """A checked capability: it was made with the page key, for this run, and has not expired."""

    expires_at: datetime
    generation: int


def make(key: str, kind: Kind, run_id: str, *, expires_at: datetime, generation: int) -> str:
    """Return a capability; raise ``ValueError`` if the key is too short."""
    expiry = int(expires_at.timestamp())
    return f"{expiry}.{generation}.{_mac(key, kind, run_id, expiry, generation)}"


def check(key: str, kind: Kind, run_id: str, text: str, *, now: datetime) -> Capability | None:
    """Return the capability if it is one of this kind for this run that has not expired; None otherwise."""
    found = _CAPABILITY.fullmatch(text)
    if found is None or len(key) < MIN_KEY_CHARS:
        return None
    expiry, generation = int(found[1]), int(found[2])
    if not hmac.compare_digest(_mac(key, kind, run_id, expiry, generation), found[3]):
        return None
    expires_at = datetime.fromtimestamp(expiry, UTC)
    return Capability(expires_at, generation) if expires_at > now else None


def link(address: str, key: str, run_id: str, *, expires_at: datetime, generation: int) -> str:
    """Return the link that opens a run's page; ``address`` is the URL of all runs' pages (``https://…/runs``)."""
    capability = make(key, Kind.LINK, run_id, expires_at=expires_at, generation=generation)
    return f"{address.rstrip('/')}/{check_run_id(run_id)}/open?key={capability}"


def session_end(expires_at: datetime, now: datetime) -> datetime:
    """Return until when a session lasts that a link is traded for: not longer than the link."""
    return min(expires_at, now + timedelta(seconds=SESSION_SECONDS))


def _mac(key: str, kind: Kind, run_id: str, expiry: int, generation: int) -> str:
    if len(key) < MIN_KEY_CHARS:
        raise ValueError(f"a page key has at least {MIN_KEY_CHARS} characters")
    covered = f"iac-ci-page:{kind.value}:{check_run_id(run_id)}:{expiry}:{generation}"
    digest = hmac.digest(key.encode(), covered.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
