"""Accepts jobs from HTTP requests: verifies, checks, remembers, accepts."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common import ids, keys, limits, signature
from iac_ci_common.acceptance import Acceptance, rules
from iac_ci_common.accepted_jobs import AcceptedJobs
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.errors import Problem, SignatureRefused
from iac_ci_common.granted import SourceGrants
from iac_ci_common.job_validation.check import check_job
from iac_ci_common.models.lock import Delivery
from iac_ci_init.http import KeyReused

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.job import Job
    from iac_ci_common.ports import AsyncInvoker, Clock, Deliveries, Logger, Objects, Secrets, Watchdogs
    from iac_ci_common.request import Request
    from iac_ci_init.settings import InitSettings

KEY: Final = re.compile(r"[A-Za-z0-9_.:=+/-]{1,200}")
"""A value of the header ``Idempotency-Key``."""
_KEY_SECONDS: Final = 24 * 3600

_SOURCE: Final = "api"
"""The source of signed jobs."""


@dataclass(frozen=True, slots=True)
class JobIntakePorts:
    """The ports for accepting jobs."""

    clock: Clock
    deliveries: Deliveries
    objects: Objects
    watchdogs: Watchdogs
    invoker: AsyncInvoker
    secrets: Secrets
    logger: Logger | None = None
    accepted: AcceptedJobs = field(default_factory=AcceptedJobs)


class JobIntake:
    """Accepts jobs. Nothing is stored before all checks succeed; after the answer a watchdog watches the run."""

    def __init__(self, ports: JobIntakePorts, settings: InitSettings) -> None:
        """Use ``ports``."""
        self._ports = ports
        self._settings = settings
        self._secrets = SharedSecrets(ports.secrets)
        self._grants = SourceGrants(ports.secrets, settings.sources, settings.former_grants)
        self._acceptance = Acceptance(
            ports.objects,
            ports.watchdogs,
            ports.invoker,
            ports.logger,
            settings.done_bucket,
            settings.stack_level,
            settings.order_sizes,
            ports.accepted,
        )

    def accept(self, request: Request) -> str:
        """Accept a signed job and return the JSON of the answer.

        Raises ``SignatureRefused``, ``InputProblems``, ``KeyReused``, or ``PortFailed`` if the job was not accepted.
        """
        now = self._ports.clock.now()
        secrets = self._secrets.values(self._settings.webhook_secrets, now)
        digest = signature.verify(request.header(signature.HEADER), request.body, secrets, now)
        key = request.header("Idempotency-Key")
        problems = (
            [Problem("Idempotency-Key", "must be 1 to 200 letters, digits or _.:=+/-")]
            if key is not None and KEY.fullmatch(key) is None
            else []
        )
        job = check_job(request.body, rules(self._settings, _SOURCE, self._grants.of(_SOURCE, now)), also=problems)
        return self._accept(job, self._deliveries(request.body, digest, key, now), now)

    def _accept(self, job: Job, deliveries: list[Delivery], now: datetime) -> str:
        seen = self._ports.deliveries.remember(deliveries, now=now)
        if seen is not None:
            if seen.key != deliveries[0].key:
                raise SignatureRefused("this request was already sent with another Idempotency-Key; sign a new one")
            if seen.body_sha256 != deliveries[0].body_sha256:
                raise KeyReused("this Idempotency-Key was used for another job")
        # A repeated request goes on under the run's id and gets the answer of the job that is stored.
        run_id = deliveries[0].run_id if seen is None else seen.run_id
        return self._acceptance.accept(job, run_id, source=_SOURCE, now=now).model_dump_json()

    def _deliveries(self, body: bytes, digest: str, key: str | None, now: datetime) -> list[Delivery]:
        """Return the rows that detect duplicates: one for the key, if there is one, and one for the signature.

        The key is not signed, so without the signature's row a recorded request could be sent again with another key.
        Two equal jobs that are signed in the same second without a key have the same signature; they are one run.
        """
        names = [(keys.delivery("api", f"key/{key}"), _KEY_SECONDS)] if key is not None else []
        names.append((keys.delivery("api", f"signature/{digest}"), 2 * limits.SIGNATURE_TOLERANCE_SECONDS + 60))
        run_id = ids.new_run_id(now)
        body_sha256 = hashlib.sha256(body).hexdigest()
        return [
            Delivery(key=name, run_id=run_id, body_sha256=body_sha256, expires_at=now + timedelta(seconds=seconds))
            for name, seconds in names
        ]
