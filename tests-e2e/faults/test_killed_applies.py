"""Functions are killed while reviewed plans are applied: no plan is applied twice, and no outcome is lost.

init dies when it has written the pull request's ledger, the orchestrator when the ledger of plans says that applies
began and again when a result is there, and workers while their commands run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.aws.plans import DynamoPlans
from iac_ci_common.clock import SystemClock
from iac_ci_common.locations import parse_location
from iac_ci_common.models.rows import OrderRow
from iac_ci_common.models.saved_plan import ProjectState
from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON, Demo
from iac_ci_local.ministack import Speed
from iac_ci_local.seed_secrets import SeedSecret, seed
from iac_ci_local.testing import (
    folder_of_commands,
    kill_function,
    processes_of_function,
    runs,
    wait_for_end,
    wait_until,
)
from iac_ci_triggers.dynamo_ledgers import DynamoLedgers
from iac_ci_triggers.ledger import StartedRun

pytestmark = [
    pytest.mark.full,
    pytest.mark.local_cloud,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(sys.platform != "linux", reason="the processes of functions are found in /proc"),
]

WHOLE, KILLED = ("a", "b", "c"), ("x", "y")
"""Projects whose workers live, and those whose workers are killed while their commands run."""

TOKEN = "ssm:/iac-ci/jobs/tokens/demo"
MODULE = 'resource "terraform_data" "a" {{ input = "{}" }}\n'.format
CONFIGURATION = """version: 1
defaults: {{timeout: 120}}
projects:
  - find: "live/*/main.tf"
    workflow: noted
workflows:
  noted:
    plan:
      - terraform init -input=false
      - terraform plan -input=false -out="$PLANFILE"
    apply:
      - |
        echo "begins $PROJECT_NAME" >> {folder}/notes
        while [ -e "{folder}/hold-$PROJECT_NAME" ]; do sleep 0.1; done
        [ -e "{folder}/notes" ]
      - terraform init -input=false
      - terraform apply -input=false "$PLANFILE"
      - echo "ends $PROJECT_NAME" >> {folder}/notes
""".format


class Place:
    """The code host, the cloud, and what the commands noted."""

    def __init__(self, demo: Demo, cloud: LocalCloud, folder: Path) -> None:
        self.demo, self.cloud, self.folder = demo, cloud, folder
        dynamodb, table = cloud.aws.client("dynamodb"), cloud.stack.names.resource("locks")
        self._ledgers = DynamoLedgers(dynamodb, table, SystemClock())
        self.plans = DynamoPlans(dynamodb, table, SystemClock(), lambda _: None)

    def started(self, job: str) -> list[StartedRun]:
        """Return the runs of a job in the pull request's ledger."""
        repository = f"{self.demo.host.address}/{self.demo.project.full_name}".lower()
        ledger = self._ledgers.read(keys.pull_request_ledger(repository, NUMBER))
        return [run for run in ledger.runs if run.job == job] if ledger is not None else []

    def states(self, orders: list[OrderRow]) -> dict[str, ProjectState]:
        """Return the rows of the projects that orders apply, by the orders' names."""
        found = {order.order_name: keys.project_state(order.project.key) for order in orders if order.project}
        states = self.plans.states(found.values())
        return {name: states[key] for name, key in found.items() if key in states}

    def notes(self) -> Counter[str]:
        """Return how often each command noted each word."""
        notes = self.folder / "notes"
        return Counter(notes.read_text().splitlines()) if notes.exists() else Counter()

    def kill_worker_of(self, run: str, num: str) -> bool:
        """Kill the worker whose commands are an order's; return whether there was one."""
        wanted = {f"IAC_CI_RUN_ID={run}", f"IAC_CI_ORDER_NUM={num}"}
        workers = set(processes_of_function(self.cloud, "worker"))
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and wanted <= set(_read(entry / "environ").split("\0")):
                above = next((pid for pid in _above(int(entry.name)) if pid in workers), None)
                if above is not None:
                    return _killed(above)
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _above(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        pid = int(fields[1]) if fields else 0


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def opened(tmp_path: Path, folder: Path) -> Iterator[Place]:
    """Start a code host and a local cloud with a pull request that changes all projects."""
    files = {f"base/live/{name}/main.tf": MODULE(1) for name in (*WHOLE, *KILLED)}
    files |= {f"change/live/{name}/main.tf": MODULE(2) for name in (*WHOLE, *KILLED)}
    for path, text in (files | {"base/.iac-ci.yml": CONFIGURATION(folder=folder)}).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    with (
        Demo(tmp_path / "host", base=tmp_path / "base", change=tmp_path / "change") as demo,
        LocalCloud(speed=Speed(wait_scale=0.05, retry_seconds=0.2), code_hosts=demo.code_hosts) as cloud,
    ):
        secret = f"ssm:/iac-ci/{cloud.stack_name}/webhook-secret-demo"
        location = parse_location
        seed(
            cloud,
            [
                SeedSecret(location(TOKEN), False, demo.token),
                SeedSecret(location(secret), False, demo.webhook_secret),
            ],
        )
        repository = f"https://{demo.host.address}/{demo.project.full_name}"
        connection = {"repositories": [repository], "webhook_secrets": [secret], "token_location": TOKEN}
        cloud.connect(json.dumps([connection]))
        demo.open_pull_request(cloud.stack.webhook_url)
        yield Place(demo, cloud, folder)


def test_functions_that_are_killed_apply_no_plan_twice_and_lose_no_outcome(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    with folder_of_commands() as folder, opened(tmp_path, folder) as place:
        wait_until(lambda: place.started("plan"), subject="the plan's run")
        plans = wait_for_end(place.cloud, place.started("plan")[0].run_id).orders
        assert {order.status for order in plans} == {OrderState.SUCCEEDED}
        for name in KILLED:
            (folder / f"hold-live-{name}").touch()
        kills: Counter[str] = Counter()

        place.demo.activity.comment(NUMBER, PERSON, "/iac-ci apply")
        wait_until(lambda: place.started("apply"), subject="the apply's run")
        kills["init"] += kill_function(place.cloud, "init-job")
        run_id = place.started("apply")[0].run_id
        table = runs(place.cloud)
        wait_until(lambda: table.read(run_id).run is not None, subject="the rows of the run")
        orders = list(table.read(run_id).orders)
        wait_until(
            lambda: any(state.applying for state in place.states(orders).values()), subject="an apply that began"
        )
        kills["orchestrator"] += kill_function(place.cloud, "orchestrator")
        for order in orders:
            name = order.order_name.removeprefix("apply-live-")
            if name in KILLED:
                wait_until(lambda name=name: place.notes()[f"begins live-{name}"], subject=f"the commands of {name}")
                assert place.kill_worker_of(run_id, order.order_num), f"no worker of {name}"
                kills["worker"] += 1
        wait_until(lambda: place.notes()["ends live-a"], subject="the end of a project")
        kills["orchestrator"] += kill_function(place.cloud, "orchestrator")

        rows = wait_for_end(place.cloud, run_id)
        check(place, list(rows.orders))
        # The commands of a killed worker go on here, where no sandbox ends them: they must not reach Terraform.
        (folder / "notes").rename(folder / "first notes")
        for name in KILLED:
            (folder / f"hold-live-{name}").unlink()

        place.demo.activity.comment(NUMBER, PERSON, "/iac-ci apply")
        answers = (
            [f"live/{name} was applied by run {run_id}" for name in WHOLE],
            [f"live/{name} is stale: the project was applied by pull request {NUMBER}" for name in KILLED],
        )
        wait_until(
            lambda: all(text in shown(place) for texts in answers for text in texts),
            subject="the answer",
            seen=lambda: shown(place),
        )
        assert [run.run_id for run in place.started("apply")] == [run_id]
        assert not (folder / "notes").exists()
        counted = ", ".join(f"{count} of {name}" for name, count in kills.items())
        statuses = Counter(order.status.value for order in rows.orders)
        outcomes = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        print(f"{kills.total()} processes killed ({counted}): {outcomes}; 0 plans applied twice, 0 outcomes lost")
        assert kills["init"]
        assert kills["orchestrator"]


def check(place: Place, orders: list[OrderRow]) -> None:
    """Check that each plan was applied once at most, and that row and ledger have the outcome."""
    notes, states = place.notes(), place.states(orders)
    assert set(notes.values()) == {1}, notes
    for order in orders:
        name = order.order_name.removeprefix("apply-live-")
        state = states[order.order_name]
        about = (order.order_name, order.status, order.reason, state)
        assert state.applying == (), about
        assert state.generation == 2, about
        assert state.last is not None, about
        assert state.last.plan_sha256 == order.plan_sha256, about
        assert state.last.status == order.status.value, about
        wanted = OrderState.FAILED if name in KILLED else OrderState.SUCCEEDED
        assert order.status is wanted, about
        assert notes[f"ends live-{name}"] == (name not in KILLED), about


def shown(place: Place) -> str:
    """Return the engine's comments without escapes."""
    written = place.demo.project.comments(NUMBER)
    return "\n".join(comment.body.replace("\\", "") for comment in written if comment.author == ENGINE)
