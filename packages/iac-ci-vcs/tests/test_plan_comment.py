"""Plans in comments: harmless whatever they hold, complete or counted, and rendered by what the hosts render with.

``cmarkgfm`` is GitHub's own renderer; Bitbucket renders with Python-Markdown, without HTML.
"""

from __future__ import annotations

import re

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown import Markdown

from iac_ci_common.models.changes import Changes, Done, Operation
from iac_ci_common.models.plan_text import PlannedResource, PlanText
from iac_ci_common.models.rows import JobScope, ReportTarget
from iac_ci_common.models.saved_plan import OrderProject, PlannedFile, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, order_row, run_row
from iac_ci_vcs.provider import CommentStyle
from iac_ci_vcs.reporting import FailedLog, OrderPlan, commit_status, order_statuses, render

GITHUB, GITLAB, BITBUCKET = CommentStyle(), CommentStyle(1_000_000), CommentStyle(32_768, has_html=False)
PLANNED, APPLIED = Operation.PLANNED, Operation.APPLIED
HOSTILE = [
    "+ x = <<-EOT\n```\n</details>\n# heading\n```\nEOT",
    "````````\n</summary></details><script>alert(1)</script>",
    "@everyone @org/team #1 !2 $3",
    "/close\n/merge\n/iac-ci apply\n  /approve",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\u202eadmin\u202c \u2066isolated\u2069 \u200bzero",
    "<!-- iac-ci:20260101T000000-000000000000 -->",
    "[//]: # (iac-ci:20260101T000000-000000000000)",
    "[link](javascript:alert(1)) https://example.com ![image](https://example.com/x.png)",
    "~~~diff\n+ forged\n~~~",
    "| a | b |\n|---|---|",
    "a\rb\r\nc\x00d",
]
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(), st.text(alphabet="`<>/details\n|@#~[]()!\\ +-"))


def resource(address, action="create", text=None):
    return PlannedResource(
        address=address, action=action, text=f"  # {address}\n+   resource" if text is None else text
    )


def planned(number, *resources, changes=None, warnings=(), left_out=0, **fields):
    changes = changes or Changes(operation=PLANNED, add=len(resources) or 1)
    row = order_row(number, status=OrderState.SUCCEEDED).model_copy(update={"changes": changes, **fields})
    return row, OrderPlan(row.order_num, PlanText(resources=resources, warnings=warnings, left_out=left_out))


def comment(pairs, style=GITHUB, run=None, **fields):
    orders, plans = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return render(run or run_row(), orders, plans=plans, style=style, **fields)


def as_github(markdown):
    return cmarkgfm.github_flavored_markdown_to_html(markdown, options=Options.CMARK_OPT_UNSAFE)


def as_bitbucket(markdown):
    renderer = Markdown(extensions=["fenced_code", "tables"])
    renderer.preprocessors.deregister("html_block")
    renderer.inlinePatterns.deregister("html")
    return renderer.convert(markdown)


def without_code(html):
    return re.sub(r"<pre.*?</pre>|<code>.*?</code>", "", html, flags=re.DOTALL)


TO_DESTROY = PlannedFile(sha256="b" * 64, tool="terraform", destroys=True)


def _applies(plan):
    saved = SavedPlan(
        run_id=RUN_ID, order_num="0001", order_name="plan", file="p", planned=plan, generation=0,
        files=Sealed(sha256="c" * 64, size=10, identity="YQ=="),
    )  # fmt: skip
    return OrderProject(key="a" * 64, name="live/net", applies=True, saved=saved)


@pytest.mark.parametrize(
    ("fields", "operation", "title"),
    [
        ({"planned": TO_DESTROY}, PLANNED, "Plan to destroy: order-1"),
        ({"project": _applies(TO_DESTROY)}, APPLIED, "Apply of a plan to destroy: order-1"),
    ],
)
def test_a_plan_to_destroy_is_shown_as_one_by_comment_and_statuses(fields, operation, title):
    changes = Changes(operation=operation, destroy=2)
    gone = resource("x.gone", "delete", "-   resource")
    pair = planned(1, gone, changes=changes, plan_sha256=TO_DESTROY.sha256, **fields)
    target = ReportTarget(
        repository="https://github.com/acme/infra", token_location="ssm:/x", pull_request=7, order_statuses=True
    )
    run = run_row(commit_hash="a" * 40, report=target)
    body = comment([pair], run=run)
    assert title in body
    assert f"plan to destroy `{'b' * 16}`" in body
    assert "to destroy: order-1" in commit_status(run, [pair[0]]).description
    (own,) = order_statuses(run, [pair[0]])
    assert "plan to destroy" in own.description
    other = pair[0].model_copy(update={"planned": None, "project": None})
    assert "to destroy" not in comment([(other, pair[1])], run=run) + commit_status(run, [other]).description


def test_a_plan_is_a_collapsed_diff_with_its_counts_and_what_it_destroys_in_the_summary():
    changes = Changes(operation=PLANNED, add=2, change=1, destroy=2, replace=1)
    gone, other = resource("x.gone", "delete", "-   resource"), resource("x.other", "replace", "-/+ resource")
    body = comment([planned(1, gone, other, resource("x.new"), changes=changes)])
    summary = "Plan of order-1: +2 ~1 -2, 1 replaced; destroys x.gone; replaces x.other"
    assert f"<details><summary>{summary}</summary>\n\n```diff\n-   resource\n\n-/+ resource\n" in body
    assert f"The whole output: `iac-ci logs {RUN_ID} 0001`\n</details>" in body
    html = as_github(body)
    assert html.count("<details>") == html.count("</details>") == 1
    assert '<pre lang="diff"><code>-   resource' in html


def test_the_heading_names_job_target_commit_and_person_and_not_the_run():
    scope = JobScope(base="main", whole=False, target="network")
    report = ReportTarget(repository="https://example.com/a/b", number=7, scope=scope)
    run = run_row(job_name="plan", report=report, actor="mona", commit_hash="a" * 40)
    html = as_github(comment([planned(1)], run=run))
    assert "<h3>plan network: running</h3>" in html or "<h3>plan network: queued</h3>" in html
    assert f"Commit {'a' * 40} · started by mona · run <code>{RUN_ID}</code>" in html
    assert not re.search(rf"<h\d>[^<]*{RUN_ID}", html)


def test_the_comment_says_why_the_engine_started_a_run_by_itself():
    because = "planned again because run 20260101T000000-aaaaaaaaaaaa of pull request 12 applied live/*net*"
    report = ReportTarget(repository="https://example.com/a/b", number=7, scope=JobScope(base="main", because=because))
    html = as_github(comment([planned(1)], run=run_row(job_name="plan", report=report, actor="mona")))
    assert because in html
    assert "started by" not in html


def test_plans_that_destroy_come_first():
    harmless = planned(1, resource("x.new"))
    risky = planned(2, resource("x.gone", "delete"), changes=Changes(operation=PLANNED, destroy=1))
    body = comment([harmless, risky])
    assert body.index("Plan of order-2") < body.index("Plan of order-1")


def test_an_apply_that_failed_says_what_was_done():
    changes = Changes(operation=PLANNED, add=2, done=Done(add=1))
    assert "Plan of order-1: +1 ~0 -0 done of +2 ~0 -0" in comment([planned(1, resource("x"), changes=changes)])


def test_unknown_changes_are_not_no_changes():
    row = order_row(1, status=OrderState.SUCCEEDED).model_copy(update={"changes_unknown": True})
    body = render(run_row(), [row])
    assert "| unknown |" in body
    assert "no changes" not in body


def test_warnings_stand_below_the_plan_and_are_counted():
    body = comment([planned(1, resource("x"), warnings=tuple(f"Argument {n} is deprecated" for n in range(7)))])
    assert body.count("- Warning: Argument") == 5
    assert "- 2 more warnings" in body


@pytest.mark.parametrize("style", [GITHUB, BITBUCKET])
def test_a_resource_that_is_too_long_hides_none_of_the_shorter_ones_after_it(style):
    long = resource("x.dashboard", text=f"+   resource {'y' * style.max_chars}")
    small = [resource(f"x.small{number}", text=f"+   small{number}") for number in range(3)]
    body = comment([planned(1, long, *small, left_out=2)], style)
    assert "+   small0\n\n+   small1\n\n+   small2\n```" in body
    assert "3 more resources are not shown." in body


@pytest.mark.parametrize("style", [GITHUB, BITBUCKET])
@pytest.mark.parametrize(("count", "lines"), [(2, 60), (8, 1)])
def test_a_long_log_leaves_the_plans_half_of_the_comment(style, count, lines):
    text = "\n".join(f'+   key_{number} = "value"' for number in range(lines))
    pairs = [planned(number, resource("a.b", text=f"{text}\nend")) for number in range(1, count + 1)]
    failed = order_row(99, status=OrderState.FAILED)
    log = FailedLog(failed.order_num, "a line of the log\n" * 15_000, is_whole=False)
    body = render(
        run_row(), [*(row for row, _ in pairs), failed], logs=[log], plans=[plan for _, plan in pairs], style=style
    )
    assert len(body) <= style.max_chars
    assert body.count("\nend\n") == count
    assert body.count("a line of the log") * 18 > style.max_chars // 3
    assert "not shown" not in body


@pytest.mark.parametrize("style", [GITHUB, GITLAB, BITBUCKET])
@pytest.mark.parametrize("lines", [1, 40, 600])
def test_comments_of_300_orders_are_within_the_limit_of_each_host_and_leave_nothing_out_silently(style, lines):
    text = "\n".join(f'+   key_{number} = "value"' for number in range(lines))
    pairs = [planned(number, resource("a.b", text=text), resource("c.d", text=text)) for number in range(1, 301)]
    body = comment(pairs, style)
    assert len(body) <= style.max_chars
    shown = body.count("Plan of ") - body.count("The plans of")
    hidden = re.search(r"The plans of (\d+) more orders", body)
    assert body.count("Plan of order") + (int(hidden[1]) if hidden else 0) == 300, shown
    assert hidden is not None or style is not BITBUCKET


@given(
    st.integers(1_500, 70_000), st.lists(st.tuples(TEXTS, st.integers(1, 400)), min_size=1, max_size=8), st.booleans()
)
@settings(deadline=None)
def test_no_limit_is_exceeded_and_resources_are_shown_whole_or_counted(limit, texts, has_html):
    resources = [resource(f"x.r{n}", text=f"begin{n} {text * times} end{n}") for n, (text, times) in enumerate(texts)]
    body = comment([planned(1, *resources)], CommentStyle(limit, has_html))
    assert len(body) <= limit
    begun = sum(f"begin{n} " in body for n in range(len(texts)))
    ended = sum(f" end{n}" in body for n in range(len(texts)))
    assert begun == ended
    left_out = re.search(r"(\d+) more resources? (?:is|are) not shown", body)
    if "Plan of" in body and "```" in body:
        assert begun + (int(left_out[1]) if left_out else 0) == len(texts)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_plans_do_no_harm_on_hosts_with_html(text):
    plan = planned(1, resource(text, "delete", text), resource("b", text=text), warnings=(text,), order_name=text)
    body = comment([plan, planned(2, resource("x"))], logs=[FailedLog("0002", text, is_whole=True)])
    html = as_github(body)
    outside = without_code(html)
    assert html.count("<details>") == html.count("</details>") == 3
    assert not re.search(
        r"<(?!/?(?:details|summary|h3|p|table|thead|tbody|tr|th|td|ul|li|em|strong|br)\b|!--)", outside
    )
    assert outside.count("<!--") == 1
    assert "<a " not in html
    assert "<img" not in html
    assert not re.search(r"@(?!\u200b)\w", outside)
    assert "<h1" not in outside
    harmless(body)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_plans_do_no_harm_on_bitbucket(text):
    plan = planned(1, resource(text, "delete", text), resource("b", text=text), warnings=(text,), order_name=text)
    body = comment([plan, planned(2, resource("x"))], BITBUCKET)
    html = as_bitbucket(body)
    outside = without_code(html)
    assert body.startswith(f"[//]: # (iac-ci:{RUN_ID})")
    assert "iac-ci:" not in outside.replace("iac-ci:20260101T000000-000000000000", "")
    assert "&lt;details" not in outside.replace("&lt;/details", "")
    assert "<h1" not in outside
    assert "<a " not in outside
    assert "<img" not in outside
    assert html.count("<pre>") == 2
    harmless(body)


@pytest.mark.parametrize("scheme", ["http", "HTTPS", "ftp", "ssh", "git+ssh", "smb", "x-apple.y"])
def test_an_address_in_a_reason_is_no_link(scheme):
    body = render(run_row(reason=f"see {scheme}://example.com/x or www.example.com"), [])
    assert "<a " not in as_github(body)
    # GitLab makes a link of every scheme.
    assert not re.search(r"\w://", body)


def harmless(body):
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", body)
    assert not re.search(r"^/", body, re.MULTILINE)
