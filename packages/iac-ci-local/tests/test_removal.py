"""What orders left in a local cloud is removed, however deep they nested their folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from iac_ci_local import ministack, supervisor


@pytest.fixture
def cloud(tmp_path: Path) -> Path:
    """The folder of a cloud with folders in it that are deeper than Python recurses and than a path may be long."""
    folder = tmp_path / f"{ministack._FOLDER_PREFIX}deep"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    return folder


def test_a_supervisor_removes_the_folder_of_its_cloud(cloud: Path) -> None:
    request = json.dumps({"children": [], "folder": str(cloud)})
    command = [sys.executable, "-I", "-S", supervisor.__file__]
    done = subprocess.run(command, input=f"{request}\n", capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert not cloud.exists()


def test_the_next_start_removes_what_a_killed_supervisor_left(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(cloud.parent))
    ended = subprocess.Popen(["true"])
    ended.wait()
    (cloud / "supervisor.pid").write_text(str(ended.pid), "utf-8")
    ministack.remove_abandoned_folders()
    assert not cloud.exists()
