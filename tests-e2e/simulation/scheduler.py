"""Virtual time, and processes that run until they touch the world.

A process is a greenlet. It runs alone until it pauses, which every port call does before and after its effect; then
whatever is due next goes on. Two runs of one seed therefore interleave in the same way, to the last step.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from greenlet import getcurrent, greenlet

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
MAX_STEPS = 2_000_000
_FOR_EVER = 1e9


class Died(BaseException):
    """A process dies here. Not an ``Exception``, so that no code can survive it by catching errors."""


class Livelock(AssertionError):
    """More steps than any run can need."""


class Ending(StrEnum):
    """How a process ended."""

    RETURNED = "returned"
    RAISED = "raised"
    DIED = "died"


@dataclass(eq=False)
class Process:
    """One run of one function in an environment of its own, whose clock may be off by ``skew`` seconds."""

    number: int
    function: str
    about: str
    skew: float
    limit: float
    ending: Ending | None = None
    error: BaseException | None = None
    value: object = None
    calls: int = 0
    began: float = 0.0
    dead: bool = False
    parent: Process | None = None
    lanes: list[Process] = field(default_factory=list, repr=False)
    body: greenlet | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"#{self.root.number} {self.function} {self.about}"

    @property
    def root(self) -> Process:
        """Return the process that this is a thread of: itself, if it is none."""
        return self if self.parent is None else self.parent.root


class Scheduler:
    """What is due, in the order of time; ties in the order in which they were planned."""

    def __init__(self) -> None:
        self.time = 0.0
        self.current: Process | None = None
        self.steps = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._numbers = itertools.count(1)
        self._hub = getcurrent()
        self._alive: dict[int, Process] = {}

    def now(self) -> datetime:
        """Return the time as the running process's own clock shows it; outside of processes the true time."""
        skew = self.current.skew if self.current is not None else 0.0
        return EPOCH + timedelta(seconds=self.time + skew)

    def true_time(self) -> datetime:
        """Return the time that the services keep."""
        return EPOCH + timedelta(seconds=self.time)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan an action."""
        heapq.heappush(self._due, (self.time + max(0.0, seconds), next(self._count), action))

    def start(
        self,
        function: str,
        about: str,
        body: Callable[[], object],
        *,
        delay: float,
        limit: float,
        skew: float = 0.0,
        ended: Callable[[Process], None] | None = None,
    ) -> Process:
        """Start a process after ``delay``; it dies when it takes longer than ``limit``."""
        process = Process(next(self._numbers), function, about, skew, limit)

        def run() -> None:
            try:
                process.value = body()
                process.ending = Ending.RETURNED
            except Died as error:
                process.ending, process.error = Ending.DIED, error
            except Exception as error:  # noqa: BLE001 - what Lambda sees as a failed invocation
                process.ending, process.error = Ending.RAISED, error

        def begin() -> None:
            if process.dead:
                return
            self._alive[process.number] = process
            process.began = self.time
            process.body = greenlet(run)
            self.after(limit, lambda: self.kill(process))
            self._go_on(process, ended)

        process.resume = lambda: self._go_on(process, ended)  # type: ignore[attr-defined]
        self.after(delay, begin)
        return process

    def pause(self, seconds: float) -> None:
        """Let others go on until ``seconds`` have passed; called by the running process."""
        process = self.current
        if process is None:
            raise RuntimeError("only a process can pause")
        if process.dead:
            raise Died
        self.after(seconds, process.resume)  # type: ignore[attr-defined]
        self._hub.switch()
        if process.dead:
            raise Died

    def side_by_side(self, bodies: Sequence[Callable[[], object]]) -> None:
        """Run threads of the running process and wait for all; where one dies, the process dies."""
        process = self.current
        if process is None:
            raise RuntimeError("only a process has threads")

        def ended(lane: Process) -> None:
            process.lanes.remove(lane)
            if lane.ending is Ending.DIED:
                self.kill(process)
            elif not process.lanes:
                process.resume()  # type: ignore[attr-defined]

        for body in bodies:
            lane = self.start(
                process.function, process.about, body, delay=0.0, limit=_FOR_EVER, skew=process.skew, ended=ended
            )
            lane.parent = process
            process.lanes.append(lane)
        self._hub.switch()
        if process.dead:
            raise Died

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Let the running process stand until what it begins calls the function that it is given."""
        process = self.current
        if process is None:
            raise RuntimeError("only a process can wait")
        begin(lambda: process.resume())  # type: ignore[attr-defined]
        self._hub.switch()
        if process.dead:
            raise Died

    def die(self) -> None:
        """End the running process here and now, as a crash does."""
        if self.current is None:
            raise RuntimeError("only a process can die")
        self.current.dead = True
        raise Died

    def kill(self, process: Process) -> None:
        """Let a process die where it stands, as its time-out does."""
        if process.ending is None and not process.dead:
            process.dead = True
            for lane in list(process.lanes):
                self.kill(lane)
            if process.body is not None:
                process.resume()  # type: ignore[attr-defined]

    def run(self, until: Callable[[], bool], horizon: float) -> None:
        """Go on until nothing is due, ``until`` says so, or the horizon is reached."""
        while self._due and not until():
            time, _, action = heapq.heappop(self._due)
            if time > horizon:
                self.time = horizon
                return
            self.time = max(self.time, time)
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise Livelock(f"{MAX_STEPS} steps")
            action()

    def close(self) -> None:
        """Let every process that still stands somewhere die, so that what it holds is let go."""
        for process in list(self._alive.values()):
            self.kill(process)

    def _go_on(self, process: Process, ended: Callable[[Process], None] | None) -> None:
        if process.ending is not None or process.body is None:
            return
        before, self.current = self.current, process
        self._hub = getcurrent()
        process.body.switch()
        self.current = before
        if process.ending is not None:
            self._alive.pop(process.number, None)
            if ended is not None:
                ended(process)
