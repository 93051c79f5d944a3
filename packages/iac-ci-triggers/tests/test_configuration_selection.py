from __future__ import annotations

import json

import pytest

from iac_ci_triggers.configuration import (
    commands,
    jobs_for_command,
    jobs_for_pull_request,
    jobs_for_push,
    read_configuration,
)

ORDERS = [{"name": "a", "cmds": ["true"]}]
JOBS = {
    "lint": {"on": {"pull_request": None}, "orders": ORDERS},
    "plan": {
        "on": {
            "pull_request": {"branches": ["main", "release/*"], "paths": ["terraform/**", "!**/*.md"]},
            "command": "plan",
        },
        "orders": ORDERS,
    },
    "apply": {
        "on": {"command": ["apply", "deploy"], "push": {"branches": ["main"], "paths": ["terraform/**"]}},
        "orders": ORDERS,
    },
    "teams": {
        "on": {"pull_request": {}, "push": {}, "command": "plan"},
        "matrix": {"team": ["red", "blue"]},
        "orders": [{"name": "a-{{ matrix.team }}", "cmds": ["true"], "paths": ["{{ matrix.team }}/**"]}],
    },
}
CONFIGURATION = read_configuration(json.dumps({"version": 1, "jobs": JOBS}).encode())


def reasons(selection) -> dict[str, str]:
    assert sorted([*selection.jobs, *(left.name for left in selection.left_out)]) == sorted(JOBS)
    return {left.name: left.reason for left in selection.left_out}


@pytest.mark.parametrize(
    ("base", "changed", "jobs"),
    [
        ("main", ["terraform/main.tf"], ("lint", "plan")),
        ("release/1", ["terraform/main.tf"], ("lint", "plan")),
        ("release/1/2", ["terraform/main.tf"], ("lint",)),
        ("main", ["terraform/README.md"], ("lint",)),
        ("main", ["blue/x"], ("lint", "teams")),
        ("main", None, ("lint", "plan", "teams")),
        ("main", [], ("lint",)),
        ("Main", None, ("lint", "teams")),
    ],
)
def test_a_pull_request_starts_what_asks_for_it(base, changed, jobs):
    assert jobs_for_pull_request(CONFIGURATION, base, changed).jobs == jobs


def test_of_every_other_job_it_is_told_why():
    assert reasons(jobs_for_pull_request(CONFIGURATION, "dev", ["x"])) == {
        "plan": "the base branch dev does not match its branches",
        "apply": "has no trigger for pull requests",
        "teams": "none of the paths of its orders have changed",
    }
    assert reasons(jobs_for_pull_request(CONFIGURATION, "main", ["x"]))["plan"] == "none of its paths have changed"
    assert reasons(jobs_for_push(CONFIGURATION, "dev", ["blue/x"])) == {
        "lint": "has no trigger for pushes",
        "plan": "has no trigger for pushes",
        "apply": "the branch dev does not match its branches",
    }


@pytest.mark.parametrize(
    ("branch", "changed", "jobs"),
    [
        ("main", ["terraform/x", "red/x"], ("apply", "teams")),
        ("main", ["x"], ()),
        ("any/branch", None, ("teams",)),
    ],
)
def test_a_push_starts_what_asks_for_it(branch, changed, jobs):
    assert jobs_for_push(CONFIGURATION, branch, changed).jobs == jobs


@pytest.mark.parametrize(
    ("word", "jobs"), [("plan", ("plan", "teams")), ("deploy", ("apply",)), ("Plan", ()), ("help", ()), ("", ())]
)
def test_a_command_starts_what_asks_for_it(word, jobs):
    assert jobs_for_command(CONFIGURATION, word).jobs == jobs


def test_a_word_that_starts_nothing_is_answered_with_those_that_do():
    assert reasons(jobs_for_command(CONFIGURATION, "destroy")) == {
        "lint": "has no trigger for comments",
        "plan": "starts with /iac-ci plan",
        "apply": "starts with /iac-ci apply or /iac-ci deploy",
        "teams": "starts with /iac-ci plan",
    }
    assert commands(CONFIGURATION) == {"apply": ("apply",), "deploy": ("apply",), "plan": ("plan", "teams")}
