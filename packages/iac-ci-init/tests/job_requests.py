"""Requests for jobs on in-memory ports, as API Gateway sends them."""

from __future__ import annotations

import base64
import json
from functools import cache

from iac_ci_common import keys
from iac_ci_common.accepted_jobs import AcceptedJobs
from iac_ci_common.errors import IacCiError
from iac_ci_common.signature import sign
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryDeliveries,
    MemoryObjects,
    MemorySecrets,
    MemoryWatchdogs,
    Observed,
)
from iac_ci_common.testing.samples import START
from iac_ci_init.http import answer, read_request, refusal
from iac_ci_init.job_intake import JobIntake, JobIntakePorts
from iac_ci_init.settings import InitSettings

JOB = {"username": "tests", "orders": [{"order_name": "one", "cmds": ["true"], "timeout": 60}]}


DEFAULTS = {
    "internal_bucket": "internal", "orders_table": "orders", "events_table": "events", "locks_table": "locks",
    "done_bucket": "done", "kms_key_arn": "key", "watchdog_arn": "arn", "init_function": "init",
    "webhook_secrets": ["ssm:/webhook"], "secret_allow_list": {"*": ["*"]},
}  # fmt: skip


def settings(**fields):
    return InitSettings(**DEFAULTS | fields) if fields else default_settings()


@cache
def default_settings():
    """Pydantic looks through the environment for each field, which took a third of the time of a request."""
    return InitSettings(**DEFAULTS)


class Asked:
    def __init__(self, secret="secret", before=None, **fields):
        self.clock = FakeClock(START)
        self.deliveries, self.objects = MemoryDeliveries(), MemoryObjects(self.clock)
        self.watchdogs, self.invoker = MemoryWatchdogs(), MemoryAsyncInvoker()
        self.accepted = AcceptedJobs()
        self.calls = []

        def watched(port, name):
            def hook(call):
                self.calls.append(call)
                if before is not None:
                    before(call)

            return Observed(port, name=name, before=hook)

        self.secrets = MemorySecrets({"ssm:/webhook": secret} if secret is not None else {})
        ports = JobIntakePorts(
            self.clock,
            watched(self.deliveries, "deliveries"),
            watched(self.objects, "objects"),
            watched(self.watchdogs, "watchdogs"),
            watched(self.invoker, "invoker"),
            self.secrets,
            accepted=self.accepted,
        )
        self.intake = JobIntake(ports, settings(**fields))

    def post(self, body, *, signature=None, key=None, encoded=False, header="X-IaC-CI-Signature"):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {header: sign("secret", raw, self.clock.now()) if signature is None else signature}
        if key is not None:
            headers["idempotency-KEY"] = key
        text = base64.b64encode(raw).decode() if encoded else raw.decode("utf-8", "surrogateescape")
        event = {"body": text, "isBase64Encoded": encoded, "headers": headers}
        try:
            said = answer(202, self.intake.accept(read_request(event)))
        except IacCiError as error:
            said = refusal(error)
        return said["statusCode"], json.loads(said["body"])

    def begin_preparation(self, run_id):
        """Do what a preparation does first."""
        self.objects.create(keys.past_job(run_id), self.objects.get(keys.job(run_id)))

    @property
    def untouched(self):
        return not (
            self.objects.objects or self.deliveries.deliveries or self.watchdogs.started or self.invoker.started
        )
