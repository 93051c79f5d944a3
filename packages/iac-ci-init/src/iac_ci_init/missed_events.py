"""Starts what webhooks missed: reads each repository's open pull requests, and compares them with the ledgers."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeGuard

from iac_ci_common import ids, keys
from iac_ci_common.errors import IacCiError, NotFound, StoredUnreadable, Throttled
from iac_ci_common.models.lock import Delivery
from iac_ci_common.models.tick import OpenPull, PullList
from iac_ci_init.chores import AllowanceSpent
from iac_ci_triggers.event import EventKind, HostEvent, Ignored, Person, StoredTrigger
from iac_ci_triggers.event_parser import parse_event
from iac_ci_triggers.missed import LOOKED_BACK, is_missed, is_recent
from iac_ci_triggers.verification import Sender
from iac_ci_triggers.webhook import has_command
from iac_ci_vcs.provider import Account, DeliveryLog, ListedPullRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_common.ports import AsyncInvoker, Clock, Deliveries, Logger, Objects
    from iac_ci_init.chores import Allowance
    from iac_ci_triggers.connections import Connection, Connections
    from iac_ci_triggers.ports import Ledgers
    from iac_ci_vcs.ports import CodeHosts
    from iac_ci_vcs.provider import CodeHost

_MOST_PAGES: Final = 5
_MOST_EVENTS: Final = 20
"""Most events that one turn brings; the others wait for the next one, so that a long outage starts no storm."""

_BROUGHT: Final = timedelta(hours=1)
"""How long a state is not brought again: Lambda retries an event for as long."""

_LOG_READ_BACK: Final = timedelta(hours=2)
"""How far back failed deliveries are looked for. A comment that is older than an hour is answered and not obeyed."""

_LOG_REST: Final = timedelta(minutes=10)
"""How long a log is not read again: it has the webhooks of all repositories with the same credentials."""

_REMEMBERED: Final = timedelta(days=3)
"""How long a delivery is remembered, as if its webhook had come."""

_HOST_REST: Final = timedelta(minutes=10)
"""How long a host that failed is left alone, so that its other repositories do not use up the time of a tick."""


@dataclass(frozen=True, slots=True)
class MissedEventsPorts:
    """The ports for looking after missed webhooks."""

    clock: Clock
    code_hosts: CodeHosts
    ledgers: Ledgers
    deliveries: Deliveries
    objects: Objects
    invoker: AsyncInvoker
    logger: Logger


class MissedEvents:
    """Brings each state of an open pull request that no webhook has brought, as an event of its own, once."""

    name = "missed-events"

    def __init__(self, ports: MissedEventsPorts, connections: Callable[[datetime], Connections]) -> None:
        """Use ``ports``; ``connections`` returns the operator's current list."""
        self._ports, self._connections = ports, connections
        self._rests: dict[str, datetime] = {}
        self._logs_read: dict[str, datetime] = {}

    def subjects(self, now: datetime) -> Sequence[str]:
        """Return the key of each connected repository."""
        return self._connections(now).repositories

    def work(self, subject: str, allowance: Allowance) -> None:
        """Look at one repository, with one request if nothing has changed.

        Raises the error of a host that does not answer; a later turn asks it again.
        """
        ports, host = self._ports, subject.partition("/")[0]
        now = ports.clock.now()
        connection = self._connections(now).find(f"https://{subject}")
        if connection is None or now < self._rests.get(host, now):
            return
        try:
            found = self._read(subject, connection, now, allowance)
        except IacCiError as error:
            if error.retry_is_safe and not isinstance(error, AllowanceSpent):
                wait = timedelta(seconds=error.retry_after or 0) if isinstance(error, Throttled) else _HOST_REST
                self._rests[host] = now + max(wait, _HOST_REST)
            raise
        waiting = self._bring(subject, found, now)
        gone = self._bring_ends(subject, found, now)
        listed = PullList(version=found.version, waiting=waiting, listed=found.listed, gone=gone)
        content = listed.model_dump_json().encode()
        ports.objects.put(keys.tick_list(subject), content, content_type="application/json")

    def _read(self, subject: str, connection: Connection, now: datetime, allowance: Allowance) -> _Listed:
        before = self._before(subject)
        pages = max(1, min(_MOST_PAGES, allowance.left))
        allowance.spend()
        with self._ports.code_hosts.open(f"https://{subject}", connection.token_location) as host:
            if not hasattr(host, "open_pull_requests"):
                # A provider of another package, made for a version before.
                self._ports.logger.info("the provider lists no pull requests", repository=subject, kind=host.kind)
                return _Listed(host.kind, "", (), (), ())
            listed = host.open_pull_requests(now - LOOKED_BACK, known=before.version, pages=pages)
            with suppress(AllowanceSpent):
                for _ in range(listed.requests - 1 if listed is not None else 0):
                    allowance.spend()
                self._read_log(host, connection, now, allowance)
            if listed is None:
                return _Listed(
                    host.kind,
                    before.version,
                    tuple(map(_pull, before.waiting)),
                    before.listed,
                    before.gone,
                    before.gone,
                )
            if not listed.complete:
                return _Listed(host.kind, listed.version, listed.pulls, before.listed, before.gone, before.gone)
            present = {pull.number for pull in listed.pulls}
            gone = {one.number: one for one in (*before.gone, *before.listed) if one.number not in present}
            # The others are not listed any more because they did not change for long.
            recent = (one for one in gone.values() if now - one.updated_at <= LOOKED_BACK)
            return _Listed(
                host.kind, listed.version, listed.pulls, tuple(map(_stored, listed.pulls)), tuple(recent), before.gone
            )

    def _read_log(self, host: CodeHost, connection: Connection, now: datetime, allowance: Allowance) -> None:
        """Start what the host says that it could not deliver, beside pull requests, whose list tells more."""
        location, ports = connection.token_location, self._ports
        if not isinstance(host, DeliveryLog) or now < self._logs_read.get(location, now):
            return
        pages = max(1, min(_MOST_PAGES, allowance.left))
        allowance.spend()
        self._logs_read[location] = now + _LOG_REST
        try:
            log = host.failed_deliveries(now - _LOG_READ_BACK, pages=pages)
        except IacCiError as error:
            # An app without a webhook of its own has no log. The list was read all the same.
            ports.logger.info("log of webhooks not read", location=location, error=error.message)
            return
        for _ in range(log.requests - 1):
            allowance.spend()
        brought = 0
        for failed in log.found:
            if brought == _MOST_EVENTS:
                break
            # The webhook has the same row when it comes after all.
            row = Delivery(
                key=keys.delivery(host.kind, f"id/{failed.guid}"),
                run_id=ids.new_run_id(now),
                body_sha256=hashlib.sha256(failed.guid.encode()).hexdigest(),
                expires_at=now + _REMEMBERED,
            )
            seen = ports.deliveries.remember([row], now=now)
            if seen is not None and seen.answer is not None:
                continue
            brought += 1
            trigger_id = row.run_id if seen is None else seen.run_id
            allowance.spend()
            try:
                event = parse_event(Sender.GITHUB, *host.delivery(failed))
            except NotFound as error:
                # It stays so, and must not hold up what comes after it.
                ports.logger.warning("webhook of the log is gone", webhook=failed.guid, error=error.message)
            else:
                if self._is_wanted(event, now):
                    self._start(event, trigger_id, now)
            ports.deliveries.answer(row.key, trigger_id)

    def _is_wanted(self, event: HostEvent | Ignored, now: datetime) -> TypeGuard[HostEvent]:
        if isinstance(event, Ignored) or event.kind is EventKind.PULL_REQUEST:
            return False
        is_connected = self._connections(now).find(event.repository) is not None
        return is_connected and (event.kind is not EventKind.COMMENT or has_command(event))

    def _before(self, subject: str) -> PullList:
        try:
            return PullList.from_stored(self._ports.objects.get(keys.tick_list(subject)))
        except (NotFound, StoredUnreadable):
            return PullList()

    def _bring(self, subject: str, found: _Listed, now: datetime) -> tuple[OpenPull, ...]:
        """Bring what was missed; return the pull requests that a later turn must look at, though the list is the same.

        A state that was brought is one of them until its event has entered it into the ledger: it may still fail.
        """
        waiting: list[OpenPull] = []
        brought = 0
        for pull in found.pulls:
            ledger = self._ports.ledgers.read(keys.pull_request_ledger(subject, pull.number))
            if now - pull.updated_at > LOOKED_BACK or not (is_missed(pull, ledger) or not pull.head):
                continue
            waiting.append(_stored(pull))
            if is_recent(pull, now) or not pull.head or brought == _MOST_EVENTS:
                continue
            was_closed = ledger is not None and ledger.processed is None and ledger.closed_at is not None
            brought += self._bring_one(subject, found.kind, pull, now, reopened=was_closed)
        return tuple(waiting)

    def _bring_ends(self, subject: str, found: _Listed, now: datetime) -> tuple[OpenPull, ...]:
        """Bring the ends of pull requests that a turn before has missed in the list; return those still to bring.

        A pull request that was missed for the first time is left to its webhook until the next turn.
        """
        known = {one.number for one in found.before}
        waiting: list[OpenPull] = []
        for pull in found.gone:
            ledger = self._ports.ledgers.read(keys.pull_request_ledger(subject, pull.number))
            if ledger is None or ledger.processed is None or now - pull.updated_at > LOOKED_BACK:
                continue
            waiting.append(pull)
            if pull.number in known:
                self._bring_end(subject, found.kind, pull, now)
        return tuple(waiting)

    def _bring_end(self, subject: str, kind: str, pull: OpenPull, now: datetime) -> None:
        """Store and start the event that a pull request has ended, unless another turn has within the hour."""
        digest = hashlib.sha256(f"{subject}\n{pull.number}\nclosed".encode()).hexdigest()
        trigger_id = ids.new_run_id(now)
        row = Delivery(
            key=keys.delivery("tick", digest), run_id=trigger_id, body_sha256=digest, expires_at=now + _BROUGHT
        )
        if self._ports.deliveries.remember([row], now=now) is not None:
            return
        event = HostEvent(
            host=Sender(kind) if kind in set(Sender) else Sender.GITHUB,
            kind=EventKind.CLOSED,
            repository=f"https://{subject}",
            actor=Person(id=pull.author_id, login=pull.author_login),
            number=pull.number,
        )
        self._start(event, trigger_id, now)

    def _bring_one(self, subject: str, kind: str, pull: ListedPullRequest, now: datetime, *, reopened: bool) -> bool:
        """Store and start the event of a state; return False if another turn has brought it within the hour."""
        ports, trigger_id = self._ports, ids.new_run_id(now)
        state = "\n".join([subject, str(pull.number), pull.head, pull.base_branch, str(pull.is_draft), *pull.labels])
        digest = hashlib.sha256(state.encode()).hexdigest()
        delivery = Delivery(
            key=keys.delivery("tick", digest), run_id=trigger_id, body_sha256=digest, expires_at=now + _BROUGHT
        )
        if ports.deliveries.remember([delivery], now=now) is not None:
            return False
        event = HostEvent(
            host=Sender(kind) if kind in set(Sender) else Sender.GITHUB,
            kind=EventKind.PULL_REQUEST,
            repository=f"https://{subject}",
            actor=Person(id=pull.author.id, login=pull.author.login),
            number=pull.number,
            reopened=reopened,
            base_branch=pull.base_branch,
            head=pull.head,
            updated_at=pull.updated_at,
        )
        self._start(event, trigger_id, now)
        return True

    def _start(self, event: HostEvent, trigger_id: str, now: datetime) -> None:
        ports = self._ports
        stored = StoredTrigger(trigger_id=trigger_id, received_at=now, event=event)
        ports.objects.put(
            keys.trigger_event(trigger_id), stored.model_dump_json().encode(), content_type="application/json"
        )
        ports.invoker.process_event(trigger_id)
        ports.logger.warning(
            "no webhook came; its event is started",
            repository=event.repository,
            kind=event.kind.value,
            number=event.number,
            trigger_id=trigger_id,
        )


@dataclass(frozen=True, slots=True)
class _Listed:
    """Pull requests to look at, the kind of their host, and the name of the list there.

    ``listed`` are all open ones as they were listed last. ``gone`` are those that have left the list, ``before`` those
    of them that had left it a turn before.
    """

    kind: str
    version: str
    pulls: tuple[ListedPullRequest, ...]
    listed: tuple[OpenPull, ...]
    gone: tuple[OpenPull, ...]
    before: tuple[OpenPull, ...] = ()


def _pull(stored: OpenPull) -> ListedPullRequest:
    author = Account(stored.author_id, stored.author_login)
    return ListedPullRequest(
        stored.number, author, stored.head, stored.base, stored.updated_at, stored.is_draft, stored.labels
    )


def _stored(pull: ListedPullRequest) -> OpenPull:
    return OpenPull(
        number=pull.number,
        author_id=pull.author.id,
        author_login=pull.author.login,
        head=pull.head,
        base=pull.base_branch,
        is_draft=pull.is_draft,
        labels=pull.labels,
        updated_at=pull.updated_at,
    )
