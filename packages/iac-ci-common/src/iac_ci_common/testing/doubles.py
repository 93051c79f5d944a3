"""The smaller ports in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from iac_ci_common.errors import IacCiError, NotFound, PreparationFailed, SealingFailed
from iac_ci_common.locations import Location, parse_location
from iac_ci_common.models.trade import RoleCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from iac_ci_common.identity_context import KmsContext
    from iac_ci_common.models.saved_plan import Replan
    from iac_ci_common.models.work import BuildOrder, Work
    from iac_ci_common.ports import Clock
    from iac_ci_common.sessions import Session

T = TypeVar("T")


class FakeClock:
    """A clock that only ``advance`` moves."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        """Set the time to ``start``."""
        self._now = start

    def now(self) -> datetime:
        """Return the current time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Add ``seconds`` to the time."""
        self._now += timedelta(seconds=seconds)


class Sequential:
    """Does independent calls one after another."""

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T | IacCiError]:
        """Do all calls and return each one's value or ``IacCiError``, in their order."""
        results: list[T | IacCiError] = []
        for call in calls:
            try:
                results.append(call())
            except IacCiError as error:
                results.append(error)
        return results


class MemoryCodeStore:
    """The callers' buckets in memory."""

    def __init__(self, archives: Mapping[tuple[str, str], bytes] | None = None) -> None:
        """Keep archives by bucket and key."""
        self.archives = dict(archives or {})

    def fetch(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return an archive's bytes; raise ``PreparationFailed`` beyond ``max_bytes``."""
        if (bucket, key) not in self.archives:
            raise NotFound(f"s3://{bucket}/{key} does not exist")
        body = self.archives[(bucket, key)]
        if len(body) > max_bytes:
            raise PreparationFailed(f"s3://{bucket}/{key} is larger than the allowed {max_bytes} bytes")
        return body


class MemoryAsyncInvoker:
    """Records the invocations of preparations, of the processing of events, and of plans that are made again."""

    def __init__(self) -> None:
        """Start with none."""
        self.started: list[str] = []
        self.triggered: list[str] = []
        self.replans: list[Replan] = []

    def prepare(self, run_id: str) -> None:
        """Record one."""
        self.started.append(run_id)

    def process_event(self, trigger_id: str) -> None:
        """Record one."""
        self.triggered.append(trigger_id)

    def plan_again(self, replan: Replan) -> None:
        """Record one."""
        self.replans.append(replan)


class MemoryWorkers:
    """Records the work of started workers."""

    def __init__(self) -> None:
        """Start with none."""
        self.lambda_works: list[Work] = []
        self.builds: dict[str, BuildOrder] = {}
        self.compute_types: dict[str, str | None] = {}
        self.stopped: list[str] = []
        self.ended: set[str] = set()
        self.unlisted: set[str] = set()

    def start_lambda(self, work: Work) -> None:
        """Record an order for Lambda."""
        self.lambda_works.append(work)

    def start_build(self, order: BuildOrder, *, timeout_seconds: int, compute_type: str | None = None) -> str:
        """Record an order for CodeBuild and return the build's id; the same dispatch returns the same build."""
        build_id = f"build:{order.run_id}-{order.order_num}-{order.dispatch}"
        self.builds.setdefault(build_id, order)
        self.compute_types[build_id] = compute_type
        return build_id

    def stop_build(self, build_id: str) -> None:
        """Record that a build was stopped."""
        self.stopped.append(build_id)
        self.ended.add(build_id)

    def ended_builds(self, build_ids: Sequence[str], *, new: AbstractSet[str] = frozenset()) -> frozenset[str]:
        """Return those of the builds that a test has marked as ended, or as not listed if they are not of ``new``."""
        return frozenset((self.ended | (self.unlisted - new)).intersection(build_ids))


class MemoryWatchdogs:
    """Records the started watchdogs; a test puts those that have ended into ``ended``."""

    def __init__(self) -> None:
        """Start with none."""
        self.started: list[tuple[str, int]] = []
        self.ended: set[tuple[str, int]] = set()

    def start(self, run_id: str, number: int) -> bool:
        """Record one; a second start changes nothing and answers False once the first has ended."""
        if (run_id, number) not in self.started:
            self.started.append((run_id, number))
        return (run_id, number) not in self.ended

    def is_running(self, run_id: str, number: int) -> bool:
        """Return whether it was started and has not ended."""
        return (run_id, number) in self.started and (run_id, number) not in self.ended


class MemorySecrets:
    """Secrets by location."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        """Keep values by location without ``#key``."""
        self.values = {parse_location(name): value for name, value in (values or {}).items()}

    def read(self, location: Location) -> str:
        """Return one secret, whole."""
        whole = Location(location.store, location.name)
        if whole not in self.values:
            raise NotFound(f"{whole} does not exist")
        return self.values[whole]


class MemoryTargetRoles:
    """Records the sessions of assumed roles; each lasts for an hour, as where one role assumes another."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Start with none; without ``clock`` sessions end by the clock of the machine."""
        self.sessions: list[tuple[str, Session]] = []
        self._now = clock.now if clock is not None else lambda: datetime.now(UTC)

    def assume(self, role_arn: str, session: Session) -> RoleCredentials:
        """Return credentials that contain the role's name, and from the second session on its number."""
        self.sessions.append((role_arn, session))
        number = f"-{len(self.sessions)}" if len(self.sessions) > 1 else ""
        return RoleCredentials(
            access_key_id=f"ASIAMEMORY{number}",
            secret_access_key=f"secret-of-{role_arn}{number}",
            session_token=f"token-of-{session.name}{number}",
            expires_at=self._now() + timedelta(hours=1),
        )


class MemorySealer:
    """Marks values as sealed for one run, and identities as encrypted for their context, without cryptography."""

    def encrypt_identity(self, identity: str, context: KmsContext) -> bytes:
        """Return an identity that only the same context decrypts."""
        return json.dumps({"identity": identity, "context": context.as_kms()}).encode().hex().encode()

    def decrypt_identity(self, encrypted: bytes, context: KmsContext) -> str:
        """Return the identity; raise ``SealingFailed`` for another context."""
        try:
            content = json.loads(bytes.fromhex(encrypted.decode()))
        except ValueError as error:
            raise SealingFailed("the identity is not encrypted", run_id=context.run_id) from error
        if content["context"] != context.as_kms():
            raise SealingFailed("the identity was encrypted for another run", run_id=context.run_id)
        return str(content["identity"])

    def seal(self, values: Mapping[str, str], *, run_id: str, age_recipient: str | None = None) -> bytes:
        """Return values that only the same run (and an identity, if there was a recipient) unseals.

        Without a recipient the values are sealed as versions before did.
        """
        return json.dumps({"run": run_id, "age": age_recipient, "values": dict(values)}).encode().hex().encode()

    def unseal(self, sealed: bytes, *, run_id: str, age_identity: str | None = None) -> dict[str, str]:
        """Return the values that were sealed for this run; raise ``SealingFailed``."""
        try:
            content = json.loads(bytes.fromhex(sealed.decode()))
        except ValueError as error:
            raise SealingFailed("the file is not sealed", run_id=run_id) from error
        if content["run"] != run_id or (content["age"] is None) != (age_identity is None):
            raise SealingFailed("the file was sealed for another run", run_id=run_id)
        return dict(content["values"])


class MemoryLogger:
    """Log lines as tuples of level, message and fields."""

    def __init__(self, lines: list[tuple[str, str, dict[str, object]]] | None = None, **context: str) -> None:
        """Share ``lines`` with the loggers that ``bind`` returned."""
        self.lines = [] if lines is None else lines
        self._context = context

    def bind(self, **context: str) -> MemoryLogger:
        """Return a logger that also adds this context."""
        return MemoryLogger(self.lines, **(self._context | context))

    def info(self, message: str, **fields: object) -> None:
        """Record a line."""
        self.lines.append(("info", message, self._context | fields))

    def warning(self, message: str, **fields: object) -> None:
        """Record a line."""
        self.lines.append(("warning", message, self._context | fields))

    def error(self, message: str, **fields: object) -> None:
        """Record a line."""
        self.lines.append(("error", message, self._context | fields))
