"""A function in a sandbox meets what it meets on AWS: its user, files, devices, limits, and what calls leave behind."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iac_ci_local.functions import sandbox
from iac_ci_local.functions.limits import WakingFunctions, keep_refused_events, settings_of, variables
from iac_ci_local.functions.sandbox import CallFailed, Sandbox
from iac_ci_local.functions.settings import FunctionSettings
from iac_ci_local.processes import descendants
from iac_ci_local.testing import wait_until

pytestmark = pytest.mark.local_cloud

WHOLE = not sandbox.missing()
only_whole = pytest.mark.skipif(not WHOLE, reason="a whole sandbox needs root on Linux; the others run everywhere")

HANDLER = """
import os, signal, subprocess, sys, time

def handler(event, context):
    if "sh" in event:
        done = subprocess.run(["/bin/bash", "-c", event["sh"]], capture_output=True, text=True)
        return {"out": done.stdout, "err": done.stderr, "left": context.get_remaining_time_in_millis()}
    if "memory" in event:
        held = bytearray(os.urandom(1024) * 1024 * event["memory"])
        time.sleep(600)
    raise ValueError(event["raise"])
"""


@pytest.fixture
def sandboxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Sandbox]]:
    """Return a function that takes a sandbox of a function with 200 MB of memory and 64 MB of ``/tmp``."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "tested.py").write_text(HANDLER)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path.name.startswith(("pytest", "test")):
            path.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(code))
    monkeypatch.syspath_prepend(str(code))
    before = set(descendants(os.getpid()))
    yield lambda: Sandbox.acquire("tested.handler", "function", 200, 64)
    for pid in set(descendants(os.getpid())) - before:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue


def call(taken: Sandbox, event: dict[str, Any], seconds: float = 60) -> Any:
    return taken.call(event, "id", "arn", seconds)


def sh(taken: Sandbox, command: str, seconds: float = 60) -> str:
    answer = call(taken, {"sh": command}, seconds)
    return str(answer["out"]).strip()


@only_whole
def test_the_sandbox_is_bare(sandboxes: Callable[[], Sandbox]) -> None:
    taken = sandboxes()
    assert sh(taken, "id -u; id -g; echo ${HOME-none}; umask").split() == ["993", "990", "none", "0022"]
    assert sh(taken, "ls /dev").split() == ["full", "null", "random", "urandom", "zero"]
    assert "/dev/fd" in call(taken, {"sh": "cat <(echo x)"})["err"]
    assert sh(taken, "grep CapEff /proc/self/status").split()[1] == "0" * 16
    assert sh(taken, "ulimit -n; ulimit -u").split() == ["1024", "1024"]
    for folder in ("/", "/usr", "/var/tmp", "/home", "/dev", "/root", "/run"):
        assert sh(taken, f"touch {folder}/x && echo written") == "", folder
    assert sh(taken, "head -c 100000000 /dev/zero > /tmp/full; stat -c %s /tmp/full; rm /tmp/full") == str(64 << 20)
    # The processes of the machine are not those of the sandbox.
    assert int(sh(taken, "ls -d /proc/[0-9]* | wc -l")) < 8


def test_a_call_knows_its_deadline_and_is_ended_at_it(sandboxes: Callable[[], Sandbox]) -> None:
    taken = sandboxes()
    assert 0 < call(taken, {"sh": "true"}, 60)["left"] <= 60_000
    with pytest.raises(CallFailed, match=r"^Task timed out after 0\.20 seconds$"):
        call(taken, {"sh": "sleep 600"}, 0.2)
    assert sh(taken, "echo again") == "again"


def test_a_call_that_uses_too_much_memory_is_killed(sandboxes: Callable[[], Sandbox]) -> None:
    taken = sandboxes()
    with pytest.raises(CallFailed, match="signal: killed"):
        call(taken, {"memory": 300})


def test_a_killed_handler_is_an_error_and_a_raised_one_names_itself(sandboxes: Callable[[], Sandbox]) -> None:
    taken = sandboxes()
    with pytest.raises(CallFailed, match="Runtime exited with error: signal: killed"):
        call(taken, {"sh": "kill -9 $PPID; sleep 600"})
    with pytest.raises(CallFailed, match=r"^ValueError: why"):
        call(taken, {"raise": "why"})


def test_a_stopped_handler_ends_at_its_deadline(sandboxes: Callable[[], Sandbox]) -> None:
    taken = sandboxes()
    with pytest.raises(CallFailed, match="Task timed out"):
        call(taken, {"sh": "kill -STOP $PPID; sleep 600"}, 0.5)
    assert sh(taken, "echo again") == "again"


def test_files_and_processes_survive_a_killed_call_and_its_caller(sandboxes: Callable[[], Sandbox]) -> None:
    taken = sandboxes()
    leave = (
        "cd ${TMPDIR:-/tmp}; echo left > file; mkfifo pipe; "
        "(setsid bash -c 'read x < pipe; echo told > answer' > /dev/null 2>&1 &); kill -9 $PPID"
    )
    with pytest.raises(CallFailed):
        call(taken, {"sh": leave})
    os.close(taken.lock)  # as the end of the process that took it
    again = sandboxes()
    assert again.folder == taken.folder
    assert sh(
        again, "cd ${TMPDIR:-/tmp}; cat file; echo go > pipe; until [ -s answer ]; do :; done; cat answer"
    ).split() == [
        "left",
        "told",
    ]


def beating() -> list[str]:
    """Return the states of the processes that write ``beats``: ``T`` is stopped (proc(5))."""
    found = []
    for pid in descendants(os.getpid()):
        entry = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            if b"while :" in (entry / "cmdline").read_bytes():
                found.append((entry / "stat").read_text("utf-8").rpartition(")")[2].split()[0])
    return found


def test_what_a_call_leaves_stands_still_until_the_next(sandboxes: Callable[[], Sandbox]) -> None:
    taken = sandboxes()
    go = "cd ${TMPDIR:-/tmp}; "
    loop = "setsid bash -c 'while :; do echo x >> beats; done' > /dev/null 2>&1"
    sh(taken, f"{go}({loop} &); until [ -s beats ]; do :; done")
    wait_until(lambda: beating() == ["T"], subject="the stop of what the call left")
    count = int(sh(taken, f"{go}wc -c < beats"))
    wait_until(lambda: int(sh(taken, f"{go}wc -c < beats")) > count, subject="its next beat")
    wait_until(lambda: beating() == ["T"], subject="its next stop")


def test_two_at_once_have_two_sandboxes(sandboxes: Callable[[], Sandbox]) -> None:
    assert sandboxes().folder != sandboxes().folder


def test_the_settings_pass_through_the_environment() -> None:
    settings = FunctionSettings(sandboxed=("worker",), concurrency=10, inactive=("init-job",))
    assert settings_of(variables(settings)) == settings
    assert variables(settings)["LAMBDA_ACCOUNT_CONCURRENCY"] == "10"
    assert settings_of({}) == FunctionSettings()


class Service:
    """What ``keep_refused_events`` changes in MiniStack's Lambda: the first executions are refused."""

    def __init__(self, refused: int) -> None:
        self.refused = refused
        self.executed: list[Any] = []

    def _execute_function(self, function: Any, event: Any) -> dict[str, Any]:
        if self.refused > 0:
            self.refused -= 1
            return {"throttle": True, "error": True}
        self.executed.append(event)
        return {"result": event}

    def invoke_async_with_retry(self, function: Any, event: Any) -> None:
        self.outcome = self._execute_function(function, event)


@pytest.mark.parametrize(("refused", "age", "runs"), [(0, 60, True), (5, 60, True), (5, 3, False)])
def test_a_refused_event_is_kept_for_its_maximum_age(refused: int, age: int, runs: bool) -> None:
    service, waited = Service(refused), [0.0]

    def wait(seconds: float) -> None:
        waited[0] += seconds

    keep_refused_events(service, retry_seconds=1, clock=lambda: waited[0], wait=wait)
    function = {"event_invoke_config": {"MaximumEventAgeInSeconds": age}}
    service.invoke_async_with_retry(function, "event")
    assert bool(service.executed) is runs
    assert waited[0] <= age
    assert bool(service.outcome.get("throttle")) is not runs


def test_a_refused_call_is_not_kept() -> None:
    service = Service(1)
    keep_refused_events(service, retry_seconds=1)
    assert service._execute_function({}, "event")["throttle"]


async def _answers(app: Any, path: str) -> tuple[int, Any]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": path, "headers": []}, None, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def _served(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.mark.parametrize("path", ["/2015-03-31/functions/iac-ci-worker/invocations"])
def test_an_inactive_function_fails_once_and_is_pending_once(path: str) -> None:
    import asyncio

    app = WakingFunctions(_served, ("worker",))
    other = asyncio.run(_answers(app, path.replace("worker", "orchestrator")))
    answers = [asyncio.run(_answers(app, path)) for _ in range(3)]
    assert other[0] == 200
    assert [status for status, _ in answers] == [409, 409, 200]
    assert [body.get("__type") for _, body in answers] == [
        "CodeArtifactUserPendingException",
        "ResourceConflictException",
        None,
    ]


def test_an_inactive_function_refuses_every_call_for_as_long_as_it_wakes() -> None:
    import asyncio

    now = [0.0]
    app = WakingFunctions(_served, ("worker",), 90, clock=lambda: now[0])
    path = "/2015-03-31/functions/iac-ci-worker/invocations"
    answers = []
    for now[0] in (1000.0, 1001.0, 1089.9, 1090.0, 5000.0):
        answers.append(asyncio.run(_answers(app, path))[0])
    assert answers == [409, 409, 409, 200, 200]


def test_an_inactive_webhook_answers_with_an_error_of_the_api() -> None:
    import asyncio

    app = WakingFunctions(_served, ("init-job",))
    path = "/_aws/execute-api/iac-ci-webhook/v1/webhook"
    assert [asyncio.run(_answers(app, path))[0] for _ in range(3)] == [500, 500, 200]
