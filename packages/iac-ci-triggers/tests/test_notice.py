"""The engine's comments that are not about a run: they fit into what a host takes, and count what they leave out."""

from __future__ import annotations

import pytest

from iac_ci_common.errors import Problem
from iac_ci_triggers.notice import Paragraph, render_paragraphs
from iac_ci_vcs.provider import CommentStyle

LONG = "*" * 600
"""A text that is twice as long when it is escaped."""


def rendered(*paragraphs, max_chars=32_768):
    return render_paragraphs("answer:1", paragraphs, commit=None, style=CommentStyle(max_chars, has_html=False))


@pytest.mark.parametrize(
    "paragraph",
    [
        Paragraph("Title", (LONG,) * 60),
        Paragraph("Title", problems=tuple(Problem(f"jobs.{number}", LONG) for number in range(60))),
        Paragraph("Title", (LONG,) * 60, command="/iac-ci plan"),
    ],
)
def test_a_paragraph_that_does_not_fit_is_shown_as_far_as_it_does(paragraph):
    text = rendered(paragraph, Paragraph("Last"))
    shown = text.count("\n- ") - 1
    assert 20 < shown < 50
    assert f"… and {60 - shown} more\n" in text
    assert ("/iac-ci plan" in text) is (paragraph.command is not None)
    assert len(text) <= 32_768


@pytest.mark.parametrize(("lines", "shown"), [(50, 50), (51, 50)])
def test_few_items_are_shown_and_many_are_counted(lines, shown):
    text = rendered(Paragraph("Title", ("line",) * lines), Paragraph("Last"))
    assert text.count("\n- line") == shown
    assert ("… and 1 more" in text) is (lines > shown)
    assert text.endswith("\n\nLast")


def test_paragraphs_whose_titles_do_not_fit_are_counted():
    assert rendered(Paragraph("First"), *[Paragraph(LONG)] * 3, max_chars=1_200).endswith(
        "First\n\n… and 3 more paragraphs that do not fit here."
    )
