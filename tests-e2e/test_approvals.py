"""Orders that wait for approvals, on the local cloud: a named person, its author, a signed request, and an expiry."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON
from iac_ci_local.fake_hosts.project import Person
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.testing import runs, submit, wait_for_end, wait_for_text, wait_until

BOB = Person(3, "bob")
ESCAPE = re.compile(r"\\([^\w\s])\u200b?")
CONFIGURATION = """
version: 1
jobs:
  release:
    on: {pull_request: {}}
    orders:
      - {name: plan, cmds: ["echo planned"]}
      - name: ask
        approval: {by: [bob, you], message: "Release it?", expires: 3000}
        depends_on: [plan]
      - {name: run, cmds: ["echo released"], depends_on: [ask]}
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    example = tmp_path_factory.mktemp("example")
    for folder, text in (("base", "one"), ("change", "two")):
        (example / folder).mkdir()
        (example / folder / "main.tf").write_text(f"# {text}\n")
    (example / "base" / ".iac-ci.yml").write_text(CONFIGURATION)
    (example / "local-secrets.json").write_text("{}")
    folder = tmp_path_factory.mktemp("code-host")
    with pytest.MonkeyPatch.context() as patch:
        # The command line finds this cloud alone.
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("announced")))
        with opened_pull_request(example, folder, stack="iac-ci", log_level="INFO") as opened:
            project = opened.demo.project
            project.tokens = {**project.tokens, "bob's": BOB}
            project.rights = {**project.rights, BOB.login: "write"}
            yield opened


def comments(opened):
    written = opened.demo.project.comments(NUMBER)
    return [ESCAPE.sub(r"\1", one.body) for one in written if one.author == ENGINE]


def descriptions(opened):
    head = opened.demo.project.repository.head("change")
    return [status.description or "" for status in opened.demo.project.statuses(head)]


def order(opened, run_id, num="0002"):
    return runs(opened.cloud).find_order(run_id, num)


def wait_for_question(opened, run_id, num="0002"):
    wait_until(lambda: (row := order(opened, run_id, num)) and row.awaits_answer, subject="the question")


def test_an_apply_waits_for_a_named_person_and_not_for_the_author(opened):
    run_id = opened.first_run()
    wait_for_question(opened, run_id)
    wait_for_text("waits for approval of bob or you", lambda: comments(opened))
    wait_until(
        lambda: any("ask waits for approval of bob" in text for text in descriptions(opened)),
        subject="status",
        seen=lambda: descriptions(opened),
    )

    opened.demo.activity.comment(NUMBER, PERSON, "/iac-ci approve ask")()
    wait_for_text("you is the author of the pull request", lambda: comments(opened))
    assert order(opened, run_id).awaits_answer

    opened.demo.activity.comment(NUMBER, BOB, "/iac-ci approve ask")()
    rows = wait_for_end(opened.cloud, run_id)
    wait_for_text("**ask** succeeded: approved by bob", lambda: comments(opened))
    states = {row.order_name: row.status.value for row in rows.orders}
    assert states == {"plan": "succeeded", "ask": "succeeded", "run": "succeeded"}
    row = order(opened, run_id)
    assert (row.approval_answer.by, row.approval_answer.account, row.approval_answer.through) == ("bob", "3", "comment")
    assert row.dispatched_at is None
    print(f"\nthe apply waited for an approval; the author was refused; {row.reason}")


def job(**approval):
    return {
        "username": "tests",
        "orders": [
            {"order_name": "ask", "approval": {"api": True, **approval}},
            {"order_name": "run", "cmds": ["echo done"], "timeout": 60, "dependencies": ["ask"]},
        ],
    }


def iac_ci(*arguments):
    program = "from iac_ci_cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments, "--local"],
        env=dict(os.environ), capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


def test_a_signed_request_approves_and_says_that_no_person_is_known(opened):
    run_id = submit(opened.cloud, job())
    wait_for_question(opened, run_id, "0001")
    done = iac_ci("approve", run_id, "ask")
    assert done.returncode == 0, done.stderr
    assert "approved by a signed request (no person is known)" in done.stdout
    rows = wait_for_end(opened.cloud, run_id)
    assert [row.status.value for row in rows.orders] == ["succeeded", "succeeded"]
    again = iac_ci("reject", run_id, "ask")
    assert again.returncode == 2
    assert "has ended already: approved by a signed request" in " ".join(again.stderr.split())


def test_nobody_answers_and_it_expires(opened):
    run_id = submit(opened.cloud, job(expires=1))
    rows = wait_for_end(opened.cloud, run_id)
    assert [row.status.value for row in rows.orders] == ["timed_out", "skipped"]
    assert "nobody answered until" in rows.run.reason
