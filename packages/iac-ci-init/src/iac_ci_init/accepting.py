"""The first leg: verify, validate, remember, store, watch, and answer."""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from iac_ci_common import ids, keys, limits, signature
from iac_ci_common.errors import AlreadyExists, IacCiError, NotFound, Problem, SignatureRefused
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.locations import parse_location
from iac_ci_common.models.answer import Accepted, StoredJob
from iac_ci_common.models.lock import Delivery
from iac_ci_init.checking import check_job
from iac_ci_init.decide import Rules
from iac_ci_init.doors import KeyReused

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.job import Job
    from iac_ci_common.ports import Clock, Locks, Notes, Objects, Preparations, Secrets, Watchdogs
    from iac_ci_init.doors import Request
    from iac_ci_init.settings import InitSettings

_KEY = re.compile(r"[A-Za-z0-9_.:=+/-]{1,200}")
_KEY_SECONDS: Final = 24 * 3600
_SECRETS_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class DoorPorts:
    """Everything the first leg does to the world."""

    clock: Clock
    locks: Locks
    objects: Objects
    watchdogs: Watchdogs
    preparations: Preparations
    secrets: Secrets
    notes: Notes | None = None


class Door:
    """Accepts jobs. Until everything is checked nothing is stored; once it answered, the run is watched."""

    def __init__(self, ports: DoorPorts, settings: InitSettings) -> None:
        """Work through ``ports``."""
        self._ports = ports
        self._settings = settings
        self._webhook_secrets: tuple[datetime, list[str]] | None = None

    def accept(self, request: Request) -> str:
        """Accept a signed job and give the JSON of the answer.

        Raises ``SignatureRefused``, ``InputProblems``, ``KeyReused``, or ``PortFailed`` if the job was not accepted.
        """
        now = self._ports.clock.now()
        digest = signature.verify(request.header(signature.HEADER), request.body, self._secrets(now), now)
        key = request.header("Idempotency-Key")
        wrong = (
            [Problem("Idempotency-Key", "must be 1 to 200 letters, digits or _.:=+/-")]
            if key is not None and _KEY.fullmatch(key) is None
            else []
        )
        job = check_job(request.body, self._rules(), also=wrong)
        return self._accept(job, self._deliveries(request.body, digest, key, now), now)

    def _accept(self, job: Job, deliveries: list[Delivery], now: datetime) -> str:
        ports = self._ports
        seen = ports.locks.remember(deliveries, now=now)
        if seen is not None:
            if seen.key != deliveries[0].key or len(deliveries) == 1:
                raise SignatureRefused("this very request was sent before; sign a new one, or send an Idempotency-Key")
            if seen.body_sha256 != deliveries[0].body_sha256:
                raise KeyReused("this Idempotency-Key was used for another job")
            if seen.answer is not None:
                return seen.answer
            # The first request with this key died on the way: go on in its place, under its run id.
        run_id = deliveries[0].run_id if seen is None else seen.run_id
        trace_id = ids.new_trace_id()
        stored = StoredJob(
            run_id=run_id,
            trace_id=trace_id,
            flow_id=ids.flow_id(job.username, trace_id, job.flow_label),
            accepted_at=now,
            deadline=now + timedelta(seconds=job.job_timeout),
            source="api",
            job=job,
        )
        try:
            ports.objects.create(keys.job(run_id), stored.model_dump_json().encode(), content_type="application/json")
        except AlreadyExists:
            stored = StoredJob.model_validate_json(ports.objects.get(keys.job(run_id)))
        # The watchdog comes before the preparation: from here on something always looks again.
        ports.watchdogs.start(run_id, RUN_ORDER_NUM)
        answer = Accepted(
            run_id=run_id,
            trace_id=stored.trace_id,
            flow_id=stored.flow_id,
            done_endpt=f"s3://{self._settings.done_bucket}/{keys.done(run_id)}",
        ).model_dump_json()
        # So from here on the job is accepted, whatever fails: the watchdog starts a preparation that is missing, and a
        # request without a kept answer is answered anew under the same run id.
        for step in (
            partial(ports.preparations.start, run_id),
            partial(ports.locks.answer, deliveries[0].key, answer),
        ):
            try:
                step()
            except IacCiError as error:
                if ports.notes is not None:
                    ports.notes.warning("a step after acceptance failed", run_id=run_id, error=error.message)
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

    def _rules(self) -> Rules:
        settings = self._settings
        return Rules(
            source="api",
            secrets_prefix=settings.secrets_prefix,
            allow_list=settings.secret_allow_list,
            allow_file_repositories=settings.allow_file_repositories,
        )

    def _secrets(self, now: datetime) -> list[str]:
        """Read the secrets that requests may be signed with, at most every five minutes; a missing one is no secret."""
        if self._webhook_secrets is None or (now - self._webhook_secrets[0]).total_seconds() > _SECRETS_SECONDS:
            found: list[str] = []
            for location in self._settings.webhook_secrets:
                with contextlib.suppress(NotFound):
                    found.append(self._ports.secrets.read(parse_location(location)))
            if not found:
                # Not kept: the first secret that is set counts at once.
                return found
            self._webhook_secrets = (now, found)
        return self._webhook_secrets[1]
