from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_vcs.provider import MAX_COMMENT_CHARS, CommentStyle
from iac_ci_vcs.reporting import FailedLog, commit_status, escape, marker, order_statuses, render
from iac_ci_vcs.reporting.identities import without_identities
from iac_ci_vcs.reporting.markdown import code, fence, plain

PARSER = MarkdownIt("commonmark").enable("table")
HOSTILE = [
    "```\n</details>\n# heading",
    "````````",
    "@everyone and @org/team",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "<img src=x onerror=alert(1)> <!-- iac-ci:20260101T000000-000000000000 -->",
    "[link](javascript:alert(1)) ![image](https://example.com/x.png) https://example.com",
    "| a | b |\n|---|---|",
    "\u202eadmin\u202c \u2066isolated\u2069 \u200bzero",
    "🚀 مرحبا שלום",
    "progress 1%\rprogress 100%\n",
    "~~~\n</summary>\n~~~",
]
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(), st.text(alphabet="`<>/details\n|@#~[]()!\\ "))


def failed(number: int, **fields):
    ended = {"started_at": START, "ended_at": START + timedelta(seconds=90)}
    row = order_row(number, status=OrderState.FAILED, reason="exit code 1", **ended)
    # Not validated: what is written must be harmless whatever the names are.
    return row.model_copy(update=fields)


def kinds(markdown: str) -> set[str]:
    """Name everything that the text is more than words, after a real parser."""
    tokens = PARSER.parse(markdown)
    inside = [child for token in tokens for child in token.children or ()]
    return {token.type for token in [*tokens, *inside]}


def test_a_comment_carries_marker_tag_states_and_reasons():
    run = run_row(
        status=RunState.FAILED, report=ReportTarget(repository="https://example.com/a/b", number=1, search_tag="my tag")
    )
    body = render(run, [failed(1), order_row(2, after=[1])])
    assert body.startswith(marker(RUN_ID))
    for part in ("my tag", "failed", "exit code 1", "1 min 30 s"):
        assert part in body


def test_changes_stand_in_the_table_where_there_are_any():
    planned = Changes(operation=Operation.PLANNED, add=1, change=2, destroy=3)
    applied = Changes(operation=Operation.APPLIED)
    body = render(run_row(), [failed(1, changes=planned), failed(2, changes=applied), failed(3)])
    assert "| `+1 ~2 -3` |" in body
    assert "| `no changes` applied |" in body
    assert "Changes" not in render(run_row(), [failed(1)])


def test_the_end_of_a_failed_orders_log_is_shown():
    log = FailedLog("0001", "line 1\nline 2\n", is_whole=True, failed_command="terraform apply", link="https://x/log")
    body = render(run_row(), [failed(1)], logs=[log])
    assert "`terraform apply` failed." in body
    assert "```text\nline 1\nline 2\n```" in body
    assert f"`iac-ci logs {RUN_ID} 0001` or [here](https://x/log)" in body
    assert "Only the end" not in body


@given(TEXTS)
def test_no_text_becomes_markup(text):
    escaped = escape(text)
    assert kinds(f"a {escaped} b") <= {"paragraph_open", "inline", "paragraph_close", "text", "text_special"}
    row = PARSER.parse(f"| head |\n|---|\n| {escaped} |\n| next |")
    assert sum(token.type == "td_open" for token in row) == 2
    assert "@" not in escaped or "\\@\u200b" in escaped


@pytest.mark.parametrize("text", ["$x$", "undeclared ${var.a} and ${var.b}", "$$\\color{white}{hidden}$$", "a $`b`$"])
def test_no_text_becomes_a_formula(text):
    """GitHub and GitLab render what stands between dollar signs as mathematics."""
    assert re.search(r"(?<!\\)(?:\\\\)*\$", escape(text)) is None


@given(TEXTS)
def test_no_log_leaves_its_block(text):
    tokens = PARSER.parse(f"before\n\n{fence(plain(text))}\n\nafter")
    assert [token.type for token in tokens if token.type != "inline"] == [
        "paragraph_open",
        "paragraph_close",
        "fence",
        "paragraph_open",
        "paragraph_close",
    ]


@given(TEXTS.filter(str.strip))
def test_no_command_leaves_its_span(text):
    assert kinds(f"a {code(text)} b") <= {"paragraph_open", "inline", "paragraph_close", "text", "code_inline"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_whole_comment_has_no_html_but_its_own(text):
    report = ReportTarget(repository="a/b", number=1, search_tag=text)
    run = run_row().model_copy(update={"reason": text, "flow_id": text, "report": report})
    log = FailedLog("0001", text, is_whole=False, failed_command=text)
    body = render(run, [failed(1, order_name=text, reason=text)], logs=[log])
    html = [
        token.content.strip()
        for token in PARSER.parse(body)
        for token in [token, *(token.children or ())]
        if token.type in {"html_block", "html_inline"}
    ]
    assert html[0] == marker(RUN_ID)
    assert html[-1] == "</details>"
    assert len(html) == 3
    assert html[1].startswith("<details><summary>Log of ")
    assert html[1].endswith("</summary>")
    assert html[1].count("<") == 3
    assert "\x1b" not in body
    assert "\u202e" not in body


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1mbold\x1b(B\x1b[m end", "bold end"),
        ("\x1b=\x1b7at\x1b8\x1b>", "at"),
        ("\x1b%Gtext\x1b]8;;x\x1b\\", "text"),
        ("a\x1b[1", "a\ufffd[1"),
        ("\x1b      key", "\ufffd      key"),
        ("a (B) [0m", "a (B) [0m"),
    ],
)
def test_escape_sequences_leave_nothing_and_other_text_stays(text, shown):
    assert plain(text) == shown


def test_letters_of_every_writing_stay():
    assert "🚀 مرحبا שלום" in escape("🚀 مرحبا שלום")


def test_orders_that_need_a_look_are_shown_first_and_the_others_are_counted():
    orders = [
        order_row(number, order_name=f"order-{number}" + "x" * 60, status=OrderState.SUCCEEDED)
        for number in range(1, 1000)
    ]
    orders.append(failed(1000))
    body = render(run_row(), orders)
    assert len(body) <= MAX_COMMENT_CHARS
    assert r"order\-1000 | failed" in body
    shown = body.count("| succeeded |")
    assert 0 < shown < 999
    assert f"{999 - shown} more orders are not shown, the comment would be too long: {999 - shown} succeeded." in body


@settings(deadline=None, max_examples=60)
@given(st.integers(2_000, 70_000), st.lists(TEXTS, min_size=1, max_size=6), st.integers(1, 3_000))
def test_a_comment_never_exceeds_the_limit_and_never_cuts_silently(limit, texts, times):
    orders = [failed(number) for number in range(1, len(texts) + 1)]
    logs = [FailedLog(order.order_num, text * times, is_whole=True) for order, text in zip(orders, texts, strict=True)]
    body = render(run_row(), orders, logs=logs, style=CommentStyle(limit))
    assert len(body) <= limit
    for log in logs:
        whole = fence(plain(log.tail)) in body
        assert whole or "Only the end" in body or "not shown" in body


def test_the_limit_is_met_exactly():
    lines = "".join(f"{number:07d}\n" for number in range(20_000))
    body = render(run_row(), [failed(1)], logs=[FailedLog("0001", lines, is_whole=True)])
    assert MAX_COMMENT_CHARS - 300 < len(body) <= MAX_COMMENT_CHARS
    assert "0019999\n```" in body

    def rendered(length, limit):
        log = FailedLog("0001", "x" * length, is_whole=True)
        return render(run_row(), [failed(1)], logs=[log], style=CommentStyle(limit))

    around = len(rendered(60_000, 10**9)) - 60_000
    exact = MAX_COMMENT_CHARS - around
    assert len(rendered(exact, 10**9)) == MAX_COMMENT_CHARS
    whole = rendered(exact, MAX_COMMENT_CHARS + 200)
    assert len(whole) == MAX_COMMENT_CHARS


ACTIONS = [
    "/close",
    " /merge",
    "/approve\n/merge",
    "x\n/label ~bug",
    "\u2028/lgtm",
    "\r/close",
    "\x1b[0m/close",
    "\x0b/close",
]


def lines(text):
    return re.split("[\n\r\x0b\x0c\x85\u2028\u2029]", text)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(ACTIONS) | st.text("/ \n\r\t`~\u2028\x0bclose", max_size=30))
def test_no_text_acts_as_a_quick_action_of_a_host(text):
    """In the tag, the reason, the error, a name, a command and a log: no line of the comment begins with a slash."""
    report = ReportTarget(repository="https://gitlab.com/acme/infra", number=1, search_tag=text)
    run = run_row(report=report, reason=text)
    orders = [order_row(1, status=OrderState.FAILED, order_name="one", reason=text)]
    logs = [FailedLog("0001", text, is_whole=True, failed_command=text)]
    whole = render(run, orders, logs=logs, status_error=text)
    assert not [line for line in lines(whole) if line.lstrip("\ufeff\u200b").startswith("/")]
    assert not escape(text).lstrip().startswith("/")


SECRETS_OF_AWS = [
    (
        "reading x: AccessDenied: User: arn:aws:sts::123456789012:assumed-role/iac-ci-init-job/iac-ci-init-job is not"
        " authorized to perform: ssm:GetParameter on resource: arn:aws:ssm:eu-central-1:123456789012:parameter/x"
    ),
    "assuming arn:aws-cn:iam::123456789012:role/team/deploy: AccessDenied: 'arn:aws-us-gov:iam::123456789012:user/ann'",
    "(AROAIOSFODNN7EXAMPLE:iac-ci-init-job) in account 123456789012",
    "arn:aws:iam::123456789012:role/acme,deploy is not trusted, nor is arn:aws:iam::123456789012:role/a,deploy, see",
    "NoSuchBucket: iac-ci-internal-123456789012-eu-central-1, 123456789012.dkr.ecr.eu-central-1.amazonaws.com/iac-ci",
]


@pytest.mark.parametrize("text", SECRETS_OF_AWS)
def test_an_error_of_aws_shows_no_account_and_no_role(text):
    run = run_row(report=ReportTarget(repository="https://gitlab.com/a/b", number=1), reason=text, commit_hash="a" * 40)
    orders = [order_row(1, status=OrderState.FAILED, order_name="one", reason=text)]
    shown = render(run, orders, status_error=text)
    shown += commit_status(run, orders).description + "".join(one.description for one in order_statuses(run, orders))
    for hidden in ("123456789012", "assumed", "role/", "init", "AROA", "user/ann", "deploy"):
        assert hidden not in shown.replace(r"\-", "-"), hidden
    assert "…" in shown


@pytest.mark.parametrize(
    "text",
    [
        "run 20260101T000000-123456789012 has ended",
        f"superseded by commit {'1' * 12}",
        "a" * 40,
        "1" * 40,
        "took 1234567890123 ms",
        "parameter ssm:/iac-ci/jobs/one does not exist",
    ],
)
def test_ids_of_runs_and_commits_are_no_accounts(text):
    assert without_identities(text) == text


def test_what_commands_printed_is_shown_as_it_is():
    """Masking is for secrets; what else a command prints is its author's decision."""
    printed = "Error: arn:aws:iam::123456789012:role/deploy"
    run = run_row(report=ReportTarget(repository="https://gitlab.com/a/b", number=1))
    orders = [order_row(1, status=OrderState.FAILED, order_name="one")]
    assert printed in render(run, orders, logs=[FailedLog("0001", printed, is_whole=True)])


def test_the_logs_of_earlier_attempts_are_named():
    log = FailedLog("0001", "the end", is_whole=True, link="https://x/3", earlier=2)
    body = render(run_row(), [failed(1, attempt=3, attempts=3)], logs=[log])
    assert "| failed, attempt 3 of 3 |" in body
    last = f"`iac-ci logs {RUN_ID} 0001` or [here](https://x/3)"
    attempts = "".join(f"; of attempt {number}: `iac-ci logs {RUN_ID} 0001 --attempt {number}`" for number in (1, 2))
    assert f"The whole log: {last}{attempts}\n" in body


def test_what_is_changed_and_what_was_not_needed_is_shown_and_is_a_success():
    changed = order_row(1, status=OrderState.SUCCEEDED, changed=True)
    reason = "order-1 is not changed, which `when` requires"
    skipped = order_row(2, status=OrderState.SKIPPED, not_needed=True, reason=reason)
    run = run_row(status=RunState.SUCCEEDED, commit_hash="a" * 40)
    body = render(run, [changed, skipped])
    assert "| succeeded, changed |" in body
    assert "| skipped, not needed |" in body
    statuses = order_statuses(run, [changed, skipped])
    assert [status.state.value for status in statuses] == ["success", "success"]
    assert statuses[1].description.startswith("skipped, not needed: order-1 is not changed")


def test_every_command_of_a_comment_names_the_stack():
    logs = [FailedLog("0001", "tail", False, earlier=1)]
    style = CommentStyle(command_options=" --stack acme")
    body = render(run_row(), [order_row(1, status=OrderState.FAILED)], logs=logs, style=style)
    commands = re.findall(r"`(iac-ci [^`]*)`", body)
    assert {command.split()[1] for command in commands} == {"status", "logs"}
    assert all(command.endswith(" --stack acme") for command in commands)
