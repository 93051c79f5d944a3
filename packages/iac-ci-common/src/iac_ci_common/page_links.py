"""The links to pages of runs in comments and statuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common.capabilities import MIN_KEY_CHARS, link
from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.cached_secrets import SharedSecrets
    from iac_ci_common.models.rows import RunRow


@dataclass(frozen=True, slots=True)
class PageLinks:
    """Makes the links of comments and statuses. Without an address or a key there are none."""

    address: str
    key_location: str | None
    secrets: SharedSecrets

    def of(self, run: RunRow, now: datetime) -> str | None:
        """Return the link to the run's page, None if there is none.

        A link is only for a run whose repository the code host called private or internal when the run was accepted.
        It lasts as long as the run's rows. The report is written without it if the key cannot be read.
        """
        generation = run.report.link_generation if run.report is not None else None
        if generation is None or not self.address or self.key_location is None:
            return None
        try:
            key = self.secrets.value(self.key_location, now)
        except IacCiError:
            return None
        if len(key) < MIN_KEY_CHARS:
            return None
        return link(self.address, key, run.run_id, expires_at=run.expires_at, generation=generation)
