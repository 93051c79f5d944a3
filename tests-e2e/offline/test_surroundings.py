"""A run says at its end what it ran with, whatever number of processes it had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from offline.place import ROOT

CONFTEST = """
import pytest
from offline import surroundings

def pytest_configure(config):
    config.pluginmanager.register(surroundings.Plugin())

@pytest.fixture(scope="session")
def noted(request):
    surroundings.note(request.config, "Engine: the one that is asked about here")
"""
NOTED = "def test_one(noted):\n    pass\n"
PLAIN = "def test_two():\n    pass\n"


def run(folder: Path, *arguments: str) -> str:
    for name, text in (("conftest.py", CONFTEST), ("test_a.py", NOTED), ("test_b.py", NOTED), ("test_c.py", PLAIN)):
        (folder / name).write_text(text)
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT / 'tests-e2e'}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900).stdout


@pytest.mark.parametrize("processes", ["0", "2"])
def test_says_once_what_was_used(tmp_path: Path, processes: str) -> None:
    said = run(tmp_path, "-n", processes, "--dist", "loadfile")
    assert "ran with" in said
    assert said.count("Engine: the one that is asked about here") == 1
    assert "3 passed" in said


def test_says_nothing_of_what_was_not_used(tmp_path: Path) -> None:
    assert "ran with" not in run(tmp_path, "test_c.py")
