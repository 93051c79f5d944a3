"""Merges on the local cloud, with Terraform: the merge applies what was reviewed, and what is applied is merged."""

from __future__ import annotations

import re
import time

import pytest

from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.testing import runs, wait_for_end, wait_until

CONFIGURATION = """version: 1
defaults: {{timeout: 120}}
{more}projects:
  - find: "live/*/main.tf"
{rule}""".format
AFTER = CONFIGURATION(more="", rule="    apply: {on: merge}\n")
BEFORE = CONFIGURATION(more="merge_when_applied: true\n", rule="")
MODULE = 'resource "terraform_data" "{}" {{ input = "{}" }}\n'.format
SECOND = 2
"""Number of the pull request that the engine merges."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    example = tmp_path_factory.mktemp("example")
    for path, text in {
        "base/.iac-ci.yml": AFTER,
        "base/live/net/main.tf": MODULE("a", "1"),
        "change/live/net/main.tf": MODULE("a", "2"),
    }.items():
        (example / path).parent.mkdir(parents=True, exist_ok=True)
        (example / path).write_text(text)
    folder = tmp_path_factory.mktemp("code-host")
    with opened_pull_request(example, folder, stack="iac-ci", log_level="INFO") as opened:
        yield opened


def states(opened, branch):
    project = opened.demo.project
    return {one.context: one.state for one in project.statuses(project.repository.head(branch))}


def found(opened, number, words):
    """Return the engine's comments with these words."""
    written = opened.demo.project.comments(number)
    bodies = [comment.body.replace("\\", "") for comment in written if comment.author == ENGINE]
    return [body for body in bodies if words in body]


def run_of(body):
    return re.search(r"run `([0-9T]+-[0-9a-f]+)`", body)[1]


def ended(opened, number, heading):
    """Wait for the final comment of a run, and return its rows."""
    wait_until(lambda: found(opened, number, f"### {heading}: succeeded"), subject=f"the end of {heading}")
    return wait_for_end(opened.cloud, run_of(found(opened, number, f"### {heading}: succeeded")[-1]))


def test_a_squash_applies_exactly_the_reviewed_plan(opened):
    (planned,) = ended(opened, NUMBER, "plan").orders
    assert planned.planned is not None
    assert planned.planned.problem is None
    project = opened.demo.project
    project.repository.commit("main", {"docs/other": b"1\n"}, "of another pull request")
    # The host says the second of the merge; a plan of the same second may have been made after it.
    reviewed = int(time.time())
    wait_until(lambda: int(time.time()) > reviewed, subject="the second after the plan")
    opened.demo.activity.merge(NUMBER, "squash")()
    rows = ended(opened, NUMBER, "apply")
    (applied,) = rows.orders
    assert applied.plan_sha256 == planned.planned.sha256
    assert applied.code_sha256 == planned.code_sha256
    assert (applied.changes.add, applied.changes.change, applied.changes.destroy) == (1, 0, 0)
    because = f"applied because pull request {NUMBER} was merged into main at {project.repository.head('main')[:12]}"
    assert found(opened, NUMBER, because)
    # What was planned is what was reviewed: nothing was planned in between.
    assert len(found(opened, NUMBER, "### plan")) == 1
    print(f"squashed into main: the reviewed plan {planned.planned.sha256[:16]} was applied by run {rows.run.run_id}")


def test_what_is_applied_is_merged_at_the_applied_commit(opened):
    project = opened.demo.project
    project.repository.commit("main", {".iac-ci.yml": BEFORE.encode()}, "merge when applied")
    head = project.repository.commit("second", {"live/net/main.tf": MODULE("a", "3").encode()}, "second", start="main")
    project.open_pull_request(title="Second", author=PERSON, head_branch="second", base_branch="main")
    project.book.rules.checks = ("iac-ci/plan", "iac-ci/apply")
    opened.demo.activity.opened(SECOND)()
    wait_until(lambda: states(opened, "second").get("iac-ci/plan") == "success", subject="the plan")
    opened.demo.activity.comment(SECOND, PERSON, "/iac-ci apply")
    wait_until(lambda: project.pull_request(SECOND).is_merged, subject="the merge")
    pull = project.pull_request(SECOND)
    assert (pull.merged_head, set(project.merging.asked)) == (head, {head})
    assert states(opened, "second")["iac-ci/apply"] == "success"
    run = ended(opened, SECOND, "apply").run
    wait_until(
        lambda: [event for event in runs(opened.cloud).events(run.trace_id) if event.kind == "merged"],
        subject="the event of the merge",
    )
    assert not found(opened, SECOND, "is not merged by itself")
    print(f"run {run.run_id} applied pull request {SECOND}, and the engine merged {head[:12]} and no other commit")
