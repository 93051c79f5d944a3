"""The ways to make a plan stale: each is refused in its own words.

The command is checked, and then the apply when it is dispatched, when its worker starts, and by the tool.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from iac_ci_worker import stale_words

PACKAGES = Path(__file__).parents[2] / "packages"


def table(package, name):
    """Return the table ``STALE`` of a package's tests, which run every case of it."""
    path = PACKAGES / package / "tests" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_of_{package.replace('-', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.STALE


def test_the_ways_to_make_a_plan_stale_have_their_own_words():
    before = {words for _, words in table("iac-ci-init", "test_reviewed_plans").values()}
    at_dispatch = {words for _, words in table("iac-ci-orchestrator", "test_project_ledger").values()}
    at_start = {words for _, words in table("iac-ci-worker", "test_saved_plan")}
    by_the_tool = {why for _, why in stale_words._SUMMARIES}
    assert len(before | at_dispatch | at_start) == len(before) + len(at_dispatch) + len(at_start)
    words = before | at_dispatch | at_start | by_the_tool
    print(
        f"{len(words)} ways to make a plan stale, each with its own words: {len(before)} at the command, "
        f"{len(at_dispatch)} at the dispatch, {len(at_start)} at its start, {len(by_the_tool)} by the tool"
    )
    assert len(words) >= 20
