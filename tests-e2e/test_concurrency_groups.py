"""Concurrency groups on the local cloud: two pull requests on one state, and ten runs in one line."""

from __future__ import annotations

import json
import re

import pytest

from iac_ci_common import keys
from iac_ci_common.groups import holders, waiting
from iac_ci_common.models.group import Group
from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.testing import folder_of_commands, runs, submit, wait_for_end, wait_for_text, wait_until

TEN = 10
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")

CONFIGURATION = """
version: 1
projects:
  - find: "live/main.tf"
    workflow: own
    apply: {plan: fresh}
workflows:
  own:
    plan:
      - terraform init -input=false -no-color
      - terraform plan -input=false -no-color -lock=false -out="$PLANFILE"
    apply:
      - mkdir FOLDER/applying
      - until [ -e FOLDER/go ]; do sleep 0.1; done
      - terraform init -input=false -no-color
      - terraform apply -input=false -no-color "$PLANFILE"
      - rmdir FOLDER/applying
"""
STATE = """
terraform {
  backend "local" { path = "FOLDER/state/terraform.tfstate" }
}
resource "terraform_data" "shared" { input = "VALUE" }
"""


@pytest.fixture
def shared_folder():
    with folder_of_commands() as folder:
        yield folder


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud() as running:
        yield running


def group(cloud, key):
    """Return the row of a group, None if there is none."""
    table = cloud.stack.names.resource("locks")
    item = cloud.aws.client("dynamodb").get_item(TableName=table, Key={"lock_key": {"S": key}}, ConsistentRead=True)
    return Group.from_stored(item["Item"]["row"]["S"]) if "Item" in item else None


def order(cloud, run_id):
    found = runs(cloud).read(run_id).orders
    return found[0] if found else None


@pytest.mark.local_cloud
def test_ten_runs_in_one_line_run_one_after_the_other_as_they_came(cloud, shared_folder):
    alone = f"mkdir {shared_folder}/alone && until [ -e {shared_folder}/go ]; do sleep 0.1; done"
    started = []
    for number in range(TEN):
        cmds = [alone, f"echo {number} >> {shared_folder}/sequence", f"rmdir {shared_folder}/alone"]
        job = {"cmds": cmds, "timeout": 500, "order_name": f"deploy-{number}", "concurrency": {"group": "production"}}
        started.append(submit(cloud, {"username": "tests", "flow_label": f"number-{number}", "orders": [job]}))
        if number == 0:
            wait_until(lambda: (shared_folder / "alone").exists(), subject="the first order")
        else:
            text = f"{ORDINALS[number - 1]} in line"
            run_id = started[-1]
            wait_until(lambda: text in (getattr(order(cloud, run_id), "waiting_for", "") or ""), subject=text)  # noqa: B023
    row = group(cloud, keys.named_group("api", "production"))
    assert [one.run_id for one in holders(row)] == started[:1]
    assert [one.run_id for one in waiting(row)] == started[1:]
    last = order(cloud, started[-1])
    print(f"\nthe tenth waits for {last.waiting_for}, without a worker: {last.status.value}, {last.dispatched_at}")
    (shared_folder / "go").touch()
    states = [wait_for_end(cloud, run_id).orders[0].status for run_id in started]
    sequence = (shared_folder / "sequence").read_text().split()
    succeeded = states.count(OrderState.SUCCEEDED)
    print(f"ten runs, one at a time, as they came: {' '.join(sequence)}; {succeeded} succeeded")
    assert states == [OrderState.SUCCEEDED] * TEN
    assert sequence == [str(number) for number in range(TEN)]
    assert group(cloud, keys.named_group("api", "production")).entries == ()


def example(folder, shared):
    """Write an example whose pull request changes the one resource of a state."""
    for part, value in (("base", "begin"), ("change", "first")):
        (folder / part / "live").mkdir(parents=True)
        main = STATE.replace("FOLDER", str(shared)).replace("VALUE", value)
        (folder / part / "live" / "main.tf").write_text(main)
    (folder / "base" / ".iac-ci.yml").write_text(CONFIGURATION.replace("FOLDER", str(shared)))
    return folder


def bodies(opened, number):
    written = opened.demo.project.comments(number)
    return [re.sub(r"\\([^\w\s])\u200b?", r"\1", one.body) for one in written if one.author == ENGINE]


def run_of(opened, number, heading):
    """Return the run of a pull request's last comment with a heading, once there is one."""

    def found():
        return [body for body in bodies(opened, number) if heading in body]

    wait_until(found, subject=f"a comment with {heading}")
    return re.search(r"run `([0-9T]+-[0-9a-f]+)`", found()[-1])[1]


@pytest.mark.local_cloud
def test_two_pull_requests_on_one_state(tmp_path, shared_folder, terraform):
    (shared_folder / "state").mkdir(mode=0o777)
    with opened_pull_request(example(tmp_path, shared_folder), tmp_path, stack="iac-ci", log_level="INFO") as opened:
        cloud, project, activity = opened.cloud, opened.demo.project, opened.demo.activity
        wait_for_end(cloud, opened.first_run())
        second = STATE.replace("FOLDER", str(shared_folder)).replace("VALUE", "second")
        project.repository.commit("other", {"live/main.tf": second.encode()}, "Change it too", start="main")
        number = project.open_pull_request(
            title="Change it too", author=PERSON, head_branch="other", base_branch="main"
        ).number

        activity.opened(number)
        wait_for_end(cloud, run_of(opened, number, "### plan"))
        activity.comment(NUMBER, PERSON, "/iac-ci apply")
        wait_until(lambda: (shared_folder / "applying").exists(), subject="the first apply")
        activity.comment(number, PERSON, "/iac-ci apply")
        one, other = run_of(opened, NUMBER, "### apply"), run_of(opened, number, "### apply")
        wait_until(lambda: order(cloud, other) and order(cloud, other).waiting_for, subject="the second apply")
        waiting_for = order(cloud, other).waiting_for
        print(f"\npull request {number} waits for {waiting_for}")
        assert waiting_for == f"run {one} of pull request {NUMBER} (apply-live), first in line"
        wait_for_text(waiting_for, lambda: bodies(opened, number))
        (shared_folder / "go").touch()
        ended = [wait_for_end(cloud, run_id) for run_id in (one, other)]
        state = json.loads((shared_folder / "state" / "terraform.tfstate").read_text())
        value = state["resources"][0]["instances"][0]["attributes"]["input"]["value"]
        shown = [f"{run.run.status.value} at {run.run.finished_at:%H:%M:%S}" for run in ended]
        print(f"pull requests {NUMBER} and {number} on one state: {' and '.join(shown)}; applied last: {value}")
        assert [one.status for run in ended for one in run.orders] == [OrderState.SUCCEEDED] * 4
        assert ended[0].orders[1].ended_at <= ended[1].orders[0].started_at
        assert value == "second"
