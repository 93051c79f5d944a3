"""The commands, as a shell runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iac_ci_local.testing import processes_of, wait_until

pytestmark = pytest.mark.local_cloud

UP = [sys.executable, "-c", "from iac_ci_local.commands import app; app()", "up", "--json"]


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_up_is_found_until_it_ends_and_leaves_nothing(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    up = subprocess.Popen(UP, env=environment, stdout=subprocess.PIPE, text=True)
    assert up.stdout is not None
    said = json.loads(up.stdout.readline())
    (link,) = (tmp_path / "iac-ci").iterdir()
    assert json.loads(link.read_text("utf-8")) == said
    folder = link.resolve().parent
    assert processes_of(folder)
    up.send_signal(sent)
    assert up.wait() == code
    wait_until(lambda: not processes_of(folder) and not folder.exists(), what="the end of everything")
    assert not link.exists()
