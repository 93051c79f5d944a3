"""Plans on the pull request's page, in a browser: collapsed, coloured as a diff, and no wider than the page."""

from __future__ import annotations

import pytest

from code_host.plan_page import SAMPLES, page_with, report
from iac_ci_local.fake_hosts import rendering


@pytest.mark.slow
def test_plans_are_collapsed_diffs_and_the_page_does_not_scroll_sideways():
    with page_with(*report()) as page:
        assert page.run("[...document.querySelectorAll('details')].map((one) => one.open)") == [False, False, False]
        assert page.run("document.querySelectorAll('tr').length") == len(SAMPLES) + 1
        page.run("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
        red = page.run("getComputedStyle(document.querySelector('pre .removed')).color")
        green = page.run("getComputedStyle(document.querySelector('pre .added')).color")
        assert red != green


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gitlab", "bitbucket"])
def test_the_other_hosts_pages_show_the_plans_and_no_markup(kind):
    with page_with(*report(kind), kind) as page:
        text = page.run("document.querySelector('article').innerText")
        assert page.run("document.querySelectorAll('pre').length") == 3
        assert "<details>" not in text
        assert "iac-ci:" not in text
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_diffs_lines_are_marked_and_nothing_in_them_is_html():
    shown = rendering.render("```diff\n+ <b>new\n- old\n! changed\n  same\n```")
    assert '<span class="added">+ &lt;b&gt;new</span>' in shown
    assert '<span class="removed">- old</span>' in shown
    assert '<span class="changed">! changed</span>' in shown
    assert "\n  same" in shown
