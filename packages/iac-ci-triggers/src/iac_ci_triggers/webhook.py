"""Receives code hosts' events: verifies, remembers, stores, and answers before any call of the host.

Hosts wait ten seconds for the answer and few send an event again, so an asynchronous invocation processes the event.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from iac_ci_common import ids, keys
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.errors import IacCiError, NotFound, SignatureRefused
from iac_ci_common.models.lock import Delivery
from iac_ci_triggers.claimed_repository import claimed_repository
from iac_ci_triggers.commands import find_commands, may_have_commands
from iac_ci_triggers.connections import Connections, read_connections, repository_key
from iac_ci_triggers.event import EventKind, HostEvent, Ignored, StoredTrigger
from iac_ci_triggers.event_parser import cause_id, delivery_id, parse_events, read_payload
from iac_ci_triggers.verification import Sender, verify
from iac_ci_vcs.address import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from iac_ci_common.ports import AsyncInvoker, Clock, Deliveries, Logger, Objects, Secrets
    from iac_ci_common.request import Request
    from iac_ci_triggers.settings import TriggerSettings

_REMEMBERED: Final = timedelta(days=3)
"""How long a person can send a delivery again on GitHub (GitHub Docs, "Redelivering webhooks")."""

_PARSED_CHARS: Final = 32_768
"""Longest comment that is parsed before the host is answered: the longest one takes six seconds of a whole processor,
of which this function has a third, and GitLab disables a webhook for a time after four answers in a row that come too
late."""

NOT_AUTHENTIC: Final = "the event is not signed with a webhook secret of a connected repository"

_DECOY: Final = secrets.token_hex(32)
"""A secret that signs nothing: with it every request is compared with equally many secrets."""

DUPLICATE: Final = "this delivery was already received"


@dataclass(frozen=True, slots=True)
class WebhookReceiverPorts:
    """The ports for receiving an event."""

    clock: Clock
    deliveries: Deliveries
    objects: Objects
    invoker: AsyncInvoker
    secrets: Secrets
    logger: Logger


class Received(NamedTuple):
    """The answer to a host: 202 if the event will be processed, 200 with the reason if it starts nothing."""

    status: int
    content: dict[str, Any]


class WebhookReceiver:
    """Receives events. Nothing of an event is stored before it is verified."""

    def __init__(self, ports: WebhookReceiverPorts, settings: TriggerSettings) -> None:
        """Use ``ports``."""
        self._ports = ports
        self._settings = settings
        self._secrets = SharedSecrets(ports.secrets)

    def receive(self, kind: Sender, request: Request) -> Received:
        """Verify and store the events of a request and invoke their processing.

        Raises ``SignatureRefused`` for an event that is not authentic, ``InputProblems`` for an authentic event that
        cannot be parsed, and ``PortFailed`` if the event was not stored; the host may send it again.
        """
        now = self._ports.clock.now()
        try:
            claimed = self._verify(kind, request, now)
        except SignatureRefused as error:
            # The answer is the same for every refusal, so that it does not show which repositories are connected.
            self._ports.logger.warning("event not authentic", reason=error.message)
            raise SignatureRefused(NOT_AUTHENTIC) from None
        events = parse_events(kind, request.headers, read_payload(request.body, request.headers))
        if isinstance(events, Ignored):
            return _nothing(events.reason)
        if any(repository_key(event.repository) != repository_key(claimed or "") for event in events):
            raise SignatureRefused(NOT_AUTHENTIC)
        if all(event.kind is EventKind.COMMENT and not has_command(event) for event in events):
            return _nothing("the comment has no command")
        return self._store(kind, request, events, now)

    def _verify(self, kind: Sender, request: Request, now: datetime) -> str | None:
        """Verify an event and return the URL of the repository that it names, None if it names none.

        An organisation's ping and an app's own events name no repository: any secret of that kind of host verifies
        them, and they start nothing. A repository that is not connected costs the same work as a connected one, with
        the secrets of another connection, and is always refused.
        """
        claimed = claimed_repository(kind, request.body, request.headers)
        connections = self.connections(now)
        hosts = {host for host in connections.hosts if settings_for(host, self._settings.code_hosts).kind == kind.value}
        if claimed is None:
            verify(kind, request.headers, request.body, self._readable(connections.secrets_on(hosts), now), now)
            return None
        found = connections.find(claimed)
        if (repository_key(claimed) or "").partition("/")[0] not in hosts:
            found = None
        connection = found or connections.stand_in(claimed, hosts)
        known = self._readable(connection.webhook_secrets, now) if connection is not None else []
        padding = [_DECOY] * (max(connections.most_secrets, 1) - len(known))
        verify(kind, request.headers, request.body, [*known, *padding], now)
        if found is None:
            raise SignatureRefused("the repository is not connected")
        return claimed

    def _readable(self, locations: Iterable[str], now: datetime) -> list[str]:
        """Return the secrets that exist and can be read; log the others that do exist.

        An answer with their error would show that the repository is connected. Raises errors that a retry may repair.
        """
        found: list[str] = []
        for location in locations:
            try:
                found.append(self._secrets.value(location, now))
            except NotFound:
                continue
            except IacCiError as error:
                if error.retry_is_safe:
                    raise
                self._ports.logger.error("webhook secret cannot be read", location=location, error=error.message)
        return found

    def connections(self, now: datetime) -> Connections:
        """Return the operator's list of repositories that may start jobs; empty if none is set."""
        if self._settings.connections is None:
            return Connections(())
        return read_connections("\n".join(self._secrets.values([self._settings.connections], now)) or "[]")

    def _store(self, kind: Sender, request: Request, events: Sequence[HostEvent], now: datetime) -> Received:
        ports = self._ports
        deliveries = self._deliveries(kind, request, events, now)
        seen = ports.deliveries.remember(deliveries, now=now)
        if seen is not None and seen.answer is not None:
            return _nothing(DUPLICATE)
        # An earlier invocation remembered the delivery and died before its answer: continue under its id.
        trigger_id = deliveries[0].run_id if seen is None else seen.run_id
        for each_id, event in zip(_trigger_ids(trigger_id, len(events)), events, strict=True):
            stored = StoredTrigger(trigger_id=each_id, received_at=now, event=event)
            ports.objects.put(
                keys.trigger_event(each_id), stored.model_dump_json().encode(), content_type="application/json"
            )
            ports.invoker.process_event(each_id)
        for delivery in deliveries if seen is None else [seen]:
            try:
                ports.deliveries.answer(delivery.key, trigger_id)
            except IacCiError as error:
                # If the delivery comes again, it is processed again, and the ledger prevents a second start.
                ports.logger.warning("delivery not marked as received", error=error.message)
        return Received(202, {"schema_version": 1, "received": True, "trigger_id": trigger_id})

    def _deliveries(self, kind: Sender, request: Request, events: Sequence[HostEvent], now: datetime) -> list[Delivery]:
        """Return the rows that detect duplicates: by the delivery's id and, if that is not signed, by the body's hash.

        GitHub's and Bitbucket's signatures do not cover the delivery id: without the body's row a recorded event could
        be sent again with another id. GitLab's signatures cover the id, or nothing; two pushes may have the same body,
        and older versions, which send no id, tell by their cause that they are two.
        So may two of Bitbucket's, which have no time, where a branch was reset in between. Bitbucket's pushes are known
        by the id alone: the branch's present head decides what a push that is sent again starts.
        """
        body_sha256 = hashlib.sha256(request.body).hexdigest()
        host_id = delivery_id(kind, request.headers)
        names = [f"id/{host_id}"] if host_id is not None else []
        may_repeat = kind is Sender.BITBUCKET and all(event.kind is EventKind.PUSH for event in events)
        if host_id is None or not (kind is Sender.GITLAB or may_repeat):
            cause = cause_id(kind, request.headers)
            names.append(f"body/{body_sha256}" if cause is None else f"body/{body_sha256}/{cause}")
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


def has_command(event: HostEvent) -> bool:
    """Return whether a comment has a command, or a line that was probably meant as one; a long one may have none."""
    text = event.comment or ""
    if len(text) > _PARSED_CHARS:
        return may_have_commands(text)
    found = find_commands(text)
    return bool(found.commands or found.problems)


def _trigger_ids(first: str, count: int) -> list[str]:
    """Return an id for each event of one request: the same ones when the request is received again."""
    second, _, digits = first.partition("-")
    further = (hashlib.sha256(f"{first}/{number}".encode()).hexdigest() for number in range(1, count))
    return [first, *(f"{second}-{digest[: len(digits)]}" for digest in further)]


def _nothing(reason: str) -> Received:
    return Received(200, {"schema_version": 1, "received": False, "reason": reason})
