"""Orders are stopped on both stand-ins by their time, in every form, and leave no lock.

Each run has one order for each form: with a tool that needs three seconds to release its lock in the local cloud's own
S3, and with real Terraform, whose backend is that S3 with ``use_lockfile``.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from iac_ci_cli import control
from iac_ci_cli.connection import local_connection
from iac_ci_common.models.rows import OrderRow
from iac_ci_common.states import TERMINAL, OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.codebuild.settings import BuildSettings
from iac_ci_local.functions.settings import FunctionSettings
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import log_of, runs, submit, wait_for_end, wait_until

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "packages" / "iac-ci-worker" / "tests"))
from shell_forms import FORMS  # noqa: E402

pytestmark = [pytest.mark.local_cloud, pytest.mark.timeout(3000)]

TOOL = (ROOT / "tests-e2e" / "standins" / "locking_tool.py").read_text("utf-8")
WRITE_TOOL = (
    f"for python in /usr/bin/python3 {sys.executable}; do $python -c '' && break; done; ln -s $python python; "
    "printf '%s' \"$TOOL\" > tool.py; "
    'printf \'#!/bin/sh\\nexec %s/python -I -S %s/tool.py\\n\' "$PWD" "$PWD" > tool; chmod +x tool'
)
"""Commands of a build may have a user who does not reach this Python."""
APPLY = "terraform apply -auto-approve -input=false"
TERRAFORM = {
    "Terraform alone": APPLY,
    "Terraform into a pipe": f"{APPLY} | tee out.log",
    "Terraform in a script": f"printf '#!/bin/sh\\n{APPLY}\\necho goes on\\n' > run.sh; chmod +x run.sh; ./run.sh",
    "Terraform in the background": f"{APPLY} & wait",
    "Terraform into tee and a named pipe": f"mkfifo p; cat p > out.log & ({APPLY} | tee p)",
    "Terraform one after another under xargs": f"seq 3 | xargs -I % {APPLY}",
}
MAIN = """\
terraform {{
  backend "s3" {{
    bucket                      = "{bucket}"
    key                         = "{key}"
    region                      = "us-east-1"
    endpoints                   = {{ s3 = "{url}" }}
    use_lockfile                = true
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
  }}
}}
resource "terraform_data" "first" {{}}
resource "terraform_data" "slow" {{
  depends_on = [terraform_data.first]
  provisioner "local-exec" {{
    command = "sleep 900"
  }}
}}
"""
IN_EACH_RUN = ("alone", "into a pipe", "in a script", "in the background")
ALL = (*FORMS, *TERRAFORM)

ENDED_BY_OTHERS = {
    "into a pipe", "into a pipe with its errors", "into a process", "in a substitution", "Terraform into a pipe",
    "under timeout", "with a handler that passes the signal on", "into a named pipe", "as a coprocess", "under make",
    "into tee and gzip", "into tee and a named pipe", "with its output sent to tee", "in a loop in a substitution",
    "with a handler that kills its jobs", "with a handler that kills its group", "slow to end, under timeout",
    "slow to end, with a handler that passes the signal on", "in a terminal of its own",
    "in place of a shell, with less priority", "Terraform into tee and a named pipe",
}  # fmt: skip
"""Forms whose tool loses its pipe, or gets a second signal, where AWS itself signals every process at once."""


NOT_ON_LAMBDA = {"into a process", "into tee and gzip", "with its output sent to tee", "in a terminal of its own"}
"""Forms that no order on Lambda can have: ``/dev`` has no ``fd`` there, which bash needs for ``>(…)``, and no ``pts``,
so that nothing gets a terminal."""

AT_ONCE = 9
"""Orders of one run, which hold their locks at the same time: two cores start more of them too slowly."""

LONGEST_START = 600
"""Seconds that a busy machine may need to start the process of a function."""

LONGEST_RUN = 1500
"""Seconds after which a run hangs: the longest time-out and grace, and the time that a slow machine needs to start."""


@dataclass
class Stopped:
    """One run with an order for each form, in one cloud."""

    cloud: LocalCloud
    target: str
    cause: str
    forms: tuple[str, ...]
    run: str = ""

    def __post_init__(self) -> None:
        self.s3 = self.cloud.aws.client("s3")
        self.bucket = self.cloud.stack.names.bucket("state")
        self.folder = f"{self.target}-{self.cause}-{ALL.index(self.forms[0])}/".replace(" ", "-")

    def start(self, **fields: Any) -> None:
        """Send the run."""
        orders = [{**self._order(number, form), **fields} for number, form in enumerate(self.forms)]
        job = {"username": "tests", "max_parallel": len(orders), "job_timeout": 7200, "orders": orders}
        self.run = submit(self.cloud, job)

    def wait_for_locks(self) -> None:
        """Wait until each order has taken its lock; the first ones may have ended by their time-outs meanwhile."""
        taken: set[str] = set()

        def all_were_taken() -> bool:
            taken.update(map(self._form, self.locks()))
            if len(taken) == len(self.forms):
                return True
            ended = [row for row in runs(self.cloud).read(self.run).orders if row.status in TERMINAL]
            early = [(form, row) for row in ended if (form := self.forms[int(row.order_num) - 1]) not in taken]
            assert not early, [(form, row.reason, self.log(row)) for form, row in early]
            return False

        wait_until(all_were_taken, seconds=900, subject="the locks of all orders")

    def _order(self, number: int, form: str) -> dict[str, Any]:
        common = {"order_name": f"o{number}", "execution_target": self.target, "stop_grace": 120}
        if form in FORMS:
            key = {"Bucket": self.bucket, "Key": f"{self.folder}{number}.tflock"}
            urls = {
                "LOCK_URL": self.s3.generate_presigned_url("put_object", Params=key),
                "UNLOCK_URL": self.s3.generate_presigned_url("delete_object", Params=key),
            }
            return common | {
                "cmds": [WRITE_TOOL, FORMS[form].replace(sys.executable, "./python")],
                "env_vars": {"TOOL": TOOL, **urls},
            }
        main = MAIN.format(bucket=self.bucket, key=f"{self.folder}{number}", url=self.cloud.aws.endpoint)
        access = {"AWS_ACCESS_KEY_ID": self.cloud.aws.access_key, "AWS_SECRET_ACCESS_KEY": self.cloud.aws.secret_key}
        prepare = "printf '%s' \"$MAIN\" > main.tf; terraform init -input=false"
        return common | {"cmds": [prepare, TERRAFORM[form]], "env_vars": {"MAIN": main, **access}}

    def log(self, row: OrderRow) -> str:
        """Return what is stored of an order's log."""
        return log_of(self.cloud, self.run, row.order_num)

    def locks(self) -> set[str]:
        """Return the locks that are held."""
        return {key for key in self._keys() if key.endswith(".tflock")}

    def _form(self, lock: str) -> str:
        return self.forms[int(lock.removeprefix(self.folder).partition(".")[0])]

    def _keys(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=self.folder)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def cancel(self) -> None:
        """Stop what runs, as ``iac-ci cancel RUN --running`` does; a named apply too."""
        client = local_connection(self.cloud.state())
        rows = client.runs.read(self.run)
        control.stop_orders(client, self.run, rows, [row.order_name for row in rows.orders], "wrong branch")

    def stop_builds(self) -> None:
        """Call StopBuild for each, once the row of each has its build."""
        wait_until(lambda: all(row.build_id for row in runs(self.cloud).read(self.run).orders), subject="the builds")
        client = boto3.client("codebuild", **self.cloud.aws.session | {"endpoint_url": self.cloud.aws.builds_endpoint})
        for row in runs(self.cloud).read(self.run).orders:
            client.stop_build(id=row.build_id)

    def end(self) -> tuple[OrderRow, ...]:
        return tuple(wait_for_end(self.cloud, self.run, seconds=LONGEST_RUN).orders)

    def check(self, status: OrderState, reason: str, excepted: AbstractSet[str] = frozenset()) -> Counter[str]:
        """Check that each order ended for the reason, released its lock and lost no state; return what was counted."""
        rows = self.end()
        left = {self._form(lock) for lock in self.locks()}
        lost = set()
        for form, row in zip(self.forms, rows, strict=True):
            began = "terraform_data.slow: Creating..." if form in TERRAFORM else "locked\n"
            assert began in self.log(row).replace("\r", ""), f"{form} took no lock before it was stopped"
            assert row.status is status, (form, row.reason, self.log(row))
            assert reason in (row.reason or ""), (form, row.reason, self.log(row))
            if form in TERRAFORM and "terraform_data.first" not in self._resources(row):
                lost.add(form)
        if left | lost:
            print(f"{self.target}, {self.cause}: left by {sorted(left | lost)}")
        logs = {form: self.log(row)[-2000:] for form, row in zip(self.forms, rows, strict=True) if form in left | lost}
        assert left <= excepted, f"{left} left their locks: {logs}"
        assert lost <= excepted, f"{lost} lost their states: {logs}"
        return Counter({"forms": len(self.forms), "locks left": len(left), "states lost": len(lost)})

    def _resources(self, row: OrderRow) -> set[str]:
        key = f"{self.folder}{int(row.order_num) - 1}"
        if key not in self._keys():
            return set()
        state = json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        return {f"{one['type']}.{one['name']}" for one in state["resources"] if one["instances"]}


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A cloud whose StopBuild signals every process, with time for slow machines, and whose functions end soon."""
    builds = BuildSettings(stop_signal="TERM", stop_seconds=300)
    functions = FunctionSettings(sandboxed=("worker",))
    speed = Speed(wait_scale=0.1, retry_seconds=0.1)
    with LocalCloud(speed=speed, builds=builds, functions=functions, max_parallel=AT_ONCE) as running:
        # The start of a process counts here, which AWS leaves out of a function's time: where twenty brokers start at
        # once, each was ended before it could answer, and the workers' next calls started as many.
        running.aws.client("lambda").update_function_configuration(
            FunctionName=running.stack.names.resource("broker"), Timeout=LONGEST_START
        )
        yield running


TARGETS = ("lambda", "codebuild")
BOTH = pytest.mark.parametrize("target", TARGETS)
FEW_AND_ALL = pytest.mark.parametrize(
    "forms", [IN_EACH_RUN, pytest.param(ALL, marks=pytest.mark.full)], ids=["few", "all"]
)


def in_parts(cloud: LocalCloud, target: str, cause: str, forms: tuple[str, ...]) -> Iterator[Stopped]:
    """Yield a run for each part of the forms that the target knows."""
    known = tuple(form for form in forms if target != "lambda" or form not in NOT_ON_LAMBDA)
    for first in range(0, len(known), AT_ONCE):
        yield Stopped(cloud, target, cause, known[first : first + AT_ONCE])


def show(target: str, cause: str, counted: Iterable[Counter[str]]) -> None:
    """Play the runs and print what was counted."""
    total: Counter[str] = Counter()
    for one in counted:
        total.update(one)
    print(f"{target}, {cause}: " + ", ".join(f"{number} {name}" for name, number in total.items()))


@FEW_AND_ALL
def test_at_their_time_out(cloud: LocalCloud, forms: tuple[str, ...]) -> None:
    begun: list[Stopped] = []
    for target in TARGETS:
        for stopped in in_parts(cloud, target, "time-out", forms):
            # What holds its lock only waits for its time-out, and the next part can start meanwhile.
            if begun:
                begun[-1].wait_for_locks()
            stopped.start(timeout=60 if len(forms) < AT_ONCE else 240)
            begun.append(stopped)
    for target in TARGETS:
        ended = (one for one in begun if one.target == target)
        show(target, "time-out", (one.check(OrderState.TIMED_OUT, "it ended by itself") for one in ended))


@pytest.mark.full
def test_before_their_function_ends(cloud: LocalCloud) -> None:
    """A function that ends after 240 seconds in place of 600."""

    def play(stopped: Stopped) -> Counter[str]:
        stopped.start(timeout=410)
        return stopped.check(OrderState.TIMED_OUT, "before the end of its Lambda function")

    functions, name = cloud.aws.client("lambda"), cloud.stack.names.resource("worker")
    functions.update_function_configuration(FunctionName=name, Timeout=240)
    try:
        show("lambda", "end of the function", map(play, in_parts(cloud, "lambda", "end of the function", ALL)))
    finally:
        functions.update_function_configuration(FunctionName=name, Timeout=600)
