from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import importlib
from iac_ci_local import gateway

app = importlib.import_module("ministack.app")
assert app._docker_socket_present()
app.main = app._stop_docker_containers
gateway.main()
"""


def test_ministack_does_not_reach_the_machines_docker(tmp_path: Path) -> None:
    """It would remove the containers of every MiniStack of this user."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen()
        variables = {
            "DOCKER_HOST": f"unix://{path}",
            "GATEWAY_PORT": "1",
            "AWS_ACCESS_KEY_ID": "root",
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, "-I", "-c", SCRIPT], env=variables, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        engine.setblocking(False)
        with pytest.raises(BlockingIOError):
            engine.accept()
