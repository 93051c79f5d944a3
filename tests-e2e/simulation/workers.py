"""The real worker with the simulated network below its HTTP client, and commands that only pretend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import urllib3

from iac_ci_common.errors import AlreadyExists, NotFound, PortFailed, Throttled, UrlExpired
from iac_ci_common.limits import SHORT_GRACE_SECONDS
from iac_ci_common.redaction import Redactor
from iac_ci_common.testing import Sequential
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.decide import Ending, Outcome
from iac_ci_worker.live_log import LiveLog
from iac_ci_worker.presigned import HttpPresignedObjects
from iac_ci_worker.runner import Commands
from iac_ci_worker.settings import WorkerSettings
from simulation.checks import Checks, written
from simulation.graphs import OUTPUT, Behaviour, Story
from simulation.world import BrokerService, Silent, World


class Answer:
    """An HTTP response."""

    def __init__(self, status: int, data: bytes = b"") -> None:
        self.status = status
        self.data = data

    def stream(self, size: int) -> Iterator[bytes]:
        """Return the body in chunks."""
        for start in range(0, len(self.data), size):
            yield self.data[start : start + size]

    def release_conn(self) -> None:
        """Do nothing."""

    drain_conn = release_conn


class Network:
    """Stands for urllib3's pool: presigned URLs work on the simulated bucket, with the faults of any port call."""

    def __init__(self, world: World) -> None:
        self._world = world

    def request(self, method: str, url: str, *, body: bytes | IO[bytes] | None = None, **options: object) -> Answer:
        """Send one request."""
        sent = body.read() if body is not None and not isinstance(body, bytes) else body
        world = self._world
        if world.session_has_ended():
            return Answer(400, b"<Error><Code>ExpiredToken</Code></Error>")
        name = f"http.{method} {url.rpartition('/')[2].partition('?')[0]}"
        try:
            return Answer(200, world.call(name, lambda: world.objects.use_url(url, sent)) or b"")
        except AlreadyExists:
            return Answer(412)
        except NotFound:
            return Answer(404)
        except Throttled:
            return Answer(503)
        except UrlExpired:
            return Answer(400, b"<Error><Code>ExpiredToken</Code></Error>")
        except PortFailed as error:
            if error.retry_is_safe:
                raise urllib3.exceptions.ProtocolError("simulated") from error
            return Answer(403)


class PretendedCommands:
    """Takes the time that the story says, and ends as it says."""

    def __init__(
        self, world: World, checks: Checks, stories: Mapping[str, Story], heartbeat: SimulatedHeartbeat
    ) -> None:
        self._world = world
        self._checks = checks
        self._stories = stories
        self._heartbeat = heartbeat

    def run(self, commands: Commands, log: Path, redactor: Redactor) -> Outcome:
        """Run an order's commands."""
        run_id, order_num = commands.environment["IAC_CI_RUN_ID"], commands.environment["IAC_CI_ORDER_NUM"]
        attempt = int(commands.environment["IAC_CI_ATTEMPT"])
        story = self._stories.get(commands.environment["IAC_CI_FLOW_ID"].rpartition("-")[2])
        behaviour = self._behaviour(story, commands, order_num).of_attempt(attempt)
        if behaviour.exit_code:
            log.write_bytes(redactor.feed(b"it went wrong\n") + redactor.finish())
        self._checks.commands_start(run_id, order_num, attempt)
        for variable, num in (story.taken_by(order_num) if story is not None else {}).items():
            self._checks.commands_take(run_id, order_num, num, commands.environment[variable])
        if behaviour.writes:
            Path(commands.environment["IAC_CI_OUTPUT"]).write_text(f"{OUTPUT}={written(run_id, order_num)}\n", "utf-8")
        began = self._world.scheduler.time
        try:
            outcome = self._play(behaviour, commands, run_id, order_num)
            ended = self._world.scheduler.time if outcome.ending is Ending.EXITED else began + outcome.stopped_after
            self._checks.commands_say(run_id, order_num, outcome, commands.stop.reason, ended)
        finally:
            self._checks.commands_end(run_id, order_num)
        return outcome

    def _behaviour(self, story: Story | None, commands: Commands, order_num: str) -> Behaviour:
        """Return what an order's commands do: of a job that a client has sent, as its story says."""
        if story is not None:
            return story.behaviours[order_num]
        assert self._world.repository is not None
        named = commands.environment["IAC_CI_ORDER_NAME"], commands.environment["IAC_CI_RUN_ID"]
        return self._world.repository.behaviour(named[0], commands.folder, named[1])

    def _play(self, behaviour: Behaviour, commands: Commands, run_id: str, order_num: str) -> Outcome:
        scheduler, seconds = self._world.scheduler, commands.time.seconds
        if behaviour.kills_worker:
            scheduler.pause(min(behaviour.seconds, seconds))
            scheduler.die()
        takes = seconds if behaviour.hangs else min(behaviour.seconds, seconds)
        began = scheduler.time
        ending = Ending.EXITED
        if not self._lasts(takes, commands):
            ending = Ending.STOPPED
        elif behaviour.hangs or behaviour.seconds > seconds:
            ending = Ending.TIMED_OUT
        if ending is Ending.EXITED:
            code, ok = behaviour.exit_code, commands.ok_of(0)
            return Outcome(ending, code, 0, 1, ok=ok, changed=code in ok and code != 0)
        asked = scheduler.time
        last = began + commands.time.last if commands.time.last is not None else asked + commands.time.grace
        grace = max(0.0, min(commands.time.grace, last - asked))
        self._checks.grace_begins(run_id, order_num, until=asked + grace)
        commands.stop.stopping = True
        killed = not self._end(asked + behaviour.ends_after, asked + grace, commands)
        self._checks.grace_ends(run_id, order_num, asked=asked)
        return Outcome(ending, -9 if killed else 1, 0, 1, stopped_after=asked - began, killed=killed)

    def _end(self, ends: float, until: float, commands: Commands) -> bool:
        """Let the commands end at ``ends``; kill them at ``until``, sooner after a second wish; return which it was."""
        scheduler = self._world.scheduler
        hastened = False
        while scheduler.time < min(ends, until):
            if commands.stop.hastened and not hastened:
                hastened = True
                until = min(until, scheduler.time + SHORT_GRACE_SECONDS)
            self._lasts(min(self._heartbeat.seconds + 1.0, min(ends, until) - scheduler.time), commands, stopping=True)
        return ends <= until

    def _lasts(self, seconds: float, commands: Commands, *, stopping: bool = False) -> bool:
        """Let time pass, with the heartbeats; return whether the commands were left to go on."""
        scheduler = self._world.scheduler
        until = scheduler.time + seconds
        while scheduler.time < until:
            scheduler.pause(min(self._heartbeat.seconds, until - scheduler.time))
            if scheduler.time < until:
                self._heartbeat.beat()
                if commands.stop.reason is not None and not stopping:
                    return False
        return True


class SimulatedHeartbeat:
    """The heartbeat of each process; the commands let it beat."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._beats: dict[int, Callable[[], float]] = {}
        self._seconds: dict[int, float] = {}

    @contextmanager
    def during(self, beat: Callable[[], float], first: float) -> Iterator[None]:
        """Keep what the running process does at each beat."""
        self._beats[self._process] = beat
        self._seconds[self._process] = first
        try:
            yield
        finally:
            del self._beats[self._process]

    @property
    def seconds(self) -> float:
        """Return the seconds until the next beat of the running process."""
        return self._seconds[self._process]

    def beat(self) -> None:
        """Let the running process's heart beat once."""
        began = self._world.scheduler.time
        seconds = self._beats[self._process]()
        self._seconds[self._process] = max(0.0, began + seconds - self._world.scheduler.time)

    @property
    def _process(self) -> int:
        process = self._world.scheduler.current
        assert process is not None
        return process.root.number


class SilentLog(LiveLog):
    """A log that no thread sends: commands of the simulation print nothing, and take no time of this machine."""

    @contextmanager
    def during(self) -> Iterator[None]:
        """Send nothing."""
        yield


def worker(world: World, checks: Checks, stories: Mapping[str, Story]) -> Worker:
    """Build the worker."""
    exchange = HttpPresignedObjects(wait=world.scheduler.pause)
    network: Any = Network(world)
    exchange._pool = network
    heartbeat = SimulatedHeartbeat(world)
    ports = WorkerPorts(
        clock=world,
        objects=exchange,
        sealer=world.port("sealer", world.sealer),
        runner=PretendedCommands(world, checks, stories, heartbeat),
        broker=BrokerService(world),
        heartbeat=heartbeat,
        logger=Silent(),
        wait=world.scheduler.pause,
        live_log=SilentLog,
        # The package is only read, which nobody else can see.
        parallel=Sequential(),
    )
    return Worker(ports, WorkerSettings())
