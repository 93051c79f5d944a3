"""Every effect of the engine, as Protocols.

Adapters are in ``iac_ci_common.aws``, in-memory ones in ``iac_ci_common.testing``; one contract test suite checks both
against these docstrings. They raise errors of ``iac_ci_common.errors`` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from iac_ci_common.errors import IacCiError
    from iac_ci_common.identity_context import KmsContext
    from iac_ci_common.locations import Location
    from iac_ci_common.metrics import Metric
    from iac_ci_common.models.announcement import Announcement
    from iac_ci_common.models.commit_job import CommitJob
    from iac_ci_common.models.event import Event
    from iac_ci_common.models.group import Group
    from iac_ci_common.models.lock import Delivery, Lock
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.saved_plan import PlanRecord, ProjectState, Replan
    from iac_ci_common.models.trade import RoleCredentials, TicketChain, Trade, TradeAnswer
    from iac_ci_common.models.work import BuildOrder, Work
    from iac_ci_common.sessions import Session

T = TypeVar("T")


class Clock(Protocol):
    """The time, which tests and the simulation replace."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        ...


class Objects(Protocol):
    """One bucket."""

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write or overwrite an object."""
        ...

    def create(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write an object that does not exist yet (``If-None-Match: *``); raise ``AlreadyExists`` if it does."""
        ...

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Return an object's bytes, at most ``max_bytes`` + 1 of them; raise ``NotFound`` if it does not exist."""
        ...

    def exists(self, key: str) -> bool:
        """Return whether the object exists."""
        ...

    def list(self, prefix: str, *, after: str | None = None) -> list[str]:
        """Return all keys that begin with ``prefix``, sorted; with ``after`` those that sort after this key."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, a thousand in a call; a missing one is not an error."""
        ...

    def presign_get(self, key: str, *, seconds: int, save_as: str | None = None) -> str:
        """Return a URL that reads the object and is valid for ``seconds``; no service is called.

        With ``save_as`` a browser saves the object as a text file of this name instead of showing it.
        """
        ...

    def presign_put(self, key: str, *, seconds: int, create_once: bool, length: int | None = None) -> str:
        """Return a URL that writes the object.

        With ``create_once`` the signature covers ``If-None-Match: *``; with ``length`` it covers ``Content-Length``.
        """
        ...


class CodeStore(Protocol):
    """Reads archives from the caller's buckets, not the engine's."""

    def fetch(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes; raise ``NotFound``, or ``PreparationFailed`` beyond ``max_bytes``."""
        ...


@dataclass(frozen=True, slots=True)
class RunRows:
    """A run's rows, read at one moment. ``run`` is None while the run is not prepared."""

    run: RunRow | None
    orders: tuple[OrderRow, ...]


@dataclass(frozen=True, slots=True)
class Transition:
    """Replaces the row ``before`` by ``after`` if its status (and ``dispatched_at``) are still those of ``before``.

    ``event`` is written together with the row, or neither is.
    """

    before: OrderRow | RunRow
    after: OrderRow | RunRow
    event: Event | None = None


class Runs(Protocol):
    """The tables orders and order_events."""

    def read(self, run_id: str) -> RunRows:
        """Return the rows of the run and all its orders: one strongly consistent query per megabyte."""
        ...

    def insert(self, run: RunRow, orders: Sequence[OrderRow], events: Sequence[Event]) -> bool:
        """Insert orders, events and, last and as the commit point, the run; existing rows are not changed.

        One exception: a queued order without digests of its package and code gets them, because an attempt whose
        preparation failed may have died before it committed the run. The run's own events are written together with
        its row, or neither is. Returns False if the run's row existed already. Repeated and concurrent calls are safe.
        """
        ...

    def read_some(self, run_id: str, order_nums: Collection[str]) -> RunRows:
        """Return the rows with these numbers, a hundred at most, by one consistent call; ``0000`` is the run's own.

        A row is missing in the answer if it does not exist, or if the table has no capacity for it at the moment.
        """
        ...

    def find_run(self, run_id: str) -> RunRow | None:
        """Return the run's own row by one consistent read, None while the run is not prepared."""
        ...

    def find_order(self, run_id: str, order_num: str) -> OrderRow | None:
        """Return one order's row by one consistent read, None if it does not exist."""
        ...

    def next_watchdog(self, run_id: str, ended: int) -> int:
        """Record that the run's watchdog number ``ended`` has ended; return the number of the one that counts now.

        The run's row is written only if it still has the number ``ended``, so that of several callers all get the same
        number. A run without a row has no number to write; the answer is then ``ended`` + 1.
        """
        ...

    def apply(
        self, transitions: Sequence[Transition], *, whole: bool = False, unless_cancelled: bool = False
    ) -> tuple[Transition, ...]:
        """Apply each transition wholly or not at all, a hundred items in a call; return the refused ones.

        A transition is refused if the row no longer matches ``before`` and, with ``unless_cancelled``, if the run of
        these orders has a ``cancel_reason`` or no row. With ``whole``, it is also refused with another one of the same
        call or of a call before: what follows from a transition comes after it. Raises ``IllegalTransition`` for one
        that the state table does not allow, before anything is written.
        """
        ...

    def record(self, events: Sequence[Event]) -> None:
        """Write events that belong to no transition."""
        ...

    def events(self, trace_id: str) -> list[Event]:
        """Return a run's events in the order of time."""
        ...

    def events_named(self, order_name: str, since: datetime) -> list[Event]:
        """Return the events of this name since a moment, of all runs, the newest first.

        The newest ones may be missing for a second: the index follows the table.
        """
        ...

    def request_cancel(self, run_id: str, reason: str) -> None:
        """Set ``cancel_reason`` on a run that has no other and has not ended; else raise ``ConditionFailed``.

        Raises ``NotFound`` for a run that has no rows (yet).
        """
        ...

    def follow(self, run_id: str, until: datetime, *, output: bool = True) -> None:
        """Set ``followed_until`` on a run, so that its workers trade more often and send their logs more often.

        Without ``output`` set ``waited_until``, so that they only trade more often.

        Raises ``ConditionFailed`` for a run that has ended, and ``NotFound`` for one that has no rows (yet).
        """
        ...

    def request_stop(self, run_id: str, reason: str, *, order_num: str | None = None, soon: bool = False) -> None:
        """Set ``stop_reason`` on a run or on one of its orders, so that the broker asks workers to stop.

        The first reason stays; ``soon`` says that it is asked for again. Raises ``ConditionFailed`` if the run or order
        has ended, and ``NotFound`` if it has no row (yet).
        """
        ...


class History(Protocol):
    """The index of runs in the table order_events, for people who look for a run. Reads are eventually consistent."""

    def job_events(self, since: datetime, until: datetime) -> list[Event]:
        """Return the events of whole runs from ``since`` to before ``until``, the newest first.

        Those that a version before wrote are among them. Expired events are not, although TTL deletes rows late.
        """
        ...


class RunLocks(Protocol):
    """The locks of runs, for the function that takes them. Adapters check expiry, because TTL deletes rows late."""

    def ring(
        self,
        run_id: str,
        pending: AbstractSet[str],
        *,
        owner: str,
        now: datetime,
        lease_seconds: int,
        expires_at: datetime,
    ) -> Lock:
        """Add an event to the run's doorbell and, in the same write, take the lock if it is free.

        ``pending``, never empty, describes the event and stays in the lock's attribute ``rung`` until an owner releases
        the lock. Returns the current lock, created if there was none; its ``owner`` holds it. An
        owner whose lease has expired still holds it here; ``take`` replaces that owner. A completed lock is returned
        unchanged.
        """
        ...

    def take(self, run_id: str, *, owner: str, now: datetime, lease_seconds: int, expires_at: datetime) -> Lock | None:
        """Take a lock that has no valid lease and is not completed, created if there is none; else return None.

        Taking increments the doorbell: if the owner dies, the doorbell shows that its event was not processed.
        """
        ...

    def renew(self, lock: Lock, *, now: datetime, lease_seconds: int) -> Lock:
        """Extend the owner's lease; raise ``ConditionFailed`` if the lock has another owner or token."""
        ...

    def release(self, lock: Lock) -> Lock | None:
        """Release the lock and return None if the doorbell is still ``lock.doorbell``; else return the lock, held.

        On release, what ``lock`` says about changed rows, comment, announcements and the run's end is saved for the
        next owner.
        Raises ``ConditionFailed`` if the lock has another owner or token.
        """
        ...

    def complete(self, lock: Lock) -> None:
        """Mark the run as completed; raise ``ConditionFailed`` if the lock has another owner or token."""
        ...


class LastWrites(Protocol):
    """The last writes of a pass, which release the run's lock."""

    def write(self, transitions: Sequence[Transition], lock: Lock, *, unless_cancelled: bool = False) -> bool:
        """Apply all transitions and release the lock in one write, as ``Runs.apply`` and ``RunLocks.release`` do.

        Return False, and write nothing, if ``Runs.apply`` would refuse a transition, if the doorbell is no longer
        ``lock.doorbell``, or if the lock has another owner or token. There are at most 49 transitions, with
        ``unless_cancelled`` none of the run itself.
        """
        ...


class LockReader(Protocol):
    """The locks of runs, for functions that only read them."""

    def read(self, run_id: str) -> Lock | None:
        """Return a run's lock by a consistent read, None if there is none."""
        ...


class TicketChains(Protocol):
    """The chains of tickets, in the table locks. TTL deletes rows late, which does no harm here."""

    def read(self, run_id: str, order_num: str, dispatch: str) -> TicketChain | None:
        """Return a dispatch's chain by a consistent read, None if no ticket of it was traded."""
        ...

    def move(self, chain: TicketChain, *, expected: str | None) -> bool:
        """Write ``chain`` in one conditional write: the stored chain's present ticket must be ``expected``.

        None expects that there is no chain. Returns False, and writes nothing, otherwise. A note of misuse is kept.
        """
        ...

    def note_misuse(self, chain: TicketChain, *, now: datetime) -> bool:
        """Note that a ticket was refused; return whether this was the first note. Makes the chain if it is missing."""
        ...


class Broker(Protocol):
    """The function that trades tickets for rights, as a worker calls it."""

    def trade(self, trade: Trade) -> TradeAnswer:
        """Send a trade and return the answer, which may be a refusal.

        Raises ``PortFailed``, with ``retry_is_safe`` set, if there was no answer: the same trade may be sent again.
        """
        ...


class Deliveries(Protocol):
    """Received deliveries, in the table locks. Adapters check expiry, because TTL deletes rows late."""

    def remember(self, deliveries: Sequence[Delivery], *, now: datetime) -> Delivery | None:
        """Remember all deliveries in one write; or none, and return the first that is remembered already."""
        ...

    def answer(self, key: str, answer: str) -> None:
        """Save the answer to a remembered delivery."""
        ...


class AsyncInvoker(Protocol):
    """Asynchronous invocations of the init function."""

    def prepare(self, run_id: str) -> None:
        """Invoke the preparation of an accepted run; a second invocation changes nothing."""
        ...

    def process_event(self, trigger_id: str) -> None:
        """Invoke the processing of a code host's stored event; a second invocation changes nothing."""
        ...

    def plan_again(self, replan: Replan) -> None:
        """Invoke what plans again what an apply has made stale; a second invocation changes nothing."""
        ...


class Workers(Protocol):
    """The worker function and the builds that run orders."""

    def start_lambda(self, work: Work) -> None:
        """Invoke the worker function asynchronously for an order."""
        ...

    def start_build(self, order: BuildOrder, *, timeout_seconds: int, compute_type: str | None = None) -> str:
        """Start a CodeBuild build, idempotent by run, order and dispatch, and return its id."""
        ...

    def stop_build(self, build_id: str) -> None:
        """Stop a build. A build that has ended is not an error."""
        ...

    def ended_builds(self, build_ids: Sequence[str], *, new: AbstractSet[str] = frozenset()) -> frozenset[str]:
        """Return those of the builds that have ended, with any status, or that do not exist; a hundred in a call.

        A build of ``new`` has just been started: CodeBuild may not list it yet, which does not mean that it has ended.
        """
        ...


class Watchdogs(Protocol):
    """The watchdog's Step Functions state machine. A run's first watchdog has the number 1."""

    def start(self, run_id: str, number: int) -> bool:
        """Start the run's watchdog with this number, and return whether it surely runs now.

        False means that this number was started before: it may still run or have ended. A second start changes nothing;
        while the first runs, the answer may be either (AWS answers True, some emulators False).
        """
        ...

    def is_running(self, run_id: str, number: int) -> bool:
        """Return whether the run's watchdog with this number runs. What ended seconds ago may still count as running.

        Ask only after ``start`` answered False: AWS limits this call to a few in a second.
        """
        ...


class CommitJobs(Protocol):
    """The newest states of jobs on commits, in the table locks."""

    def read(self, key: str) -> CommitJob | None:
        """Return a job on a commit by a consistent read, None if there is none or it has expired."""
        ...

    def write(self, job: CommitJob) -> CommitJob:
        """Write the next version of the job that was read (``version`` is the one that was read) and return it.

        Raises ``ConditionFailed`` if another run has written it since; read it again and repeat.
        """
        ...


class Plans(Protocol):
    """The ledger of plans, in the table locks: the newest plan of each project in each pull request, and projects."""

    def records(self, keys: Collection[str]) -> dict[str, PlanRecord]:
        """Return the rows of plans that there are and have not expired, by their keys; reads are consistent."""
        ...

    def states(self, keys: Collection[str]) -> dict[str, ProjectState]:
        """Return the rows of projects that there are and have not expired, by their keys; reads are consistent."""
        ...

    def write_record(self, record: PlanRecord) -> PlanRecord:
        """Write the next version of the row that was read (``version`` is the one that was read) and return it.

        Raises ``ConditionFailed`` if another process has written it since; read it again and repeat.
        """
        ...

    def write_state(self, state: ProjectState) -> ProjectState:
        """Write the next version of a project's row, like ``write_record``."""
        ...


class Groups(Protocol):
    """Concurrency groups, in the table locks."""

    def read(self, keys: Collection[str]) -> dict[str, Group]:
        """Return the rows of groups that there are and have not expired, by their keys; reads are consistent."""
        ...

    def write(self, group: Group) -> Group:
        """Write the next version of the row that was read (``version`` is the one that was read) and return it.

        Raises ``ConditionFailed`` if another process has written it since; read it again and repeat.
        """
        ...


class EventBus(Protocol):
    """The stack's event bus."""

    def put(self, announcements: Sequence[Announcement]) -> None:
        """Put announcements, ten in a call; raise ``PortFailed`` if one was not accepted. Others may have been.

        To put one again is harmless: receivers ignore an id that they know.
        """
        ...


class Secrets(Protocol):
    """Parameter Store and Secrets Manager."""

    def read(self, location: Location) -> str:
        """Return one secret, whole (the caller selects the ``key``); raise ``NotFound`` or ``PortFailed``."""
        ...


class TargetRoles(Protocol):
    """STS."""

    def assume(self, role_arn: str, session: Session) -> RoleCredentials:
        """Assume a role and return its credentials, valid for one hour (role chaining)."""
        ...


class Sealer(Protocol):
    """SOPS, and KMS for age identities."""

    def seal(self, values: Mapping[str, str], *, run_id: str, age_recipient: str) -> bytes:
        """Return the values, sealed for an age recipient; raise ``SealingFailed``."""
        ...

    def encrypt_identity(self, identity: str, context: KmsContext) -> bytes:
        """Return an age identity, encrypted under the stack's key with its context; raise ``SealingFailed``."""
        ...

    def decrypt_identity(self, encrypted: bytes, context: KmsContext) -> str:
        """Return an age identity; raise ``SealingFailed``, also if it was encrypted with another context."""
        ...

    def unseal(self, sealed: bytes, *, run_id: str, age_identity: str | None = None) -> dict[str, str]:
        """Return a sealed file's values, unsealed in memory; raise ``SealingFailed``."""
        ...


class Parallel(Protocol):
    """Does independent calls concurrently (in threads on AWS, one after another in tests and the simulation)."""

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T | IacCiError]:
        """Do all calls and return each one's value or ``IacCiError``, in their order. Other exceptions are raised."""
        ...


class Metrics(Protocol):
    """Numbers that CloudWatch keeps. To record them makes no call and cannot fail."""

    def record(self, values: Mapping[Metric, float], **context: str) -> None:
        """Record the values of now; the context (run_id, trace_id) helps to find the line."""
        ...


class Logger(Protocol):
    """Structured log lines."""

    def bind(self, **context: str) -> Logger:
        """Return a logger that adds this context (run_id, order_num, trace_id) to every line."""
        ...

    def info(self, message: str, **fields: object) -> None:
        """Log progress of a run without problems."""
        ...

    def warning(self, message: str, **fields: object) -> None:
        """Log a problem that the engine handled."""
        ...

    def error(self, message: str, **fields: object) -> None:
        """Log a problem that a person should see."""
        ...


__all__ = [
    "AsyncInvoker",
    "Broker",
    "Clock",
    "CodeStore",
    "CommitJobs",
    "Deliveries",
    "EventBus",
    "Groups",
    "LockReader",
    "Logger",
    "Metrics",
    "Objects",
    "Parallel",
    "RunLocks",
    "RunRows",
    "Runs",
    "Sealer",
    "Secrets",
    "TicketChains",
    "Transition",
    "Watchdogs",
    "Workers",
]
