"""Starting and ending: nothing of a local cloud outlives whoever started it, however that ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from iac_ci_local import forked_supervisor
from iac_ci_local.ministack import LocalAws, LocalCloudError, start_program
from iac_ci_local.processes import descendants
from iac_ci_local.testing import processes_of, wait_until, zipped

pytestmark = pytest.mark.local_cloud

STARTS = [
    "program",
    pytest.param(
        "fork", marks=pytest.mark.skipif(sys.platform != "linux", reason="supervisors are forks on Linux only")
    ),
]

PARENT = """
import json, os, sys, time
from iac_ci_local import forked_supervisor
from iac_ci_local.ministack import LocalAws
if sys.argv[1] == "fork":
    forked_supervisor.fork_clouds()
aws = LocalAws()
aws.start()
print(json.dumps({"folder": str(aws.folder), "pid": aws.pid}), flush=True)
sys.stdin.read()
"""

LINGERING = """
import os, subprocess
def handler(event, context):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {"pid": child.pid}
"""


LINGERING_THREAD = """
import ctypes, subprocess, sys, threading, time
child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
threading.Thread(target=time.sleep, args=[600]).start()
print(child.pid, flush=True)
ctypes.PyDLL(None).pthread_exit(None)
"""
"""A process whose first thread ends and another does not: it is shown as a zombie."""


def start_lingering_process(aws: LocalAws) -> int:
    functions = aws.client("lambda")
    aws.client("iam").create_role(RoleName="nobody", AssumeRolePolicyDocument="{}")
    functions.create_function(
        FunctionName="lingering",
        Runtime="python3.12",
        Handler="stub.handler",
        Role=f"arn:aws:iam::{aws.account}:role/nobody",
        Code={"ZipFile": zipped(LINGERING)},
    )
    answer = json.loads(functions.invoke(FunctionName="lingering", Payload=b"{}")["Payload"].read())
    return int(answer["pid"])


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(autouse=True)
def starts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start supervisors as programs, as users do, or as forks, as most tests do."""
    monkeypatch.setattr(LocalAws, "start_supervisor", staticmethod(start_program))
    if getattr(request, "param", "program") == "program":
        yield
        return
    forked_supervisor.fork_clouds()
    with forked_supervisor.server():
        yield


def processes_below(pid: int) -> set[int]:
    found = {pid, *descendants(pid)}
    assert len(found) >= 3  # the supervisor, MiniStack and the builds endpoint
    assert (b"forked_supervisor" in _command(pid)) == (LocalAws.start_supervisor is not start_program)
    return found


def any_running(pids: set[int]) -> bool:
    return any(map(running, pids))


@pytest.mark.parametrize("starts", STARTS, indirect=True)
def test_stop_leaves_no_process_and_no_file(starts: None) -> None:
    with LocalAws() as aws:
        lingering = start_lingering_process(aws)
        folder = aws.folder
        processes = processes_below(aws.pid)
        assert lingering in processes
        assert running(lingering)
    assert not any_running(processes)
    assert not folder.exists()
    aws.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps orphans below the supervisor")
def test_processes_whose_first_thread_has_ended_are_found_and_ended() -> None:
    program = f"""
import os, subprocess, sys
from iac_ci_local.supervisor import _end_all, _prctl, _PR_SET_CHILD_SUBREAPER
_prctl(_PR_SET_CHILD_SUBREAPER, 1)
command = [sys.executable, "-c", {LINGERING_THREAD!r}]
lingering = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
print(lingering.pid, lingering.stdout.readline().decode().strip(), flush=True)
sys.stdin.readline()
_end_all([lingering])
print("ended", flush=True)
sys.stdin.readline()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdin is not None
        assert starter.stdout is not None
        lingering, child = map(int, starter.stdout.readline().split())
        wait_until(lambda: not running(lingering), subject="the end of the first thread")
        assert set(descendants(starter.pid)) == {lingering, child}
        starter.stdin.write("\n")
        starter.stdin.flush()
        assert starter.stdout.readline() == "ended\n"
        assert not descendants(starter.pid)
        assert not running(child)


@pytest.mark.parametrize("starts", STARTS, indirect=True)
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_parent_leaves_no_process_and_no_file(sent: signal.Signals, starts: None) -> None:
    start = "program" if LocalAws.start_supervisor is start_program else "fork"
    command = [sys.executable, "-c", PARENT, start]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    started = json.loads(parent.stdout.readline())
    folder, processes = Path(started["folder"]), processes_below(started["pid"])
    parent.send_signal(sent)
    parent.wait()
    wait_until(lambda: not any_running(processes), subject="the end of every process")
    wait_until(lambda: not folder.exists(), subject="the end of the folder")


@pytest.mark.parametrize("starts", STARTS, indirect=True)
def test_a_killed_supervisor_takes_its_children_with_it_and_its_folder_is_removed_by_the_next_start(
    starts: None,
) -> None:
    first = LocalAws()
    first.start()
    processes = processes_below(first.pid)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not any_running(processes), subject="the end of every process")
    assert first.folder.exists()
    with pytest.raises(LocalCloudError):
        first.check_alive()
    first._supervisor.wait()
    with LocalAws():
        assert not first.folder.exists()
    first.stop()


@pytest.mark.parametrize("starts", STARTS, indirect=True)
def test_a_cloud_whose_server_died_says_so(starts: None, aws: LocalAws) -> None:
    with LocalAws() as other:
        aws.client("s3").create_bucket(Bucket="one")
        other.client("s3").create_bucket(Bucket="two")
        mine = {bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]}
        theirs = {bucket["Name"] for bucket in other.client("s3").list_buckets()["Buckets"]}
        assert (mine, theirs) == ({"one"}, {"two"})
        assert aws.account != other.account
        os.kill(descendants(other.pid)[0], signal.SIGKILL)

        def noticed() -> bool:
            try:
                other.check_alive()
            except LocalCloudError:
                return True
            return False

        wait_until(noticed, subject="the notice")
    aws.check_alive()


def test_the_users_environment_does_not_reach_the_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-users-own")
    monkeypatch.setenv("GITHUB_TOKEN", "the-users-own")
    with LocalAws() as aws:
        processes = processes_of(aws.folder)
        assert len(processes) >= 3
        for pid in processes:
            assert b"the-users-own" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.local_cloud
@pytest.mark.skipif(sys.platform != "linux", reason="functions are forks on Linux only")
def test_processes_of_functions_show_no_key_of_the_root() -> None:
    with LocalAws() as aws:
        servers = [pid for pid in processes_of(aws.folder) if b"multiprocessing.forkserver" in _command(pid)]
        assert len(servers) == 1
        variables = Path(f"/proc/{servers[0]}/environ").read_bytes()
        assert str(aws.folder).encode() in variables
        assert aws.access_key.encode() not in variables


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.local_cloud
@pytest.mark.parametrize("key", ["test", "123456789012", "account", "ROOT00000000000000000000000000000000"])
def test_only_the_clouds_own_key_is_root(aws: LocalAws, key: str) -> None:
    session = {**aws.session, "aws_access_key_id": aws.account if key == "account" else key}
    for service, call in (("lambda", "list_functions"), ("sts", "get_caller_identity"), ("s3", "list_buckets")):
        with pytest.raises(ClientError):
            getattr(boto3.client(service, **session), call)()
    assert aws.client("lambda").list_functions()["Functions"] is not None
