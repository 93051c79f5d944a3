"""What may go wrong, and how often: drawn from the seed, so that a seed is a whole story."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """What happens at one port call."""

    NONE = "none"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    THROTTLE = "throttle"
    FAIL = "fail"
    REFUSE = "refuse"
    LOSE_ANSWER = "lose the answer"
    REPEAT = "repeat"
    STALL = "stall"


@dataclass(frozen=True)
class Profile:
    """One kind of weather. Rates are per port call or per delivery; ``until`` is when the faults stop (seconds)."""

    name: str
    duplicate: float = 0.0
    late: float = 0.0
    lost: float = 0.0
    crash: float = 0.0
    throttle: float = 0.0
    fail: float = 0.0
    refuse: float = 0.0
    lose_answer: float = 0.0
    repeat: float = 0.0
    stall: float = 0.0
    skew: float = 0.0
    slow: float = 0.02
    single: bool = False
    until: float = 0.0

    @property
    def is_calm(self) -> bool:
        """Return whether functions, calls and events all work: only their order and number are left to chance."""
        return (
            not any(
                (
                    self.lost,
                    self.crash,
                    self.throttle,
                    self.fail,
                    self.refuse,
                    self.lose_answer,
                    self.repeat,
                    self.stall,
                )
            )
            and not self.single
        )


CALM = Profile("calm", duplicate=0.05, slow=0.1)
BURST = Profile("burst", duplicate=0.3, late=0.1, slow=0.4)
DOUBLED = Profile("doubled", duplicate=0.8, slow=0.4)
SKEWED = Profile("skewed", duplicate=0.1, late=0.05, skew=4.0)
LOSSY = Profile("lossy", duplicate=0.05, late=0.1, lost=0.2, skew=2.0)
CRASHING = Profile("crashing", duplicate=0.05, crash=0.02, skew=2.0)
FLAKY = Profile("flaky", duplicate=0.05, throttle=0.03, fail=0.02, lose_answer=0.03, repeat=0.03, skew=2.0, stall=0.002)
REFUSING = Profile("refusing", refuse=0.02, duplicate=0.02, crash=0.02)
SLOW = Profile("slow", late=0.3, stall=0.02, slow=0.3, duplicate=0.1, skew=4.0)
SINGLE = Profile("single", single=True, duplicate=0.02)
STORM = Profile(
    "storm",
    duplicate=0.2,
    late=0.2,
    lost=0.15,
    crash=0.02,
    throttle=0.02,
    fail=0.02,
    lose_answer=0.02,
    repeat=0.02,
    stall=0.005,
    skew=4.0,
)
UNANSWERED = Profile("unanswered", refuse=0.04, lose_answer=0.1, duplicate=0.02)
PROFILES = {
    profile.name: profile
    for profile in (CALM, BURST, DOUBLED, SKEWED, LOSSY, CRASHING, FLAKY, REFUSING, SLOW, SINGLE, STORM, UNANSWERED)
}
_WEIGHTS = {"calm": 2, "burst": 3, "skewed": 1, "single": 4, "crashing": 3, "storm": 3, "unanswered": 0}
"""How often each is drawn. In an unanswered world, which is only asked for, most runs fail."""
_SINGLE_FAULTS = (
    Fault.CRASH_BEFORE,
    Fault.CRASH_AFTER,
    Fault.THROTTLE,
    Fault.FAIL,
    Fault.LOSE_ANSWER,
    Fault.REPEAT,
    Fault.STALL,
)


@dataclass(frozen=True)
class Quotas:
    """How many builds and functions the account may run at once; None is as many as there are."""

    builds: int | None = None
    functions: int | None = None


@dataclass(frozen=True)
class SingleFault:
    """The only fault of a world: at the call with this number, counted from 0.

    With ``name`` only calls of this name count. A stalled call takes ``seconds`` if that is not None.
    """

    call: int
    kind: Fault
    name: str | None = None
    seconds: float | None = None


def draw_single_fault(random: Random, orders: int) -> SingleFault:
    """Draw the only fault of a run with so many orders; a few positions are behind its last call."""
    return SingleFault(random.randrange(12 + 20 * orders), random.choice(_SINGLE_FAULTS))


_IN_GROUPS = (
    ("groups.write", Fault.STALL),
    ("groups.write", Fault.STALL),
    ("plans.write_state", Fault.STALL),
    ("runs.apply", Fault.CRASH_AFTER),
)
"""Faults between which a group is taken, used and left."""


def draw_fault_in_groups(random: Random) -> SingleFault:
    """Draw the only fault of a world whose runs meet in groups: a process dies, or stands still beyond its lease."""
    name, kind = random.choice(_IN_GROUPS)
    return SingleFault(random.randrange(6), kind, name, random.uniform(90.0, 240.0))


def draw_profile(random: Random, deadline: float, *, name: str | None = None) -> Profile:
    """Draw the weather, unless it has a ``name``, and how long it lasts."""
    names = list(PROFILES)
    drawn = random.choices(names, [_WEIGHTS.get(each, 2) for each in names])[0]
    chosen = PROFILES[name or drawn]
    return replace(chosen, until=random.uniform(0.1, 1.0) * deadline)


def for_few_calls(profile: Profile) -> Profile:
    """Return the weather of a port that a run calls once or twice: its faults are eight times as frequent."""
    kinds = ("crash", "throttle", "fail", "refuse", "lose_answer", "repeat", "stall")
    return replace(profile, **{kind: 8 * getattr(profile, kind) for kind in kinds})


class Faults:
    """Draws what happens at each call and delivery."""

    def __init__(self, random: Random, profile: Profile, single_fault: SingleFault | None) -> None:
        self._random = random
        self.profile = profile
        self._calls = 0
        self._single = single_fault
        rates = {
            Fault.CRASH_BEFORE: profile.crash / 2,
            Fault.CRASH_AFTER: profile.crash / 2,
            Fault.THROTTLE: profile.throttle,
            Fault.FAIL: profile.fail,
            Fault.REFUSE: profile.refuse,
            Fault.LOSE_ANSWER: profile.lose_answer,
            Fault.REPEAT: profile.repeat,
            Fault.STALL: profile.stall,
        }
        self._kinds = [kind for kind, rate in rates.items() if rate]
        self._rates = [rate for rate in rates.values() if rate]
        self._any = sum(self._rates)
        self.drawn: list[str] = []
        self.last = 0.0

    def at_call(self, time: float, name: str, process: str) -> Fault:
        """Draw what happens at a port call."""
        is_counted = self._single is None or self._single.name in {None, name}
        self._calls += is_counted
        fault = Fault.NONE
        if self._single is not None and is_counted and self._calls - 1 == self._single.call:
            fault = self._single.kind
        elif self._any and time < self.profile.until and self._random.random() < self._any:
            fault = self._random.choices(self._kinds, self._rates)[0]
        if fault is not Fault.NONE:
            self.last = time
            self.drawn.append(f"{time:.3f} {process}: {fault} at {name}")
        return fault

    def latency(self) -> float:
        """Draw how long half a call takes."""
        if self._random.random() < self.profile.slow:
            return self._random.uniform(0.1, 2.0)
        return self._random.uniform(0.002, 0.03)

    def stall(self) -> float:
        """Draw how long a stalled call takes: around the life of a lease."""
        if self._single is not None and self._single.seconds is not None:
            return self._single.seconds
        return self._random.uniform(10.0, 50.0)

    def deliveries(self, time: float) -> list[float]:
        """Draw the delays with which an event or asynchronous call arrives: none, one or several."""
        profile = self.profile
        if profile.lost and time < profile.until and self._random.random() < profile.lost:
            self.last = time
            return []
        count = 1
        while count < 4 and self._random.random() < profile.duplicate:
            count += 1
        return [self._delay() for _ in range(count)]

    def skew(self) -> float:
        """Draw how far a process's clock is off."""
        return self._random.uniform(-self.profile.skew, self.profile.skew) if self.profile.skew else 0.0

    def _delay(self) -> float:
        if self.profile.late and self._random.random() < self.profile.late:
            return self._random.uniform(5.0, 120.0)
        return self._random.uniform(0.02, 1.0)
