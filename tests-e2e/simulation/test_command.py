"""``simulate.py``, as `.ci/full --seeds` and a developer who replays a seed call it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, str(Path(__file__).parent.parent / "simulate.py")]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)


def test_many_seeds_end_with_one_line():
    done = run("--count", "20", "--processes", "2")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"20 seeds, \d+ orders, \d+ steps, \d+ s, [\d.]+ seeds/s, 0 broken\n", done.stdout)


def test_broken_seeds_are_printed_and_end_the_play():
    done = run("--count", "5000", "--processes", "1", "--mutation", "claim", "--size", "3")
    assert done.returncode == 1, done.stderr
    *reports, last = done.stdout.splitlines()
    assert sum(line.startswith("seed ") for line in reports) >= 5
    assert "'commands start at most once'" in last
    assert int(last.partition(" seeds")[0]) < 5000


def test_a_seed_is_played_again_step_by_step():
    done = run("--seed", "1", "--mutation", "claim", "--trace")
    assert done.returncode == 1, done.stderr
    assert "http.PUT claim.json" in done.stdout
    assert "commands start at most once" in done.stdout
