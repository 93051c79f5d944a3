"""docs/glossary.md defines every term of ours and every state, in one sentence with one link."""

from __future__ import annotations

import re

import pytest

from documents.blocks import ROOT
from iac_ci_common.states import OrderState, RunState

TEXT = (ROOT / "docs" / "glossary.md").read_text("utf-8")

TERMS = {
    "acceptance", "announcement", "approval", "attempt", "base branch", "broker", "chain", "claim", "code host",
    "command", "concurrency group", "connection", "delivery",
    "done marker", "doorbell", "drift", "engine", "event", "flow id", "intent", "job", "ledger", "local cloud", "lock",
    "notice", "nudge", "order", "order number", "override", "package", "pass", "preparation", "project", "requirement",
    "result", "reviewed plan", "run", "run id", "schedule", "seal", "source",
    "stack", "status", "target", "tick", "ticket", "trace id", "trade", "trigger", "watchdog", "worker",
}  # fmt: skip
"""The project's own words, and the field's words that it uses in a narrower sense."""


def rows(heading):
    """Return the table below a heading: what is defined, and its meaning."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^\| (?!term|state|---)`?([^|`]+)`? \| (.*) \|$", section, re.MULTILINE))


def test_every_term_is_defined():
    assert rows("Terms").keys() == TERMS
    assert list(rows("Terms")) == sorted(TERMS)


@pytest.mark.parametrize(("heading", "states"), [("States of an order", OrderState), ("States of a run", RunState)])
def test_every_state_is_defined(heading, states):
    assert list(rows(heading)) == [state.value for state in states]


@pytest.mark.parametrize("heading", ["Terms", "States of an order", "States of a run"])
def test_each_definition_is_one_sentence_with_one_link(heading):
    for term, meaning in rows(heading).items():
        assert len(re.findall(r"\]\([^)]+\)", meaning)) == 1, term
        without_links = re.sub(r"\[([^\]]*)\]\([^)]+\)", r"\1", meaning)
        assert re.search(r"\.\s", without_links) is None, term
        assert meaning.endswith("."), term
