"""A pull request from end to end on the local cloud: webhook, configuration, run, comment, commands."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest
from diagram.chromium import chromium
from selection import only_in_full

from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, PERSON, SHAPES
from iac_ci_local.pull_request import opened_pull_request
from iac_ci_local.testing import HANGS_SECONDS, wait_for_end, wait_for_text, wait_until
from iac_ci_vcs.reporting import marker

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "pull-request"
ESCAPE = re.compile(r"\\([^\w\s])\u200b?")


@pytest.fixture(scope="module", params=only_in_full(SHAPES, lambda kind: kind != "github"))
def opened(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("code-host")
    with opened_pull_request(EXAMPLE, folder, stack="iac-ci", log_level="INFO", kind=request.param) as opened:
        yield opened


def comments(opened):
    """Return the engine's comments without escapes, oldest first, without the note that an event has arrived."""
    written = opened.demo.project.comments(NUMBER)
    bodies = [one.body for one in written if one.author == ENGINE and "iac-ci:arrived" not in one.body]
    return [ESCAPE.sub(r"\1", body) for body in bodies]


def statuses(opened, sha):
    return {status.context: status.state for status in opened.demo.project.statuses(sha)}


def head(opened):
    return opened.demo.project.repository.head("change")


def test_the_pull_request_shows_what_it_will_do(opened):
    run_id = opened.first_run()
    rows = wait_for_end(opened.cloud, run_id)
    assert [order.order_name for order in rows.orders] == ["plan-network"]
    wait_until(
        lambda: "Plan of plan-network" in comments(opened)[0],
        subject="the final comment",
        seen=lambda: comments(opened),
    )
    (comment,) = comments(opened)
    assert "### plan: succeeded" in comment
    assert "| succeeded, changed |" in comment
    assert "```diff\n  # terraform_data." in comment
    assert comment.startswith(marker(run_id, has_html=opened.demo.host.shape.has_html))
    assert "an-example-token-that-opens-nothing" not in comment
    assert statuses(opened, head(opened))["iac-ci/plan"] == "success"


def test_a_command_applies_in_the_order_of_dependence(opened):
    opened.first_run()
    before = len(comments(opened))
    opened.demo.activity.comment(NUMBER, PERSON, "Looks good.\n\n/iac-ci apply")
    wait_until(lambda: len(comments(opened)) > before, subject="the run's comment", seen=lambda: comments(opened))
    wait_until(
        lambda: statuses(opened, head(opened)).get("iac-ci/apply") == "success",
        subject="the end",
        seen=lambda: statuses(opened, head(opened)),
    )
    assert comments(opened)[-1].index("| network |") < comments(opened)[-1].index("| app |")


def test_help_is_answered_and_a_quoted_command_is_not(opened):
    opened.first_run()
    opened.demo.activity.comment(NUMBER, PERSON, "> /iac-ci apply")()
    opened.demo.activity.comment(NUMBER, PERSON, "/iac-ci help")()
    wait_for_text("Commands, each", lambda: comments(opened))
    # On a host without reactions, a command has a note too.
    (answer,) = [body for body in comments(opened) if "Commands, each" in body]
    assert "cancel" in answer
    assert not any("iac-ci:answer" in body and "> /iac-ci" in body for body in comments(opened))


def test_another_commit_is_planned_anew(opened):
    opened.first_run()
    before = head(opened)
    opened.demo.activity.push(NUMBER, opened.demo.next_commit(NUMBER))
    assert head(opened) != before
    wait_until(
        lambda: statuses(opened, head(opened)).get("iac-ci/plan") == "success",
        subject="the plan",
        seen=lambda: statuses(opened, head(opened)),
    )


def test_the_page_shows_the_comment_in_a_browser(opened):
    run_id = opened.first_run()
    wait_for_end(opened.cloud, run_id)
    wait_until(lambda: "succeeded" in comments(opened)[0], subject="the final comment", seen=lambda: comments(opened))
    with chromium() as page:
        page.go(opened.demo.page)
        # The page's script asks the host for the comments.
        tables = "[...document.querySelectorAll('table')].map((one) => one.innerText).join()"
        wait_until(
            lambda: "plan-network" in page.run(tables),
            subject="the comment's table",
            seen=lambda: page.run("document.body.innerText"),
        )
        assert "<table" not in page.run("document.body.innerText")


def test_cancel_another_base_branch_and_the_end_are_worked_on(opened):
    opened.first_run()
    project, activity = opened.demo.project, opened.demo.activity
    # The answers are asserted, and not how fast this machine gives them.
    opened.demo.deliveries.seconds = HANGS_SECONDS
    activity.comment(NUMBER, PERSON, "/iac-ci cancel")()
    wait_for_text("are cancelled", lambda: comments(opened))
    project.repository.commit("next", {"other.txt": b"1"}, "next", start="main")
    activity.retarget(NUMBER, "next")()
    assert opened.demo.deliveries.done[-1].status == 202
    activity.retarget(NUMBER, "main")()
    activity.close(NUMBER)()
    assert opened.demo.deliveries.done[-1].status == 202
    activity.comment(NUMBER, PERSON, "/iac-ci plan")()
    wait_for_text("is closed", lambda: comments(opened))


def test_the_documented_command_stays_until_it_is_ended():
    command = [str(ROOT / ".ci" / "iac-ci"), "local", "pr", "examples/pull-request"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if "until Ctrl-C" in line:
                process.send_signal(signal.SIGINT)
        # As a shell tells that Ctrl-C ended it.
        assert process.wait(600) == 130, "".join(said)
    assert any("plan-network: succeeded" in line for line in said)
