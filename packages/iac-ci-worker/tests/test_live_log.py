"""The log leaves the worker in parts: how often, and what a crash loses."""

from __future__ import annotations

import random

import pytest

from iac_ci_common.errors import PortFailed, UrlExpired
from iac_ci_common.limits import LIVE_SECONDS, MAX_LIVE_PART_BYTES, SLOW_LIVE_SECONDS
from iac_ci_common.testing import MemoryLogger
from iac_ci_worker import live_log
from iac_ci_worker.live_log import LiveLog


class Rights:
    def __init__(self):
        self.followed, self.has_urls = False, True

    def part_url(self, number):
        if not self.has_urls:
            raise PortFailed("the broker gave no URL for a part of the log")
        return f"part {number}"


class Parts:
    """Keeps the parts that were sent; raises the errors of ``fails`` first."""

    def __init__(self):
        self.sent, self.fails = [], []

    def send_part(self, url, body):
        if self.fails:
            raise self.fails.pop()
        assert url == f"part {len(self.sent)}"
        self.sent.append(body)


class World:
    def __init__(self, folder):
        self.now = 0.0
        self.log = folder / "log"
        self.rights, self.parts, self.logger = Rights(), Parts(), MemoryLogger()
        self.live = LiveLog(self.log, self.rights, self.parts, self.logger, clock=lambda: self.now)
        self.written = []

    def write(self, data=b"line\n"):
        with self.log.open("ab") as file:
            file.write(data)
        self.written.append((self.now, data))

    def pass_seconds(self, seconds, step=0.25):
        for _ in range(int(seconds / step)):
            self.now += step
            self.live.tick()

    @property
    def unsent(self):
        """What a crash now would lose, with the times at which it was written."""
        sent = sum(map(len, self.parts.sent))
        lost = []
        for at, data in self.written:
            sent -= len(data)
            if sent < 0:
                lost.append((at, data))
        return lost


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_first_line_leaves_within_five_seconds(world):
    world.write()
    world.pass_seconds(LIVE_SECONDS - 1.5)
    assert world.parts.sent == []
    world.pass_seconds(1)
    assert world.parts.sent == [b"line\n"]


def test_after_the_first_minute_a_part_is_sent_every_thirty_seconds(world):
    world.pass_seconds(61)
    world.write()
    world.pass_seconds(SLOW_LIVE_SECONDS - 1.5)
    assert world.parts.sent == []
    world.pass_seconds(1)
    assert world.parts.sent == [b"line\n"]


def test_who_follows_sees_a_line_within_five_seconds_of_the_wish(world):
    world.pass_seconds(61)
    world.write()
    world.pass_seconds(4)
    assert world.parts.sent == []
    world.rights.followed = True
    world.pass_seconds(0.5)
    assert world.parts.sent == [b"line\n"]


def test_nothing_is_sent_where_nothing_is_printed(world):
    world.write()
    world.pass_seconds(600)
    assert len(world.parts.sent) == 1


def test_an_hour_of_output_costs_what_the_page_says(world):
    """docs/performance.md: 130 requests in an hour, 720 with a follower."""
    for followed, most in ((False, 138), (True, 720)):
        folder = world.log.parent / str(followed)
        folder.mkdir()
        other = World(folder)
        other.rights.followed = followed
        for _ in range(3600):
            other.write()
            other.pass_seconds(1)
        assert len(other.parts.sent) <= most


def test_a_long_part_is_sent_in_pieces(world):
    world.write(b"x" * (2 * MAX_LIVE_PART_BYTES + 1))
    world.pass_seconds(5)
    assert [len(part) for part in world.parts.sent] == [MAX_LIVE_PART_BYTES, MAX_LIVE_PART_BYTES, 1]


@pytest.mark.parametrize("error", [UrlExpired("ended"), PortFailed("HTTP 500"), OSError("disk")])
def test_a_part_that_fails_is_sent_again_whole(world, error):
    world.write()
    world.parts.fails = [error]
    world.pass_seconds(5)
    world.write()
    world.pass_seconds(60)
    assert b"".join(world.parts.sent) == b"line\nline\n"


def test_without_a_url_nothing_is_sent_until_there_is_one(world):
    world.rights.has_urls = False
    world.write()
    world.pass_seconds(20)
    world.rights.has_urls = True
    world.pass_seconds(30)
    assert world.parts.sent == [b"line\n"]


def test_the_thread_ends_with_the_commands(world):
    with world.live.during():
        world.write()
    assert world.parts.sent == []


@pytest.mark.parametrize("seed", range(200))
def test_a_crash_at_any_moment_loses_one_period_at_most(tmp_path, seed):
    """A crash is a moment after which nothing is sent any more: 200 random ones, over random output."""
    chance = random.Random(seed)
    world = World(tmp_path)
    crash = chance.uniform(1, 300)
    followed_from = chance.uniform(0, 400)
    while world.now < crash:
        world.rights.followed = world.now >= followed_from
        for _ in range(chance.choice([0, 0, 1, 5])):
            world.write(f"{world.now:.2f} {chance.random()}\n".encode())
        world.pass_seconds(chance.choice([0.25, 1, 3, 20]))
    whole = b"".join(data for _, data in world.written)
    assert whole.startswith(b"".join(world.parts.sent))
    fast = world.now - 1 < live_log.FIRST_SECONDS or world.now - SLOW_LIVE_SECONDS > followed_from
    period = LIVE_SECONDS if fast else SLOW_LIVE_SECONDS
    assert all(world.now - at <= period for at, _ in world.unsent)
