"""A worker that is killed at a random moment: what it has sent is the log up to one period.

`test_live_log.py` of the worker checks 200 random crashes over random output with a clock of its own. Here real
processes are killed: five in `.ci/run`, 200 in `.ci/full`, with periods a tenth as long.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SCALE = 10
_WORKER = """
import sys, time
from pathlib import Path
from iac_ci_common.redaction import Redactor
from iac_ci_common.testing import MemoryLogger
from iac_ci_worker import live_log, log_writer
from iac_ci_worker.decide import Allowance
from iac_ci_worker.runner import BashRunner, Commands

folder, scale = Path(sys.argv[1]), int(sys.argv[2])
log_writer._PAUSE_SECONDS /= scale
live_log._TICK_SECONDS /= scale

class Rights:
    followed, parts_sent = True, 0
    def part_url(self, number):
        return f"{number:06d}"

class Parts:
    def send_part(self, url, body):
        whole = folder / f"{url}.unfinished"
        whole.write_bytes(body)
        whole.rename(folder / url)

command = "for i in $(seq 100000); do echo $i $EPOCHREALTIME; sleep 0.01; done"
log = folder / "log"
live = live_log.LiveLog(log, Rights(), Parts(), MemoryLogger(), clock=lambda: time.monotonic() * scale)
with live.during():
    time_left = Allowance(60, "its timeout", 10)
    BashRunner().run(Commands([command], folder, {"PATH": sys.argv[3]}, time_left), log, Redactor(["a-secret-value"]))
"""


def killed_worker(folder: Path, seconds: float) -> bytes:
    """Run a worker, kill it ``seconds`` after its first line, and return the parts that it has sent."""
    arguments = [sys.executable, "-c", _WORKER, str(folder), str(_SCALE), os.environ["PATH"]]
    process = subprocess.Popen(arguments, start_new_session=True)
    try:
        until = time.monotonic() + 60
        while not (folder / "log").exists() or not (folder / "log").stat().st_size:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(seconds)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return b"".join(path.read_bytes() for path in sorted(folder.glob("??????")))


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.full)])
def test_a_killed_worker_has_sent_its_log_up_to_one_period(tmp_path: Path, kills: int) -> None:
    chance = random.Random(kills)
    longest = 0.0
    for number in range(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        sent = killed_worker(folder, chance.uniform(0.5, 2.0))
        whole = (folder / "log").read_bytes()
        assert whole.startswith(sent)
        times = [float(line.split()[1]) for line in whole.splitlines() if line[:1].isdigit() and line.count(b" ") == 1]
        last = [float(line.split()[1]) for line in sent.splitlines(keepends=True) if _is_whole(line)]
        longest = max(longest, times[-1] - (last[-1] if last else times[0]))
    print(f"{kills} kills: each log was complete up to {longest * _SCALE:.1f} s of the 5 s of a period, scaled")
    # Ten times the scaled period: a loaded machine is not what is tested here.
    assert longest < 5


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"\n") and line[:1].isdigit() and line.count(b" ") == 1
