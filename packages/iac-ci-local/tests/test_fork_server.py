from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iac_ci_local.functions import fork_server
from iac_ci_local.functions.fork_server import IMPORTED, Fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="functions are forks on Linux only")

SCRIPT = """
import json, os, sys

def show():
    for line in sys.stdin:
        print(json.dumps({
            "line": line, "name": __name__, "arguments": sys.argv, "path": sys.path[0], "folder": os.getcwd(),
            "variables": dict(os.environ), "pid": os.getpid(),
        }), flush=True)
        print("one line of errors", file=sys.stderr)
    sys.exit(7)

show()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "_worker.py"
    path.write_text(SCRIPT, "utf-8")
    return path


def test_a_fork_runs_a_script_as_a_python_of_its_own_would(script: Path, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    fork = Fork(str(script), cwd=str(folder), env={"ONLY": "this"})
    fork.stdin.write("hello\n")
    shown = json.loads(fork.stdout.readline())
    assert shown.pop("pid") != os.getpid()
    assert shown == {
        "line": "hello\n", "name": "__main__", "arguments": [str(script)], "path": str(tmp_path),
        "folder": str(folder), "variables": {"ONLY": "this"},
    }  # fmt: skip
    assert fork.stderr.readline() == "one line of errors\n"
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(timeout=0)
    fork.stdin.close()
    assert fork.wait(timeout=60) == 7
    assert fork.stdout.read() == ""


@pytest.mark.parametrize(("end", "number"), [(Fork.terminate, signal.SIGTERM), (Fork.kill, signal.SIGKILL)])
def test_a_fork_is_ended(script: Path, end, number: signal.Signals) -> None:
    fork = Fork(str(script), cwd="/", env={})
    fork.stdin.write("hello\n")
    assert fork.stdout.readline()
    end(fork)
    assert fork.wait(timeout=60) == -number


def test_only_scripts_of_functions_are_forks(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("print('other')")
    replaced = fork_server._Subprocess()
    assert replaced.PIPE is subprocess.PIPE
    assert isinstance(replaced.Popen([sys.executable, str(tmp_path / "other.py")]), subprocess.Popen)


def test_a_folder_with_too_long_a_path_for_a_socket_has_no_fork_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server.util, "get_temp_dir", lambda: "/tmp/" + "long" * 30)
    monkeypatch.setattr(fork_server.forkserver, "ensure_running", lambda: pytest.fail("it was started"))
    assert not fork_server.fork_functions(without="PATH")


def test_what_the_fork_server_imports_is_there_and_builds_nothing() -> None:
    code = (
        f"import sys, {', '.join(IMPORTED)}; from iac_ci_common.aws import clients; "
        "sys.exit(bool(clients._clients) or any(name.endswith('.handler') for name in sys.modules if 'iac_ci' in name))"
    )
    subprocess.run([sys.executable, "-I", "-c", code], env={}, check=True)


def test_clients_of_forks_read_no_models_from_files() -> None:
    code = """
from iac_ci_local.functions.preloaded_models import SERVICES
import boto3
from botocore.loaders import JSONFileLoader

JSONFileLoader._load_file = lambda self, path, *_: print("read", path)
for name in SERVICES:
    print(boto3.client(name).meta.service_model.service_name)
"""
    variables = {"AWS_DEFAULT_REGION": "eu-west-1"}
    done = subprocess.run([sys.executable, "-I", "-c", code], env=variables, check=True, capture_output=True, text=True)
    assert "s3" in done.stdout.splitlines()
    assert "read" not in done.stdout
