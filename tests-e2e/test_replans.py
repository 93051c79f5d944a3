"""Two pull requests of one project on the local cloud: the apply of one makes the plan of the other again by itself."""

from __future__ import annotations

import re

import pytest

from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.testing import runs, wait_until

CONFIGURATION = """version: 1
defaults: {timeout: 120}
projects:
  - find: "live/*/main.tf"
    replan_when_stale: true
"""
MODULE = 'resource "terraform_data" "{}" {{ input = "{}" }}\n'.format
OTHER = 2
"""Number of the other pull request."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    example = tmp_path_factory.mktemp("example")
    for path, text in {
        "base/.iac-ci.yml": CONFIGURATION,
        "base/live/net/main.tf": MODULE("a", "1"),
        "change/live/net/main.tf": MODULE("a", "2"),
    }.items():
        (example / path).parent.mkdir(parents=True, exist_ok=True)
        (example / path).write_text(text)
    folder = tmp_path_factory.mktemp("code-host")
    with opened_pull_request(example, folder, stack="iac-ci", log_level="INFO") as opened:
        project = opened.demo.project
        project.repository.commit("other", {"live/net/main.tf": MODULE("a", "3").encode()}, "other", start="main")
        project.open_pull_request(title="Other", author=PERSON, head_branch="other", base_branch="main")
        opened.demo.activity.opened(OTHER)()
        for branch in ("change", "other"):
            wait_until(lambda branch=branch: status(opened, branch, "plan") == "success", subject="the first plans")
        yield opened


def status(opened, branch, job):
    project = opened.demo.project
    found = {one.context: one.state for one in project.statuses(project.repository.head(branch))}
    return found.get(f"iac-ci/{job}")


def bodies(opened, number):
    written = opened.demo.project.comments(number)
    return [comment.body.replace("\\", "") for comment in written if comment.author == ENGINE]


def run_of(body):
    return re.search(r"run `([0-9T]+-[0-9a-f]+)`", body)[1]


def found(opened, number, words):
    return [body for body in bodies(opened, number) if words in body]


def test_the_plan_of_the_other_pull_request_is_made_again_by_itself(opened):
    (first,) = found(opened, OTHER, "### plan")
    opened.demo.activity.comment(NUMBER, PERSON, "/iac-ci apply")
    wait_until(lambda: status(opened, "change", "apply") == "success", subject="the apply")
    wait_until(
        lambda: found(opened, OTHER, "was planned again in run"),
        subject="the new plan",
        seen=lambda: bodies(opened, OTHER),
    )
    wait_until(lambda: status(opened, "other", "plan") == "success", subject="the status of the new plan")
    wait_until(
        lambda: found(opened, NUMBER, "### apply: succeeded"),
        subject="the comment of the apply",
        seen=lambda: bodies(opened, NUMBER),
    )
    apply_run = run_of(found(opened, NUMBER, "### apply: succeeded")[0])
    because = f"planned again because run {apply_run} of pull request {NUMBER} applied live/net"
    wait_until(
        lambda: [body for body in found(opened, OTHER, because) if "succeeded" in body],
        subject="its comment",
        seen=lambda: bodies(opened, OTHER),
    )
    (again,) = found(opened, OTHER, because)
    assert run_of(again) != run_of(first)
    assert not found(opened, OTHER, "is stale")
    (notice,) = found(opened, OTHER, "was planned again in run")
    assert f"live/net was planned again in run `{run_of(again)}`" in notice
    events = runs(opened.cloud).events(runs(opened.cloud).read(apply_run).run.trace_id)
    assert not [event for event in events if event.kind in {"replan_failed", "comment_failed"}]
    # The pull request that was applied is not planned again.
    assert len(found(opened, NUMBER, "### plan")) == 1
    print(f"run {apply_run} applied live/net; pull request {OTHER} was planned again by itself in run {run_of(again)}")


def test_the_plan_that_was_made_again_is_applied(opened):
    (again,) = found(opened, OTHER, "planned again because run")
    opened.demo.activity.comment(OTHER, PERSON, "/iac-ci apply")
    wait_until(lambda: status(opened, "other", "apply") == "success", subject="the apply")
    wait_until(
        lambda: found(opened, OTHER, "### apply: succeeded"), subject="the comment", seen=lambda: bodies(opened, OTHER)
    )
    digest = re.search(r"plan `([0-9a-f]{16})`", again)[1]
    assert digest in found(opened, OTHER, "### apply: succeeded")[0]
