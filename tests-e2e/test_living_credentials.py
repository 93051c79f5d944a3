"""Credentials of a role live as long as its order: the real broker and worker, and the AWS SDK, in scaled time."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.credentials
import botocore.session
import pytest

from iac_ci_broker.act import Broker, BrokerPorts
from iac_ci_broker.hand_on import HandOn
from iac_ci_broker.module_tokens import ModuleTokens
from iac_ci_broker.start import OrderStart
from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists, PortFailed
from iac_ci_common.granted import SourceGrants
from iac_ci_common.grants import ANY_SOURCE, Grants
from iac_ci_common.models.manifest import MANIFEST_NAME, Manifest
from iac_ci_common.models.result import Claim, Result
from iac_ci_common.models.work import BuildOrder
from iac_ci_common.packing import write
from iac_ci_common.ports import Transition
from iac_ci_common.states import OrderState
from iac_ci_common.testing import (
    FakeClock,
    MemoryLogger,
    MemoryObjects,
    MemoryRuns,
    MemorySealer,
    MemorySecrets,
    MemoryTargetRoles,
)
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_common.testing.ticket_chains import MemoryTicketChains
from iac_ci_common.tickets import digest, new_ticket
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.decide import Ending, Outcome
from iac_ci_worker.settings import WorkerSettings

ROLE = "arn:aws:iam::123456789012:role/deployer"
HOUR = timedelta(hours=1)
PLACE = (RUN_ID, "0001")


class Presigned:
    """Presigned URLs over a bucket in memory."""

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects

    def create_claim(self, url: str, claim: Claim) -> None:
        self._objects.use_url(url, claim.model_dump_json().encode())

    def fetch(self, url: str, path: Path) -> None:
        path.write_bytes(self._objects.use_url(url))

    def store_log(self, url: str, path: Path) -> None:
        self._objects.use_url(url, path.read_bytes())

    def send_part(self, url: str, body: bytes) -> None:
        self._objects.use_url(url, body)

    def report(self, url: str, result: bytes) -> bool:
        try:
            self._objects.use_url(url, result)
        except AlreadyExists:
            return False
        return True


class Minutes:
    """Heartbeat and commands in one: in each minute of the clock the worker trades, and the SDK asks for credentials.

    Each ``use`` of the SDK's credentials is at a moment at which AWS takes them.
    """

    def __init__(self, world: World, minutes: int) -> None:
        self._world, self._minutes = world, minutes
        self._beat: Callable[[], float] = lambda: 0.0
        self.used: dict[str, list[datetime]] = {}

    @contextlib.contextmanager
    def during(self, beat: Callable[[], float], seconds: float) -> Iterator[None]:
        self._beat = beat
        yield

    def run(self, commands: Any, log: Path, redactor: Any) -> Outcome:
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} & commands.environment.keys()
        sdk = self._world.sdk(commands.environment)
        for _ in range(self._minutes):
            found = sdk.get_frozen_credentials()
            self.used.setdefault(found.access_key, []).append(self._world.clock.now())
            masked = redactor.text(f"{found.secret_key} {found.token}")
            assert masked == "*** ***", "what the commands may print is masked"
            self._world.clock.advance(60)
            self._beat()
        log.write_bytes(b"done\n")
        return Outcome(Ending.EXITED, 0, 0, 1)


class World:
    """One order with a role, on the real broker and worker; ``outage`` are the minutes without an answer of STS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, minutes: int, outage: range = range(0)) -> None:
        self.clock, self.monkeypatch = FakeClock(START), monkeypatch
        self.objects, self.runs = MemoryObjects(self.clock), MemoryRuns()
        self.roles, self.commands = MemoryTargetRoles(self.clock), Minutes(self, minutes)
        self._outage, self._began = outage, START
        self.ends: dict[str, datetime] = {}
        grants = SourceGrants(MemorySecrets(), None, Grants(roles={ANY_SOURCE: ("*",)}))
        sealer, logger = MemorySealer(), MemoryLogger()
        start = OrderStart("iac-ci", self.objects, sealer, self, grants, HandOn("iac-ci", self.objects, sealer))
        modules = ModuleTokens(MemorySecrets(), None, {})
        broker = Broker(BrokerPorts(self.clock, self.runs, MemoryTicketChains(), self.objects, logger, start, modules))
        ports = WorkerPorts(
            self.clock, Presigned(self.objects), sealer, self.commands, broker, self.commands, logger,
            self.clock.advance,
        )  # fmt: skip
        self.worker, self.minutes = Worker(ports, WorkerSettings()), minutes

    def assume(self, role: str, session: Any) -> Any:
        minute = (self.clock.now() - self._began) // timedelta(minutes=1)
        if minute in self._outage:
            raise PortFailed(f"assuming {role}: ServiceUnavailable")
        given = self.roles.assume(role, session)
        self.ends[given.access_key_id] = given.expires_at
        return given

    def sdk(self, variables: dict[str, str]) -> Any:
        """Return the credentials of the AWS SDK with the variables of the commands, and this world's clock."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            self.monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            if name.startswith("AWS_"):
                self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr(botocore.credentials, "_local_now", self.clock.now)
        found = botocore.session.Session().get_credentials()
        assert found.method == "container-role"
        found._time_fetcher = self.clock.now
        return found

    def run(self, *, waits: timedelta) -> Result:
        """Run the order after it has waited; return its result."""
        manifest = Manifest(
            run_id=RUN_ID, order_num="0001", order_name="long", flow_id="f", cmds=("apply",), assumes_role=True,
            credentials="endpoint",
        )  # fmt: skip
        archive = io.BytesIO()
        write(archive, {MANIFEST_NAME: manifest.to_stored()})
        self.objects.put(keys.package(*PLACE), archive.getvalue())
        seconds = self.minutes * 60
        sha256 = hashlib.sha256(archive.getvalue()).hexdigest()
        queued = order_row(1, timeout=seconds, assume_role=ROLE, package_sha256=sha256)
        self.runs.insert(run_row(source="api", deadline=START + timedelta(hours=24)), [queued], [])
        self.clock.advance(waits.total_seconds())
        now = self._began = self.clock.now()
        ticket, dispatch = new_ticket(), str(int(now.timestamp() * 1000))
        sent = {
            "status": OrderState.DISPATCHING,
            "dispatched_at": now,
            "order_deadline": now + timedelta(seconds=seconds),
            "tickets": (f"{dispatch}:{digest(ticket)}",),
        }
        self.runs.apply([Transition(queued, queued.model_copy(update=sent))])
        self.worker.run_build(BuildOrder(run_id=RUN_ID, order_num="0001", dispatch=dispatch, ticket=ticket))
        return Result.model_validate_json(self.objects.get(keys.result(*PLACE)))

    def dead(self) -> list[str]:
        """Return the sessions that were used at or after their end."""
        return [key for key, moments in self.commands.used.items() if moments[-1] >= self.ends[key]]


@pytest.mark.parametrize(
    ("name", "minutes", "waits", "fewest", "most"),
    [
        ("an order of 59 minutes after an hour's wait", 59, HOUR, 2, 2),
        ("a build of 8 hours", 8 * 60, timedelta(0), 8, 11),
    ],
)
def test_credentials_live_as_long_as_the_order(
    monkeypatch: pytest.MonkeyPatch, name: str, minutes: int, waits: timedelta, fewest: int, most: int
) -> None:
    world = World(monkeypatch, minutes=minutes)
    result = world.run(waits=waits)
    assert (result.status, result.reason) == (OrderState.SUCCEEDED, None)
    assert sum(map(len, world.commands.used.values())) == minutes
    assert world.dead() == []
    assert fewest <= len(world.roles.sessions) <= most
    print(f"{name}: {len(world.commands.used)} sessions, living credentials in each of {minutes} minutes")


def test_an_outage_of_ten_minutes_at_the_renewal_leaves_the_order_its_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, minutes=120, outage=range(45, 55))
    assert world.run(waits=timedelta(0)).status is OrderState.SUCCEEDED
    assert world.dead() == []
