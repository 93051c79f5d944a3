"""Concurrency groups of a repository's configuration."""

from __future__ import annotations

import pytest

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_triggers.configuration import TemplateValues, expand, read_configuration

FILE = """
version: 1
jobs:
  deploy:
    on: {push: {branches: [main]}}
    matrix: {stage: [dev, "prod 2"]}
    orders:
      - name: "deploy-{{ matrix.stage }}"
        cmds: [./deploy.sh]
        concurrency: {group: "deploy/{{ matrix.stage }}", queue: newest}
  nightly:
    on: {push: {branches: [main]}}
    concurrency: {group: nightly}
    orders:
      - {name: one, cmds: ["true"]}
"""
VALUES = TemplateValues(pr_number=None, sha="d" * 40, branch="main", base_branch="", actor="dana")


def problems(text):
    with pytest.raises(ConfigurationProblems) as refused:
        read_configuration(text.encode())
    return [(problem.where.partition(": ")[2], problem.what) for problem in refused.value.problems]


def test_an_order_names_its_group_with_the_values_of_the_matrix():
    configuration = read_configuration(FILE.encode())
    deploy = expand(configuration, "deploy", VALUES, None, None)
    groups = [(order.concurrency.group, order.concurrency.queue) for order in deploy.orders]
    assert groups == [("deploy/dev", "newest"), ("deploy/prod-2", "newest")]
    assert deploy.concurrency is None
    nightly = expand(configuration, "nightly", VALUES, None, None)
    assert (nightly.concurrency.group, nightly.concurrency.queue) == ("nightly", "all")


def test_every_problem_of_a_group_is_told_at_once():
    text = FILE.replace("queue: newest", "queue: oldest").replace("group: nightly", 'group: "{{ matrix.stage }}"')
    found = problems(text)
    assert [where for where, _ in found] == [
        "jobs.deploy.orders[0].concurrency.queue",
        "jobs.nightly.concurrency.group",
    ]


def test_a_job_and_its_orders_do_not_both_name_groups():
    text = FILE.replace('cmds: ["true"]}', 'cmds: ["true"], concurrency: {group: other}}')
    message = "cannot be named: the job's own concurrency holds a group for all of its orders"
    assert problems(text) == [("jobs.nightly.orders[0].concurrency", message)]


def test_an_unknown_template_in_a_group_is_a_problem():
    found = problems(FILE.replace("deploy/{{ matrix.stage }}", "{{ matrix.x }}"))
    assert [where for where, _ in found] == ["jobs.deploy.orders[0].concurrency.group"]
