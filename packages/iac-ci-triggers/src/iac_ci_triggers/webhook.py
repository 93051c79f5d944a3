"""The door for code hosts' events: verify, remember, store, and answer before anything is asked of the host.

Hosts wait ten seconds and few ever send again, so nothing here waits for them: a leg of its own works on the event.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from iac_ci_common import ids, keys
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.errors import IacCiError, InputProblems, SignatureRefused
from iac_ci_common.models.lock import Delivery
from iac_ci_triggers.commands import find_commands
from iac_ci_triggers.connections import Connections, read_connections, repository_key
from iac_ci_triggers.event import EventKind, HostEvent, Ignored, StoredTrigger
from iac_ci_triggers.event_parser import claimed_repository, delivery_id, parse_event, read_payload
from iac_ci_triggers.verification import Sender, verify
from iac_ci_vcs.address import settings_for

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.ports import AsyncInvoker, Clock, Deliveries, Logger, Objects, Secrets
    from iac_ci_common.request import Request
    from iac_ci_triggers.settings import TriggerSettings

_REMEMBERED: Final = timedelta(days=3)
"""How long GitHub lets a person send a delivery again (GitHub Docs, "Redelivering webhooks")."""

DUPLICATE: Final = "this delivery was received before"


@dataclass(frozen=True, slots=True)
class WebhookReceiverPorts:
    """Everything that receiving an event does to the world."""

    clock: Clock
    deliveries: Deliveries
    objects: Objects
    invoker: AsyncInvoker
    secrets: Secrets
    logger: Logger


class Received(NamedTuple):
    """What a host is answered: 202 where the event is worked on, 200 with the reason where it asks for nothing."""

    status: int
    content: dict[str, Any]


class WebhookReceiver:
    """Receives events. Until one is verified nothing is stored."""

    def __init__(self, ports: WebhookReceiverPorts, settings: TriggerSettings) -> None:
        """Work through ``ports``."""
        self._ports = ports
        self._settings = settings
        self._secrets = SharedSecrets(ports.secrets)

    def receive(self, kind: Sender, request: Request) -> Received:
        """Verify an event and have it worked on.

        Raises ``SignatureRefused`` for what is not proven, ``InputProblems`` for a proven event that cannot be read,
        and ``PortFailed`` where it was not taken in: sent again, it is.
        """
        now = self._ports.clock.now()
        # Unverified, and only read to find the secret that must have signed it.
        try:
            payload = read_payload(request.body, request.headers)
            unreadable = None
        except InputProblems as error:
            payload, unreadable = {}, error
        claimed = claimed_repository(kind, payload)
        secrets = self._secrets.values(self._locations(kind, claimed, now), now)
        verify(kind, request.headers, request.body, secrets, now)
        if unreadable is not None:
            raise unreadable
        event = parse_event(kind, request.headers, payload)
        if isinstance(event, Ignored):
            return _nothing(event.reason)
        if repository_key(event.repository) != repository_key(claimed or ""):
            raise SignatureRefused("the event is about another repository than the one whose secret signed it")
        if event.kind is EventKind.CLOSED:
            return _nothing("a closed pull request starts nothing; what it started goes on to its end")
        if event.kind is EventKind.COMMENT and not _asks(event):
            return _nothing("the comment holds no command")
        return self._take_in(kind, request, event, now)

    def _locations(self, kind: Sender, claimed: str | None, now: datetime) -> tuple[str, ...]:
        """Return the places of the secrets that may have signed the event.

        An organisation's ping and an app's own events name no repository: any secret of that kind of host proves them,
        and they can start nothing.
        """
        connections = self.connections(now)
        hosts = {host for host in connections.hosts if settings_for(host, self._settings.code_hosts).kind == kind.value}
        if claimed is None:
            return connections.secrets_on(hosts)
        connection = connections.find(claimed)
        if connection is None or (repository_key(claimed) or "").partition("/")[0] not in hosts:
            return ()
        return connection.webhook_secrets

    def connections(self, now: datetime) -> Connections:
        """Read which repositories may start jobs; none where no list is set."""
        if self._settings.connections is None:
            return Connections(())
        return read_connections("\n".join(self._secrets.values([self._settings.connections], now)) or "[]")

    def _take_in(self, kind: Sender, request: Request, event: HostEvent, now: datetime) -> Received:
        ports = self._ports
        deliveries = self._deliveries(kind, request, now)
        seen = ports.deliveries.remember(deliveries, now=now)
        if seen is not None and seen.answer is not None:
            return _nothing(DUPLICATE)
        # One that was seen but not answered died on the way: go on in its place, under its id.
        trigger_id = deliveries[0].run_id if seen is None else seen.run_id
        stored = StoredTrigger(trigger_id=trigger_id, received_at=now, event=event)
        ports.objects.put(
            keys.trigger_event(trigger_id), stored.model_dump_json().encode(), content_type="application/json"
        )
        ports.invoker.process_event(trigger_id)
        for delivery in deliveries if seen is None else [seen]:
            try:
                ports.deliveries.answer(delivery.key, trigger_id)
            except IacCiError as error:
                # Should it come again it is worked on again, and finds what it started in the ledger.
                ports.logger.warning("a delivery could not be marked as received", error=error.message)
        return Received(202, {"schema_version": 1, "received": True, "trigger_id": trigger_id})

    def _deliveries(self, kind: Sender, request: Request, now: datetime) -> list[Delivery]:
        """Name what must not come twice: the delivery and, where only they are signed, the very bytes.

        GitHub's and Bitbucket's signatures cover no delivery id: without the bytes' own row a recorded event could be
        sent again under a new one. GitLab's cover the id, or nothing; and two of its pushes may be the same bytes.
        """
        body_sha256 = hashlib.sha256(request.body).hexdigest()
        given = delivery_id(kind, request.headers)
        names = [f"id/{given}"] if given is not None else []
        if given is None or kind is not Sender.GITLAB:
            names.append(f"body/{body_sha256}")
        trigger_id = ids.new_run_id(now)
        return [
            Delivery(
                key=keys.delivery(kind.value, name),
                run_id=trigger_id,
                body_sha256=body_sha256,
                expires_at=now + _REMEMBERED,
            )
            for name in names
        ]


def _asks(event: HostEvent) -> bool:
    found = find_commands(event.comment or "")
    return bool(found.commands or found.problems)


def _nothing(reason: str) -> Received:
    return Received(200, {"schema_version": 1, "received": False, "reason": reason})
