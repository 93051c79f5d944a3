"""Everything the engine does to the world, as Protocols.

Adapters live in ``iac_ci_common.aws``, in-memory ones in ``iac_ci_common.testing``; one contract suite holds both to
what is written here. All of them raise ``iac_ci_common.errors`` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.errors import IacCiError
    from iac_ci_common.locations import Location
    from iac_ci_common.models.event import Event
    from iac_ci_common.models.lock import Delivery, Lock
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.work import Work

T = TypeVar("T")


class Clock(Protocol):
    """Time, so that tests and the simulation own it."""

    def now(self) -> datetime:
        """Return the time, with its zone (UTC)."""
        ...


class Objects(Protocol):
    """One bucket."""

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write or overwrite an object."""
        ...

    def create(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write an object that must not exist; raise ``AlreadyExists`` if it does (``If-None-Match: *``)."""
        ...

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Read an object, at most ``max_bytes`` + 1 of it; raise ``NotFound`` if it is not there."""
        ...

    def exists(self, key: str) -> bool:
        """Return whether the object is there."""
        ...

    def list(self, prefix: str) -> list[str]:
        """List all keys that begin with ``prefix``, sorted."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, a thousand a call; a missing one is no error."""
        ...

    def presign_get(self, key: str, *, seconds: int) -> str:
        """Make a URL that reads the object for so long; no service is called."""
        ...

    def presign_put(self, key: str, *, seconds: int, create_once: bool) -> str:
        """Make a URL that writes the object; with ``create_once`` ``If-None-Match: *`` is part of what is signed."""
        ...


class CodeStore(Protocol):
    """Reads archives from buckets that are the caller's, not the engine's."""

    def fetch(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Read an object; raise ``NotFound`` or, beyond ``max_bytes``, ``PreparationFailed``."""
        ...


@dataclass(frozen=True, slots=True)
class RunRows:
    """One consistent look at a run. ``run`` is None while the run is not prepared."""

    run: RunRow | None
    orders: tuple[OrderRow, ...]


@dataclass(frozen=True, slots=True)
class Transition:
    """Replace the row ``before`` by ``after`` if its status (and ``dispatched_at``) are still those of ``before``.

    ``event`` is written with it or not at all.
    """

    before: OrderRow | RunRow
    after: OrderRow | RunRow
    event: Event | None = None


class Runs(Protocol):
    """The tables orders and order_events."""

    def read(self, run_id: str) -> RunRows:
        """Read the run and all its orders: one strongly consistent query per megabyte."""
        ...

    def insert(self, run: RunRow, orders: Sequence[OrderRow], events: Sequence[Event]) -> bool:
        """Insert orders, events and, last and as the commit point, the run; rows that exist are left alone.

        Only the digest of its code is added to a queued order that has none: an attempt that gave the run up may have
        died before it committed. The run's own events are written with its row or not at all. Returns False if the
        run's row was there before. Safe to repeat, and for several at once.
        """
        ...

    def apply(self, transitions: Sequence[Transition]) -> tuple[Transition, ...]:
        """Apply the transitions, each wholly or not at all, a hundred items a call; return those that were refused.

        A transition is refused when the row is no longer as ``before`` says. An illegal one raises
        ``IllegalTransition`` before anything is written.
        """
        ...

    def record(self, events: Sequence[Event]) -> None:
        """Write events that go with no transition."""
        ...

    def events(self, trace_id: str) -> list[Event]:
        """Read a run's events in the order of time."""
        ...

    def request_cancel(self, run_id: str, reason: str) -> None:
        """Set ``cancel_reason`` on a run that has none and has not ended; else ``ConditionFailed``.

        Raises ``NotFound`` for a run that has no rows, or none yet.
        """
        ...


class RunLocks(Protocol):
    """The locks of runs, for the function that holds them. Expiry is compared here: TTL deletion is lazy."""

    def ring(
        self,
        run_id: str,
        news: AbstractSet[str],
        *,
        owner: str,
        now: datetime,
        lease_seconds: int,
        expires_at: datetime,
    ) -> Lock:
        """Count one more event on the run's doorbell and, in the same step, take the lock if it is free.

        ``news``, never empty, is what the event told: it stays in the lock's ``rung`` until a holder lets go of it.
        Returns the lock as it is now, created if there was none: whose ``owner`` it names has it. One whose lease ran
        out still has it here; ``take`` takes it over. A completed lock is returned unchanged.
        """
        ...

    def take(self, run_id: str, *, owner: str, now: datetime, lease_seconds: int, expires_at: datetime) -> Lock | None:
        """Take a lock that nobody holds alive and that is not completed, creating it if there is none; else None.

        Taking counts as a ring: of a holder who dies, the doorbell still tells that his event was not answered.
        """
        ...

    def renew(self, lock: Lock, *, now: datetime, lease_seconds: int) -> Lock:
        """Prolong our lease; raise ``ConditionFailed`` if the token is no longer ours."""
        ...

    def release(self, lock: Lock) -> Lock | None:
        """Let go (None) if the doorbell still reads ``lock.doorbell``; else return the lock as it is now, still held.

        What ``lock`` says of the comment is kept for the next holder where it is let go.
        Raises ``ConditionFailed`` if the token is no longer ours.
        """
        ...

    def complete(self, lock: Lock) -> None:
        """Mark the run as finished for good; raise ``ConditionFailed`` if the token is no longer ours."""
        ...


class LockReader(Protocol):
    """The locks of runs, for those that only look."""

    def read(self, run_id: str) -> Lock | None:
        """Read a run's lock, consistently."""
        ...


class Deliveries(Protocol):
    """Requests that were received before, in the table locks. Expiry is compared here: TTL deletion is lazy."""

    def remember(self, deliveries: Sequence[Delivery], *, now: datetime) -> Delivery | None:
        """Remember all deliveries in one step; or none, and return the first that was seen before and is alive."""
        ...

    def answer(self, key: str, answer: str) -> None:
        """Keep the answer that a remembered delivery got."""
        ...


class AsyncInvoker(Protocol):
    """The init function's asynchronous legs."""

    def prepare(self, run_id: str) -> None:
        """Ask for the preparation of an accepted run, asynchronously; asking twice is harmless."""
        ...

    def process_event(self, trigger_id: str) -> None:
        """Ask for a code host's stored event to be worked on, asynchronously; asking twice is harmless."""
        ...


class Workers(Protocol):
    """Where orders run."""

    def start_lambda(self, work: Work) -> None:
        """Hand an order to the worker function, asynchronously."""
        ...

    def start_build(self, work: Work, *, timeout_seconds: int) -> str:
        """Start a CodeBuild build, idempotent by run, order and dispatch; return the build's id."""
        ...

    def stop_build(self, build_id: str) -> None:
        """Stop a build; one that has ended is no error."""
        ...

    def build_ended(self, build_id: str) -> bool:
        """Return whether a build has ended, however it did."""
        ...


class Watchdogs(Protocol):
    """The Step Function."""

    def start(self, run_id: str, order_num: str) -> None:
        """Start the watchdog of an order, or with ``0000`` of the run; starting it again is no error."""
        ...


class Secrets(Protocol):
    """Parameter Store, Secrets Manager and STS."""

    def read(self, location: Location) -> str:
        """Read one secret whole (its ``key`` is the caller's affair); raise ``NotFound`` or ``PortFailed``."""
        ...

    def assume(self, role_arn: str, *, session_name: str) -> Mapping[str, str]:
        """Assume a role; return the three ``AWS_*`` credential variables. Role chaining limits them to one hour."""
        ...


class Sealer(Protocol):
    """SOPS."""

    def seal(self, values: Mapping[str, str], *, run_id: str, age_recipient: str | None = None) -> bytes:
        """Seal values under the stack's KMS key with the run as encryption context, or for an age recipient."""
        ...

    def unseal(self, sealed: bytes, *, run_id: str, age_identity: str | None = None) -> dict[str, str]:
        """Open a sealed file, in memory; raise ``SealingFailed``."""
        ...


class Parallel(Protocol):
    """Does independent calls side by side (threads on AWS, one after another in tests and the simulation)."""

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T | IacCiError]:
        """Do all calls; give each one's value or its error, in the order given. Other exceptions are raised."""
        ...


class Logger(Protocol):
    """Structured log lines."""

    def bind(self, **context: str) -> Logger:
        """Return a logger that adds this context (run_id, order_num, trace_id) on every line."""
        ...

    def info(self, message: str, **fields: object) -> None:
        """Write a line that a reader of a healthy run wants."""
        ...

    def warning(self, message: str, **fields: object) -> None:
        """Write a line about something that went wrong and was dealt with."""
        ...

    def error(self, message: str, **fields: object) -> None:
        """Write a line about something that a person should see."""
        ...


__all__ = [
    "AsyncInvoker",
    "Clock",
    "CodeStore",
    "Deliveries",
    "LockReader",
    "Logger",
    "Objects",
    "Parallel",
    "RunLocks",
    "RunRows",
    "Runs",
    "Sealer",
    "Secrets",
    "Transition",
    "Watchdogs",
    "Workers",
]
