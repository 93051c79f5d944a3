"""Steps that run jobs on the stack."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import statistics
import time
from datetime import datetime
from typing import Any

from aws.first_hour.steps import Account, Seen, Step, compare
from iac_ci_cli import control, jobs
from iac_ci_common import keys
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.models.rows import OrderRow
from iac_ci_common.order_logs import read_log
from iac_ci_common.states import OrderState, RunState

DEADLINE_SECONDS = 1200


def order(name: str, *cmds: str, target: str = "lambda", timeout: int = 120, **fields: Any) -> dict[str, Any]:
    """Return an order of a job."""
    return {"order_name": name, "cmds": list(cmds), "timeout": timeout, "execution_target": target, **fields}


def submit(account: Account, *orders: dict[str, Any], **fields: Any) -> str:
    """Send a job; return the run's id."""
    job = {"username": "first-hour", "flow_label": "first-hour", "job_timeout": DEADLINE_SECONDS, **fields}
    return jobs.submit(account.connection, json.dumps(job | {"orders": list(orders)}).encode()).run_id


def wait_for(account: Account, run_id: str) -> DoneMarker:
    """Wait until a run has ended; raise ``TimeoutError`` with what its orders wait for."""
    until = time.monotonic() + DEADLINE_SECONDS + 120
    while not account.connection.done.exists(keys.done(run_id)):
        if time.monotonic() > until:
            waiting = {row.order_name: (row.status.value, row.reason) for row in rows_of(account, run_id)}
            raise TimeoutError(f"run {run_id} has not ended: {waiting}")
        time.sleep(1)
    return DoneMarker.model_validate_json(account.connection.done.get(keys.done(run_id)))


def rows_of(account: Account, run_id: str) -> list[OrderRow]:
    """Return the rows of a run's orders."""
    return list(account.connection.runs.read(run_id).orders)


def log_of(account: Account, run_id: str, number: str = "0001") -> str:
    """Return the log of an order."""
    log = read_log(account.connection.internal, run_id, number)
    assert log is not None, f"no log of order {number} of run {run_id} is stored"
    return log.text


def printed(log: str) -> dict[str, str]:
    """Return the lines ``name=value`` that the commands printed; not the commands themselves."""
    lines = [line for line in log.splitlines() if not line.startswith(("$ ", "[iac-ci] "))]
    return dict(line.split("=", 1) for line in lines if re.match(r"[a-z_]+=", line))


def until_started(row: OrderRow, since: datetime) -> float:
    """Return the seconds until the worker of an order began."""
    return (row.started_at - since).total_seconds() if row.started_at is not None else -1


def first_command(account: Account) -> Seen:
    """Time three runs from the webhook to the first command."""
    seconds = []
    for _ in range(3):
        run_id = submit(account, order("hello", "echo hello"))
        marker = wait_for(account, run_id)
        seconds.append(until_started(rows_of(account, run_id)[0], marker.accepted_at))
    shown = ", ".join(f"{one:.1f}" for one in seconds)
    return compare(0 <= statistics.median(seconds) < 30, f"{shown} s in three runs one after another")


def build_start(account: Account) -> Seen:
    """Time the start of a build."""
    run_id = submit(account, order("hello", "echo hello", target="codebuild"))
    marker = wait_for(account, run_id)
    (row,) = rows_of(account, run_id)
    seconds = until_started(row, row.dispatched_at or marker.accepted_at)
    return compare(marker.status is RunState.SUCCEEDED and seconds < 300, f"{marker.status.value}, {seconds:.0f} s")


_HIDDEN = "/codebuild/output/tmp/env.sh"
_TICKETS = """found=0
for process in /proc/[0-9]*; do
  if tr '\\0' '\\n' < $process/environ 2>/dev/null | grep -a -q -E '^(IAC_CI_TICKET|IAC_CI_WORK)='; then
    found=$((found + 1))
  fi
done
echo "tickets=$found\""""
_BUILD_QUESTIONS = (
    'echo "uid=$(id -u)"',
    f'if [ -r {_HIDDEN} ] && [ -s {_HIDDEN} ]; then echo "env_file=readable"; else echo "env_file=hidden"; fi',
    'echo "folder=$(stat -c %a:%u /codebuild/output/tmp 2>&1 | tail -n 1)"',
    _TICKETS,
    "echo \"runtime=$(env | grep -c -E '^(CODEBUILD_|ECS_CONTAINER|AWS_CONTAINER)' || true)\"",
)


def build_shell(account: Account) -> Seen:
    """Read in a build what its commands can reach of CodeBuild's shell."""
    run_id = submit(account, order("look", *_BUILD_QUESTIONS, target="codebuild"))
    marker = wait_for(account, run_id)
    found = printed(log_of(account, run_id))
    expected = {"env_file": "hidden", "tickets": "0", "runtime": "0"}
    safe = found.get("uid", "0") != "0" and expected.items() <= found.items()
    return compare(marker.status is RunState.SUCCEEDED and safe, ", ".join(f"{k} {v}" for k, v in found.items()))


_SANDBOX_QUESTIONS = (
    'echo "uid=$(id -u)"',
    'if [ -e /dev/fd ]; then echo "fd=there"; else echo "fd=missing"; fi',
    'if [ -e /dev/shm ]; then echo "shm=there"; else echo "shm=missing"; fi',
    'echo "descriptors=$(ulimit -n)"',
    'echo "processes=$(ulimit -u)"',
    'echo "folder=$PWD"',
)


def lambda_sandbox(account: Account) -> Seen:
    """Read in a function what its sandbox has."""
    run_id = submit(account, order("look", *_SANDBOX_QUESTIONS))
    wait_for(account, run_id)
    found = printed(log_of(account, run_id))
    expected = found.get("fd") == found.get("shm") == "missing" and found.get("descriptors") == "1024"
    return compare(expected, ", ".join(f"{name} {value}" for name, value in found.items()))


def killed_worker(account: Account) -> Seen:
    """Kill the worker of an order, and time until the order has ended."""
    run_id = submit(account, order("kill", "echo once", 'kill -9 "$PPID"', "sleep 60"))
    began = time.monotonic()
    marker = wait_for(account, run_id)
    (row,) = rows_of(account, run_id)
    text = f"{row.status.value} after {time.monotonic() - began:.0f} s: {row.reason}"
    return compare(marker.status is RunState.FAILED and bool(row.reason), text)


def stopped_build(account: Account) -> Seen:
    """Ask a build to stop, and stop another from outside."""
    trap = "trap 'echo asked; exit 3' INT TERM; echo ready; for n in $(seq 300); do sleep 1; done"
    asked = submit(account, order("asked", trap, target="codebuild", timeout=600))
    stopped = submit(account, order("stopped", trap, target="codebuild", timeout=600))
    for run_id in (asked, stopped):
        _wait_until_ready(account, run_id)
    control.stop_orders(account.connection, asked, account.connection.runs.read(asked), ["asked"], "by the first hour")
    began = time.monotonic()
    account.client("codebuild").stop_build(id=str(rows_of(account, stopped)[0].build_id))
    ends = [wait_for(account, run_id) for run_id in (asked, stopped)]
    log = log_of(account, asked)
    with contextlib.suppress(Exception):
        log += log_of(account, stopped)
    reasons = "; ".join(f"{rows_of(account, end.run_id)[0].status.value}: {end.orders[0].reason}" for end in ends)
    heard = log.count("\nasked")
    text = f"{heard} of 2 heard a signal, both ended {time.monotonic() - began:.0f} s later. {reasons}"
    return compare(all(end.status is not RunState.SUCCEEDED for end in ends) and "\nasked" in log, text)


def _wait_until_ready(account: Account, run_id: str) -> None:
    """Wait until the commands can be asked to stop, and the row names their build."""
    until = time.monotonic() + DEADLINE_SECONDS

    def is_ready() -> bool:
        log = read_log(account.connection.internal, run_id, "0001")
        return log is not None and "\nready\n" in log.text and any(row.build_id for row in rows_of(account, run_id))

    while not is_ready():
        if time.monotonic() > until:
            raise TimeoutError(f"no worker began run {run_id}")
        time.sleep(1)


def long_chain(account: Account) -> Seen:
    """Run more orders one after another than Lambda allows hops of a loop."""
    length = 20
    orders = [
        order(f"n{number}", "true", dependencies=[f"n{number - 1}"] if number else []) for number in range(length)
    ]
    run_id = submit(account, *orders)
    marker = wait_for(account, run_id)
    seconds = (marker.finished_at - marker.accepted_at).total_seconds()
    ended = marker.summary.get(OrderState.SUCCEEDED, 0)
    return compare(ended == length, f"{ended} of {length} orders succeeded, {seconds:.0f} s")


def burst(account: Account) -> Seen:
    """Run many orders at once."""
    number = max(5, round(100 * account.scale))
    run_id = submit(account, *(order(f"n{one}", "echo one") for one in range(number)))
    marker = wait_for(account, run_id)
    account.memory["burst"] = run_id
    seconds = (marker.finished_at - marker.accepted_at).total_seconds()
    ended = marker.summary.get(OrderState.SUCCEEDED, 0)
    return compare(ended == number, f"{ended} of {number} orders succeeded, {seconds:.0f} s")


def throttled_workers(account: Account) -> Seen:
    """Take all concurrency from the workers for a minute while a run is dispatched."""
    functions, name = account.client("lambda"), account.name("worker")
    before = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        run_id = submit(account, *(order(f"n{one}", "true") for one in range(3)))
        account.wait(60)
    finally:
        if before is None:
            functions.delete_function_concurrency(FunctionName=name)
        else:
            functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=before)
    marker = wait_for(account, run_id)
    seconds = (marker.finished_at - marker.accepted_at).total_seconds()
    return compare(marker.status is RunState.SUCCEEDED, f"{marker.status.value} after {seconds:.0f} s")


def named_secret(account: Account) -> Seen:
    """Read in a build a secret that only the stack's key and the source's folder open."""
    ssm, name = account.client("ssm"), f"/iac-ci/jobs/sources/api/first-hour-{secrets.token_hex(6)}"
    value = secrets.token_urlsafe(24)
    ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    try:
        read = order("read", 'echo "token=$TOKEN"', target="codebuild", secrets={"TOKEN": f"ssm:{name}"})
        run_id = submit(account, read)
        wait_for(account, run_id)
    finally:
        ssm.delete_parameter(Name=name)
    log = log_of(account, run_id)
    return compare("token=***" in log and value not in log, "masked" if value not in log else "the value is in the log")


STEPS = (
    Step(
        "first-command",
        "How long from the webhook to the first command?",
        "seconds: less than 30",
        first_command,
        only_aws=True,
    ),
    Step("build-start", "How long until a build begins?", "less than 300 s", build_start, 0.05, only_aws=True),
    Step(
        "build-shell",
        "What can commands reach of CodeBuild's shell, its files and its variables?",
        "another user; the shell's file of variables, tickets and CodeBuild's variables are out of reach",
        build_shell,
        0.05,
        only_aws=True,
    ),
    Step("build-secret", "Does a build read a secret, and is it masked?", "yes", named_secret, 0.05),
    Step(
        "lambda-sandbox",
        "What does Lambda's sandbox lack?",
        "no /dev/fd and no /dev/shm, 1,024 descriptors",
        lambda_sandbox,
        only_aws=True,
    ),
    Step(
        "killed-worker",
        "Does Lambda report a worker that was killed, and when?",
        "the order fails with a reason, its commands do not run again",
        killed_worker,
    ),
    Step(
        "stopped-build",
        "Do commands hear of a stop, and does StopBuild give them a signal?",
        "a request reaches them; StopBuild gives no grace",
        stopped_build,
        0.1,
    ),
    Step("long-chain", "Does Lambda's loop detection leave a run of 20 steps alone?", "yes", long_chain, 0.02),
    Step("burst", "What do a hundred orders at once do in this account?", "all succeed, slowly at worst", burst, 0.05),
    Step(
        "throttled-workers",
        "Does Lambda keep dispatches while no worker may run?",
        "the run succeeds when workers may run again",
        throttled_workers,
        0.02,
        only_aws=True,
    ),
)
