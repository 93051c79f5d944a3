"""An order's outcome is its commands' exit code, whatever they print and whatever the machine lacks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import limits
from iac_ci_common.errors import PortFailed, SealingFailed
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_worker import log_file
from iac_ci_worker.decide import Ending, Outcome, last_start, log_tail, verdict
from iac_ci_worker.log_file import LogFile
from iac_ci_worker.memory import memory_kills
from iac_ci_worker.stop_request import StopRequest

sys.path.insert(0, str(Path(__file__).parent))
from test_worker import World, without_ends


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


PRINTED = {
    "zeros, as tar prints them": b"\0" * 600_000,
    "control characters": bytes(range(32)) * 20_000,
    "no UTF-8": b"\xff" * 600_000,
    "quotes": b'"\\' * 300_000,
    "emoji": "🙂".encode() * 150_000,
    "lines": b"line\n" * 200_000,
}


@pytest.mark.parametrize("printed", PRINTED)
def test_the_size_of_a_result_is_held_in_the_unit_in_which_it_is_checked(printed):
    tail, cut = log_tail(PRINTED[printed], whole=len(PRINTED[printed]))
    assert cut
    assert len(tail.encode()) <= limits.LOG_TAIL_BYTES
    assert len(json.dumps(tail, ensure_ascii=False).encode()) <= limits.MAX_RESULT_BYTES - 64 * 1024
    assert tail, "the end is shown"


def test_what_is_printed_does_not_decide():
    result = World(["head -c 600000 /dev/zero; printf '\\xff\\x01'; echo APPLIED"]).run()
    assert (result.status, result.exit_code) == (OrderState.SUCCEEDED, 0)
    assert without_ends(result.log_tail).endswith("APPLIED\n")
    assert len(result.model_dump_json().encode()) <= limits.MAX_RESULT_BYTES


class TestLogFile:
    @pytest.fixture
    def file(self, temporary):
        with (temporary / "log").open("ab", buffering=0) as opened:
            yield opened

    @pytest.mark.parametrize("size", [1, 7, 100, 333])
    def test_a_long_log_keeps_its_beginning_and_its_end(self, file, monkeypatch, size):
        monkeypatch.setattr(log_file, "MAX_LOG_BYTES", 1000)
        lines = b"".join(b"%08d\n" % number for number in range(1000))
        log = LogFile(file)
        for start in range(0, len(lines), size):
            log.write(lines[start : start + size])
        log.finish()
        written = Path(file.name).read_bytes()
        beginning, note, end = written.partition(b"\n[iac-ci] the log has more than 1000 bytes; ")
        lost, _, end = end.partition(b" bytes are left out here\n")
        assert note
        assert beginning == lines[:500]
        assert 250 <= len(end) <= 500
        assert lines.endswith(end)
        assert int(lost) == len(lines) - len(beginning) - len(end)

    def test_a_log_of_the_limit_is_whole(self, file, monkeypatch):
        monkeypatch.setattr(log_file, "MAX_LOG_BYTES", 1000)
        log = LogFile(file)
        log.write(b"x" * 400)
        log.write(b"y" * 600)
        log.finish()
        assert Path(file.name).read_bytes() == b"x" * 400 + b"y" * 600

    @pytest.mark.parametrize("refused", ["a file", "its room"])
    def test_a_disk_without_room_from_the_beginning_loses_no_log(self, file, monkeypatch, refused):
        def refuse(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        place = (tempfile, "TemporaryFile") if refused == "a file" else (os, "posix_fallocate")
        monkeypatch.setattr(*place, refuse)
        log = LogFile(file)
        log.write(b"line\n")
        log.finish()
        assert Path(file.name).read_bytes() == b"line\n"

    def test_on_a_full_disk_the_end_takes_the_room_of_what_is_before_it(self, file, monkeypatch):
        monkeypatch.setattr(log_file, "_HELD_BYTES", 100)
        real = log_file._write

        def write(opened, data):
            if os.fstat(opened.fileno()).st_size + len(data) > 2000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(opened, data)

        monkeypatch.setattr(log_file, "_write", write)
        log = LogFile(file)
        for number in range(1000):
            log.write(b"%08d\n" % number)
        log.finish()
        stored = Path(file.name).read_bytes()
        assert log.disk_was_full
        assert b"[iac-ci] the disk was full: about " in stored
        assert stored.endswith(b"00000999\n")
        assert stored.startswith(b"00000000\n")
        assert len(stored) <= 2000

    @pytest.mark.parametrize("room", [600, 800, 900, 1000, 1100])
    def test_a_long_log_on_a_full_disk_ends_with_its_newest_lines(self, file, monkeypatch, room):
        """The files of a long log's end take room too: it may be missing while they are written, or copied."""
        monkeypatch.setattr(log_file, "MAX_LOG_BYTES", 1000)
        monkeypatch.setattr(log_file, "_HELD_BYTES", 100)
        monkeypatch.setattr(log_file, "_COPY_BYTES", 60)
        real = log_file._write

        def write(opened, data):
            files = [one for one in (file, *log._ends) if not one.closed]
            if sum(os.fstat(one.fileno()).st_size for one in files) + len(data) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(opened, data)

        monkeypatch.setattr(log_file, "_write", write)
        log = LogFile(file)
        for number in range(110):
            log.write(b"%08d\n" % number)
        log.finish()
        stored = Path(file.name).read_bytes()
        numbers = [int(line) for line in stored.splitlines() if line.isdigit() and len(line) == 8]
        assert log.disk_was_full
        assert numbers == sorted(set(numbers))
        assert stored.endswith(b"00000109\n")


@pytest.mark.slow
def test_a_disk_of_3_mb_is_named_and_ends_no_command(temporary, monkeypatch):
    disk = temporary / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root mounts a disk; test_on_a_full_disk… shows the same with a disk that refuses")
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        fill = "head -c 9000000 /dev/zero > $TMPDIR/full || true"
        result = World([f"{fill}; for i in $(seq 40000); do echo line number $i; done; echo STATE SAVED"]).run()
        assert (result.status, result.exit_code) == (OrderState.SUCCEEDED, 0)
        assert "disk was full" in result.reason
        assert without_ends(result.log_tail).endswith("STATE SAVED\n")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("outcome", "named"),
    [
        (Outcome(Ending.EXITED, 137, 0, 1), "if it was that, give the worker more"),
        (Outcome(Ending.EXITED, -9, 0, 1), "if it was that, give the worker more"),
        (Outcome(Ending.EXITED, 1, 0, 1, out_of_memory=True), "because memory was used up; give the worker more"),
        (Outcome(Ending.EXITED, 1, 0, 1, disk_was_full=True), "ended with exit code 1; the worker's disk was full"),
        (Outcome(Ending.EXITED, 0, 0, 1, disk_was_full=True), "the worker's disk was full"),
    ],
)
def test_what_the_machine_lacked_is_named_with_the_setting_to_raise(outcome, named):
    found = verdict(outcome, "its timeout")
    assert named in found.reason
    assert found.status is (OrderState.FAILED if outcome.exit_code else OrderState.SUCCEEDED)
    assert "memory_mb" in found.reason or "memory" not in named


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\n", 3),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", 2),
        ("other", "oom_kill 5\n", 0),
    ],
)
def test_the_kernel_counts_who_it_killed_for_memory(temporary, name, text, count):
    (temporary / name).parent.mkdir(exist_ok=True)
    (temporary / name).write_text(text)
    assert memory_kills(temporary) == count


def test_line_ends_of_windows_are_converted_and_the_log_says_so():
    result = World(["if true\r\nthen\r\n  echo yes\r\nfi\r\n", "printf 'a\\r\\n'"]).run()
    assert result.status is OrderState.SUCCEEDED
    assert "\nyes\n" in result.log_tail
    assert result.log_tail.count("[iac-ci] the command has the line ends of Windows; they are converted\n") == 1


PASSING = {
    "S3 answers 503": PortFailed("exec.zip: HTTP 503, 5 times", retry_is_safe=True),
    "the network breaks off": PortFailed("exec.zip: ProtocolError", retry_is_safe=True),
    "KMS is throttled": SealingFailed("KMS: ThrottlingException", retry_is_safe=True),
}


def failing(world, error, times):
    """Let the first ``times`` tries to fetch something fail; return how often it was tried."""
    fetch, tries = world.exchange.fetch, []

    def try_it(url, path):
        tries.append(path.name)
        if len(tries) <= times:
            path.write_bytes(b"a part of it")
            raise error
        return fetch(url, path)

    world.exchange.fetch = try_it
    return tries


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_fault_that_passes_is_repeated_before_the_first_command(fault, times):
    world = World(["cat main.tf"]).with_code({"main.tf": b"content"})
    tries = failing(world, PASSING[fault], times)
    assert world.run().status is OrderState.SUCCEEDED
    assert "content" in world.result.log_tail
    assert len(tries) == times + 2, "the package and the code"


def test_a_fault_that_stays_ends_the_order_while_it_has_time_to_say_so():
    world = World(["true"])
    failing(world, PASSING["S3 answers 503"], 1000)
    result = world.run()
    assert result.status is OrderState.FAILED
    assert "could not be started: exec.zip: HTTP 503" in result.reason
    assert timedelta() < world.clock.now() - START <= timedelta(seconds=150), "half of the order's time"


def test_a_fault_that_a_repetition_cannot_change_is_not_repeated():
    world = World(["true"])
    tries = failing(world, PortFailed("exec.zip: HTTP 400"), 1000)
    assert world.run().status is OrderState.FAILED
    assert len(tries) == 1


@pytest.mark.parametrize("asked", ["by a person", "by a signal"])
def test_an_order_that_is_to_stop_while_it_is_opened_again_runs_nothing(asked):
    world, stop = World(["true"], timeout=28_800), StopRequest()
    failing(world, PASSING["S3 answers 503"], 1000)
    work = world.work()
    fetch = world.exchange.fetch

    def fetch_and_ask(url, path):
        if world.clock.now() > START + timedelta(seconds=20):
            stop.ask("wrong branch") if asked == "by a signal" else world.runs.request_stop(RUN_ID, "wrong branch")
        return fetch(url, path)

    world.exchange.fetch = fetch_and_ask
    world.worker.run(work, stop=stop)
    assert world.result.status is OrderState.CANCELLED
    assert world.result.reason.endswith("wrong branch; nothing was run")
    assert world.clock.now() - START <= timedelta(seconds=90)


def test_nothing_is_repeated_after_the_first_command(temporary):
    world = World([f"echo ran >> {temporary}/../ran", "exit 75"])
    try:
        assert world.run().status is OrderState.FAILED
        assert (temporary.parent / "ran").read_text() == "ran\n"
    finally:
        (temporary.parent / "ran").unlink()


def test_on_lambda_the_repetitions_leave_time_for_the_commands():
    work = World(["true"]).work().model_copy(update={"timeout": 500, "not_after": START + timedelta(hours=1)})
    assert last_start(work, START, None) == START + timedelta(seconds=250)
    assert last_start(work, START, START + timedelta(seconds=590)) == START + timedelta(seconds=250)
    assert last_start(work, START, START + timedelta(seconds=290)) == START + timedelta(seconds=100)
