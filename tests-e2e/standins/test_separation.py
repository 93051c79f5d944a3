"""Commands reach nothing of the worker, and nothing of an earlier order is there, on either stand-in."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
import zipfile
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.states import OPEN, OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.codebuild.container import open_to_commands
from iac_ci_local.testing import log_of, runs, submit, wait_for_end, wait_until
from standins.test_orders import run

pytestmark = pytest.mark.local_cloud

BOTH = pytest.mark.parametrize("target", ["lambda", "codebuild"])
ROOT = os.geteuid() == 0
SEPARATED = open_to_commands(Path(tempfile.gettempdir()))
"""Whether the builds' commands have a user of their own: not where a folder above keeps it out."""


def one(cloud: LocalCloud, target: str, *cmds: str, timeout: int = 60) -> tuple[OrderState, str]:
    """Run one order; return its state and log."""
    order = {"order_name": "one", "cmds": list(cmds), "execution_target": target, "timeout": timeout}
    return run(cloud, order)["one"]


def skip_for_root_of_a_closed_folder(target: str) -> None:
    """Skip a test of a build whose commands have root's rights: no other user reaches the folders."""
    if target == "codebuild" and ROOT and not SEPARATED:
        pytest.skip("a closed folder above keeps another user out, and root sees every process; elsewhere this runs")


def printed(log: str) -> list[str]:
    """Return the lines that the commands of a log printed."""
    return [line for line in log.splitlines() if not line.startswith(("$ ", "[iac-ci] "))]


RIGHTS = "X-Amz-Signature|IAC_CI_WORK|IAC_CI_TICKET|AWS_SECRET|CONTAINER_CRED|AUTH_TOKEN"
LOOK = f"""for process in /proc/[0-9]*; do
  [ "$process" = /proc/$$ ] && continue
  tr '\\0' '\\n' < $process/environ 2>/dev/null | grep -a -E '{RIGHTS}' && echo FOUND in $process
done
true
"""


@BOTH
def test_no_environment_of_a_process_shows_a_right(unkind: LocalCloud, target: str) -> None:
    skip_for_root_of_a_closed_folder(target)
    if not ROOT:
        pytest.skip("without root, every process of the local cloud has the user of the commands; as root this runs")
    status, log = one(unkind, target, LOOK, "echo looked")
    assert status is OrderState.SUCCEEDED
    assert "\nlooked" in log
    assert "FOUND in /proc" not in log.replace(LOOK, "")


def test_commands_of_a_build_have_a_user_without_rights(unkind: LocalCloud) -> None:
    """As root another user; a user who is not root can give the commands no other, and has no rights either."""
    skip_for_root_of_a_closed_folder("codebuild")
    show = "id -u; grep -E 'CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs' /proc/self/status; id -G"
    status, log = one(unkind, "codebuild", show)
    assert status is OrderState.SUCCEEDED
    lines = printed(log)
    assert lines[0] == str(10001 if SEPARATED else os.geteuid())
    assert {line.split()[1] for line in lines[1:5]} == {"0" * 16}
    assert lines[5].split() == ["NoNewPrivs:", "1"]
    assert not SEPARATED or lines[6] == "10001"


@pytest.mark.skipif(
    not SEPARATED, reason="only root can give the commands another user, where no folder above keeps it out"
)
def test_the_files_of_the_agent_and_the_worker_are_closed(unkind: LocalCloud) -> None:
    look = (
        "cd /; for up in $(seq 9); do p=$(ps -o ppid= -p ${p:-$$} | tr -d ' '); [ ${p:-0} -gt 1 ] || break; "
        "for file in environ mem maps fd cwd root; do ls /proc/$p/$file/ > /dev/null 2>&1 && echo OPEN $file; "
        "head -c1 /proc/$p/$file 2>/dev/null | grep -q . && echo OPEN $file; done; "
        "script=$(tr '\\0' '\\n' < /proc/$p/cmdline | grep 'script.sh$') && { d=$(dirname $script); echo AGENT; "
        "ls $d && echo OPEN folder; cat $d/env.sh && echo OPEN env; echo 'exit 0' > $script && echo OPEN script; } ; "
        "kill -0 $p && echo OPEN signals; done; true"
    )
    status, log = one(unkind, "codebuild", look)
    assert status is OrderState.SUCCEEDED
    printed = log.partition("\n")[2]
    assert "AGENT" in printed
    assert "OPEN" not in printed


@BOTH
def test_commands_find_neither_package_nor_log(unkind: LocalCloud, target: str) -> None:
    find = "find $TMPDIR/.. -name exec.zip -o -name manifest.json -o -name '*.log' | grep . && echo FOUND one"
    look = f"{find}; rm -rf $TMPDIR/../* 2>/dev/null; echo after removing"
    status, log = one(unkind, target, look)
    assert status is OrderState.SUCCEEDED
    assert "\nafter removing" in log
    assert "\nFOUND one" not in log


@BOTH
def test_a_result_that_commands_forge_does_not_count(unkind: LocalCloud, target: str) -> None:
    """The order puts a result with every URL that it finds in any environment or file, and then fails."""
    forge = LOOK.replace("&& echo FOUND in $process", '>> "$TMPDIR/urls"') + (
        'grep -a -o \'http[^ "]*X-Amz-Signature[^ "]*\' "$TMPDIR/urls" | while read url; do '
        'curl -s -X PUT -H \'If-None-Match: *\' --data \'{"status": "succeeded"}\' "$url"; done; exit 7'
    )
    if target == "codebuild" and not ROOT:
        pytest.skip("without root, CodeBuild's shell has the user of the commands; as root this runs")
    status, _ = one(unkind, target, forge)
    assert status is OrderState.FAILED


@BOTH
def test_the_worker_shows_nothing_of_itself(unkind: LocalCloud, target: str) -> None:
    look = (
        "for file in environ mem maps fd/0 fd/1 fd/2 fd/3 fd/4 fd/5 fd/6 fd/7 fd/8 cwd/. root/.; do "
        "head -c1 /proc/$PPID/$file > /dev/null 2>&1 && echo OPEN $file; done; "
        "ls /proc/$PPID/fd/ 2>/dev/null && echo OPEN fd; ls /proc/self/fd; true"
    )
    skip_for_root_of_a_closed_folder(target)
    status, log = one(unkind, target, look)
    assert status is OrderState.SUCCEEDED
    lines = printed(log)
    assert [line for line in lines if line.startswith("OPEN")] == []
    assert set(lines) <= {"0", "1", "2", "3"}, "the commands inherit no descriptor"


@pytest.mark.skipif(
    not SEPARATED, reason="only root can give the commands another user, where no folder above keeps it out"
)
@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_commands_of_a_build_cannot_end_or_stop_the_worker(unkind: LocalCloud, signal: str) -> None:
    order = {
        "order_name": "one",
        "cmds": [f"kill -{signal} $PPID && exit 0 || exit 7"],
        "execution_target": "codebuild",
    }
    ended = wait_for_end(unkind, submit(unkind, {"username": "tests", "orders": [{"timeout": 60, **order}]}))
    assert ended.orders[0].exit_code == 7


@BOTH
def test_a_swapped_package_does_not_run(unkind: LocalCloud, target: str) -> None:
    """Who may write the bucket swaps the package of an order that waits for another."""
    s3, bucket = unkind.aws.client("s3"), unkind.stack.names.bucket("internal")
    go = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": f"go-{target}"})
    wait = f"curl --silent --fail --output /dev/null --retry 600 --retry-all-errors --retry-delay 1 '{go}'"
    orders = [
        {"order_name": "first", "cmds": [wait], "timeout": 300},
        {"order_name": "second", "cmds": ["true"], "timeout": 60, "dependencies": ["first"]},
    ]
    job = {"username": "tests", "orders": [{"execution_target": target, **order} for order in orders]}
    run_id = submit(unkind, job)
    wait_until(lambda: any(order.status in OPEN for order in runs(unkind).read(run_id).orders))
    package = keys.package(run_id, "0002")
    with zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=bucket, Key=package)["Body"].read())) as zipped:
        manifest = json.loads(zipped.read("manifest.json"))
    swapped = io.BytesIO()
    with zipfile.ZipFile(swapped, "w") as zipped:
        zipped.writestr("manifest.json", json.dumps(manifest | {"cmds": ["echo swapped"]}))
    s3.put_object(Bucket=bucket, Key=package, Body=swapped.getvalue())
    s3.put_object(Bucket=bucket, Key=f"go-{target}", Body=b"")
    first, second = wait_for_end(unkind, run_id).orders
    assert first.status is OrderState.SUCCEEDED
    assert second.status is OrderState.FAILED
    assert "the package is not the one that was prepared for the run" in (second.reason or "")


def test_an_order_that_kills_the_worker_of_a_function_is_failed_at_once(unkind: LocalCloud) -> None:
    order = {"order_name": "one", "cmds": ["kill -9 $PPID; sleep 600"], "timeout": 60}
    ended = wait_for_end(unkind, submit(unkind, {"username": "tests", "orders": [order]}))
    assert ended.orders[0].status is OrderState.FAILED
    assert ended.orders[0].reason


BESIDE = "cd $(dirname $(dirname $TMPDIR)); "
LEAVE = (
    f"{BESIDE} echo x > poison; mkdir deep; (cd deep; for i in $(seq 300); do mkdir d; cd d; done; chmod 0 .); "
    "ln -s /etc link; mkfifo pipe; chmod 0 deep; "
    "(setsid bash -c 'trap : TERM INT HUP; while :; do echo x > poison; sleep 0.01; done' > /dev/null 2>&1 &); "
)


@pytest.mark.parametrize("end", ["true", "kill -9 $PPID; sleep 600"])
def test_nothing_of_an_order_is_there_when_the_next_begins(unkind: LocalCloud, end: str) -> None:
    """Also where the first order kills the worker, which therefore cleans nothing."""
    first = {"order_name": "first", "cmds": [LEAVE + end], "must_succeed": False, "timeout": 60}
    show = "find . -mindepth 1 -maxdepth 1 -user $(id -u)"
    look = f"{BESIDE} {show}; grep -la 'echo x > poi''son' /proc/[0-9]*/cmdline || true"
    second = {"order_name": "second", "cmds": [look], "dependencies": ["first"], "timeout": 60}
    ended = wait_for_end(unkind, submit(unkind, {"username": "tests", "orders": [first, second]}))
    (_, row) = ended.orders
    assert row.status is OrderState.SUCCEEDED
    (left,) = printed(log_of(unkind, row.run_id, "0002"))
    assert left == "./iac-ci-order", "its own workspace alone"


def test_code_lies_at_the_same_path_in_every_order(unkind: LocalCloud) -> None:
    """Below the folder of temporary files, which AWS has in one place and this machine in one per sandbox."""
    show = 'pwd; echo "$HOME" "$TMPDIR"'
    orders = [
        {"order_name": f"{target}-{number}", "cmds": [show], "execution_target": target, "timeout": 60}
        for target in ("lambda", "codebuild")
        for number in (1, 2)
    ]
    for order in orders[1:]:
        order["dependencies"] = [orders[orders.index(order) - 1]["order_name"]]
    found = {name: printed(log) for name, (_, log) in run(unkind, *orders).items()}
    for name, (code, others) in found.items():
        root = Path(code).parent
        assert (root.name, code, others) == ("iac-ci-order", f"{root}/code", f"{root}/home {root}/tmp")
        if name.startswith("lambda") and ROOT:
            assert code == "/tmp/iac-ci-order/code"
    # The second order may begin while the first one's sandbox ends its work, and then gets another one.
    of_lambda = [[re.sub(r"/sandboxes/iac-ci-worker/\d+/", "/", path) for path in found[f"lambda-{n}"]] for n in (1, 2)]
    assert of_lambda[0] == of_lambda[1]
    print(f"the code of 4 orders, on 2 targets: {' '.join(code for code, _ in found.values())}")
