"""Plays a run of three orders again and again, each time with another call that goes wrong."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain, count
from pathlib import Path

import pytest
from moto import mock_aws
from selection import FULL

from faults.checks import broken_promises
from faults.injection import Fault, Kind
from faults.world import JOB_TIMEOUT, Services, World

BOUND = timedelta(seconds=JOB_TIMEOUT + 600)
"""Every accepted run has ended so long after it was sent."""

STORIES = {
    "all goes well": {},
    "workers die": {"worker_dies": frozenset({"0001", "0003"})},
    "there is no code": {"code": "missing.zip"},
}
IN_TURN = (Kind.UNREACHABLE, Kind.ANSWER_LOST, Kind.DIES_AFTER, Kind.THROTTLED)
ALSO_IN_TURN = (Kind.DIES_AFTER, Kind.FAILED, Kind.ANSWER_LOST, Kind.DIES_BEFORE)
SWEPT = [IN_TURN, ALSO_IN_TURN] if FULL else [IN_TURN]
"""The kinds that a sweep plays in turn: a call meets one of four, and in `.ci/full` two of all six."""

STEP = 1 if FULL else 5
"""A sweep plays every fifth call, and in `.ci/full` every one; five and the four kinds have no common divisor."""


def named(kinds: tuple[Kind, ...]) -> str:
    """Name a sweep."""
    return f"from_{kinds[0].name.lower()}"


@contextmanager
def mocked_services(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Services]:
    """Bring up the services without any of this machine's own settings."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield Services()


def play(services: Services, fault: Fault, story: str, monkeypatch: pytest.MonkeyPatch) -> World:
    services.new_tables()
    world = World(services, fault, **STORIES[story])  # type: ignore[arg-type]
    with monkeypatch.context() as patched:
        world.wire(patched)
        world.watch()
        try:
            world.submit(f"key-{fault.function}-{fault.kind.name}-{fault.call}-{story.replace(' ', '-')}")
            world.go_on(BOUND)
        finally:
            world.unwatch()
    return world


def sweep(
    services: Services, monkeypatch: pytest.MonkeyPatch, function: str, story: str, kinds: Sequence[Kind]
) -> Iterator[tuple[int, list[str]]]:
    """Let each call of a function go wrong, a run for each; yield the call and what broke, up to the first not made."""
    for turn, call in enumerate(count(step=STEP)):
        fault = Fault(function, kinds[turn % len(kinds)], call)
        world = play(services, fault, story, monkeypatch)
        yield call, [f"call {call}, {fault.hit}: {promise}" for promise in broken_promises(world)]
        if fault.hit is None:
            return


def check_every_call(
    services: Services, monkeypatch: pytest.MonkeyPatch, function: str, story: str, kinds: Sequence[Kind], least: int
) -> None:
    """Assert that the promises hold whatever call of a function goes wrong, and that it makes ``least`` calls."""
    calls, broken = zip(*sweep(services, monkeypatch, function, story, kinds), strict=True)
    assert not any(broken), "\n".join(chain(*broken))
    assert calls[-1] >= least, f"only {calls[-1]} calls of {function} could go wrong"
