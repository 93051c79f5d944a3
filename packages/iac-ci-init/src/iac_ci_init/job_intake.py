"""The door for jobs: verify, validate, remember, accept, and answer."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common import ids, keys, limits, signature
from iac_ci_common.acceptance import Acceptance, rules
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.errors import IacCiError, Problem, SignatureRefused
from iac_ci_common.job_validation.check import check_job
from iac_ci_common.models.lock import Delivery
from iac_ci_init.http import KeyReused

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.job import Job
    from iac_ci_common.ports import AsyncInvoker, Clock, Deliveries, Logger, Objects, Secrets, Watchdogs
    from iac_ci_common.request import Request
    from iac_ci_init.settings import InitSettings

_KEY = re.compile(r"[A-Za-z0-9_.:=+/-]{1,200}")
_KEY_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class JobIntakePorts:
    """Everything the first leg does to the world."""

    clock: Clock
    deliveries: Deliveries
    objects: Objects
    watchdogs: Watchdogs
    invoker: AsyncInvoker
    secrets: Secrets
    logger: Logger | None = None


class JobIntake:
    """Accepts jobs. Until everything is checked nothing is stored; once it answered, the run is watched."""

    def __init__(self, ports: JobIntakePorts, settings: InitSettings) -> None:
        """Work through ``ports``."""
        self._ports = ports
        self._settings = settings
        self._secrets = SharedSecrets(ports.secrets)
        self._acceptance = Acceptance(
            ports.objects, ports.watchdogs, ports.invoker, ports.logger, settings.done_bucket, settings.stack_level
        )

    def accept(self, request: Request) -> str:
        """Accept a signed job and give the JSON of the answer.

        Raises ``SignatureRefused``, ``InputProblems``, ``KeyReused``, or ``PortFailed`` if the job was not accepted.
        """
        now = self._ports.clock.now()
        secrets = self._secrets.values(self._settings.webhook_secrets, now)
        digest = signature.verify(request.header(signature.HEADER), request.body, secrets, now)
        key = request.header("Idempotency-Key")
        wrong = (
            [Problem("Idempotency-Key", "must be 1 to 200 letters, digits or _.:=+/-")]
            if key is not None and _KEY.fullmatch(key) is None
            else []
        )
        job = check_job(request.body, rules(self._settings, "api"), also=wrong)
        return self._accept(job, self._deliveries(request.body, digest, key, now), now)

    def _accept(self, job: Job, deliveries: list[Delivery], now: datetime) -> str:
        known = self._ports.deliveries
        seen = known.remember(deliveries, now=now)
        if seen is not None:
            if seen.key != deliveries[0].key or len(deliveries) == 1:
                raise SignatureRefused("this very request was sent before; sign a new one, or send an Idempotency-Key")
            if seen.body_sha256 != deliveries[0].body_sha256:
                raise KeyReused("this Idempotency-Key was used for another job")
            if seen.answer is not None:
                return seen.answer
            # The first request with this key died on the way: go on in its place, under its run id.
        run_id = deliveries[0].run_id if seen is None else seen.run_id
        answer = self._acceptance.accept(job, run_id, source="api", now=now).model_dump_json()
        try:
            known.answer(deliveries[0].key, answer)
        except IacCiError as error:
            # A request without a kept answer is answered anew under the same run id.
            if self._ports.logger is not None:
                self._ports.logger.warning("an answer could not be kept", run_id=run_id, error=error.message)
        return answer

    def _deliveries(self, body: bytes, digest: str, key: str | None, now: datetime) -> list[Delivery]:
        """Name what must not come twice: the key, if there is one, and the signature in any case.

        The key is not signed, so without the signature's own row a stolen request could be sent again under a new key.
        """
        names = [(keys.delivery("api", f"key/{key}"), _KEY_SECONDS)] if key is not None else []
        names.append((keys.delivery("api", f"signature/{digest}"), 2 * limits.SIGNATURE_TOLERANCE_SECONDS + 60))
        run_id = ids.new_run_id(now)
        body_sha256 = hashlib.sha256(body).hexdigest()
        return [
            Delivery(key=name, run_id=run_id, body_sha256=body_sha256, expires_at=now + timedelta(seconds=seconds))
            for name, seconds in names
        ]
