"""What the log says about time: durations of commands in it, and times of its lines beside it."""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from pathlib import Path

import pytest

from iac_ci_common.limits import MAX_LOG_TIMES
from iac_ci_common.redaction import Redactor
from iac_ci_worker import log_file
from iac_ci_worker.log_file import LogFile
from iac_ci_worker.log_times import LogTimes
from iac_ci_worker.log_writer import LogWriter

sys.path.insert(0, str(Path(__file__).parent))
from test_worker import World

DURATION = re.compile(r"\[iac-ci\] (exit code \d+|ended by signal \d+) after (\d+\.\d) s")


def without_durations(log):
    return DURATION.sub(r"[iac-ci] \1", log)


def test_each_command_is_followed_by_its_end_on_a_line_of_its_own():
    log = World(["printf one", "echo two", "true", "printf 'three\n\nfour'; exit 7"]).run().log_tail
    assert without_durations(log) == (
        "$ printf one\none\n[iac-ci] exit code 0\n"
        "$ echo two\ntwo\n[iac-ci] exit code 0\n"
        "$ true\n[iac-ci] exit code 0\n"
        "$ printf 'three\n>\n> four'; exit 7\nthree\n\nfour\n[iac-ci] exit code 7\n"
    )


def test_a_command_that_a_signal_ended_is_shown_with_it():
    assert "[iac-ci] ended by signal 9\n" in without_durations(World(["kill -9 $$"]).run().log_tail)


def test_the_duration_is_that_of_the_command():
    log = World(["true", "sleep 1.2"]).run().log_tail
    _, second = (float(seconds) for _, seconds in DURATION.findall(log))
    assert second >= 1.2


def test_a_secret_at_the_end_of_a_line_that_does_not_end_stays_masked():
    log = World(['printf "$TOKEN"', "echo next"], secrets={"TOKEN": "planted-secret-value"}).run().log_tail
    assert (
        without_durations(log)
        == '$ printf "$TOKEN"\n***\n[iac-ci] exit code 0\n$ echo next\nnext\n[iac-ci] exit code 0\n'
    )


def test_output_that_never_pauses_lets_the_next_command_begin():
    world = World(["(while true; do echo x; done) & sleep 0.1", "echo next"])
    assert "\n$ echo next\n" in world.run().log_tail or "$ echo next\n" in world.log


class Ticking:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_the_result_has_the_times_of_the_log_and_the_log_has_none():
    result = World(["echo one"]).run()
    (place, at), *_ = result.log_times
    assert place == 0
    assert at > 1_700_000_000_000
    assert without_durations(result.log_tail) == "$ echo one\none\n[iac-ci] exit code 0\n"


def test_times_are_of_the_masked_log_as_it_is_stored(tmp_path):
    reading, writing = os.pipe()
    log, clock = tmp_path / "log", Ticking()
    writer = LogWriter(reading, log, Redactor(["planted-secret-value"]))
    writer.times = LogTimes(clock)
    writer.start()
    for text in (b"one planted-secret-value\n", b"two\n"):
        os.write(writing, text)
        until = time.monotonic() + 60
        while not log.exists() or text[:3] not in log.read_bytes():
            assert time.monotonic() < until
            time.sleep(0.01)
        clock.now += 5
    os.close(writing)
    writer.finish(60)
    assert log.read_bytes() == b"one ***\ntwo\n"
    assert writer.times.all() == ((0, 1_000_000), (8, 1_005_000))


def test_times_are_a_second_apart_and_thinned_where_there_are_many():
    clock = Ticking()
    times = LogTimes(clock)
    for number in range(40 * MAX_LOG_TIMES):
        times.note(number)
        clock.now += 0.25
    found = times.all()
    assert len(found) <= MAX_LOG_TIMES
    assert list(found) == sorted(found)
    gaps = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(found)]
    assert min(gaps) >= 1000
    assert all(at == 1_000_000 + 250 * place for place, at in found), "each time is that of its place"


@pytest.mark.parametrize("size", [100, 700])
def test_nothing_is_said_about_what_comes_after_a_part_that_is_left_out(tmp_path, monkeypatch, size):
    monkeypatch.setattr(log_file, "MAX_LOG_BYTES", 1000)
    clock, offsets = Ticking(), []
    with (tmp_path / "log").open("ab", buffering=0) as opened:
        file = LogFile(opened)
        for _ in range(10):
            offsets.append(file.offset)
            file.write(b"x" * size)
    assert offsets[0] == 0
    assert offsets[-1] is None
    assert [place for place in offsets if place is not None] == [
        n * size for n in range(len(offsets) - offsets.count(None))
    ]
    times = LogTimes(clock)
    times.note(0)
    times.end(500)
    clock.now += 5
    times.note(600)
    assert times.all() == ((0, 1_000_000), (500, 0))
