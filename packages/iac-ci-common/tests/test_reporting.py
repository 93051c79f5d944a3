from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.reporting import MAX_COMMENT_CHARS, escape, marker, render
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row


def test_a_comment_carries_marker_tag_states_and_reasons():
    run = run_row(
        status=RunState.FAILED, report=ReportTarget(repository="https://example.com/a/b", number=1, search_tag="my tag")
    )
    ended = {"started_at": START, "ended_at": START + timedelta(seconds=90)}
    body = render(run, [order_row(1, status=OrderState.FAILED, reason="exit code 1", **ended), order_row(2, after=[1])])
    assert body.startswith(marker(RUN_ID))
    for part in ("my tag", "failed", "exit code 1", "1 min 30 s"):
        assert part in body


@given(st.text())
def test_no_text_breaks_out_of_its_cell(text):
    escaped = escape(text)
    assert "\n" not in escaped
    assert "\r" not in escaped
    unescaped = escaped.replace("\\\\", "")
    for special in "|<`@":
        assert all(before == "\\" for before in _before(unescaped, special))


def _before(text: str, character: str) -> list[str]:
    return [text[index - 1] if index else "" for index, one in enumerate(text) if one == character]


def test_a_comment_that_would_be_too_long_says_what_it_leaves_out():
    body = render(
        run_row(), [order_row(number, reason="x" * 1000, status=OrderState.FAILED) for number in range(1, 201)]
    )
    assert len(body) <= MAX_COMMENT_CHARS
    assert "more orders are not shown" in body
