"""Which states of a pull request count as missed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_triggers.ledger import Ledger, ProcessedState, StartedRun
from iac_ci_triggers.missed import LEFT_TO_WEBHOOK, is_missed, is_recent
from iac_ci_vcs.provider import Account, ListedPullRequest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD, OTHER = "a" * 40, "b" * 40
LISTED = ListedPullRequest(7, Account("5", "ann"), HEAD, "main", NOW, labels=("b", "a"))
STATE = ProcessedState(sha=HEAD, base="main", labels=("a", "b"))


def ledger(**fields):
    return Ledger(key="pull:github.com/acme/infra#7", expires_at=NOW, **fields)


def run(**fields):
    known = {"sha": HEAD, "intent": "event", "started_at": NOW, "base": "main"}
    return StartedRun(run_id="20260101T000000-0123456789ab", job="plan", **(known | fields))


@pytest.mark.parametrize(
    ("listed", "known", "missed"),
    [
        (LISTED, None, True),
        (replace(LISTED, head=""), None, False),
        (LISTED, ledger(processed=STATE), False),
        (replace(LISTED, head=HEAD[:12]), ledger(processed=STATE), False),
        (replace(LISTED, head=OTHER), ledger(processed=STATE), True),
        (replace(LISTED, base_branch="next"), ledger(processed=STATE), True),
        (replace(LISTED, is_draft=True), ledger(processed=STATE), True),
        (replace(LISTED, labels=("a",)), ledger(processed=STATE), True),
        # A processed state counts more than runs: one of them may be older.
        (replace(LISTED, head=OTHER), ledger(processed=STATE, runs=(run(sha=OTHER),)), True),
        # A ledger of a version before has runs alone.
        (LISTED, ledger(), True),
        (LISTED, ledger(runs=(run(),)), False),
        (LISTED, ledger(runs=(run(base=None),)), False),
        (LISTED, ledger(runs=(run(base="next"),)), True),
        (LISTED, ledger(runs=(run(sha=OTHER),)), True),
        (LISTED, ledger(runs=(run(intent="comment:1:0"),)), True),
        # It was closed after the run, and is open again.
        (LISTED, ledger(runs=(run(),), closed_at=NOW + timedelta(minutes=1)), True),
        (LISTED, ledger(runs=(run(),), closed_at=NOW - timedelta(minutes=1)), False),
    ],
)
def test_a_state_is_missed_that_no_event_has_brought(listed, known, missed):
    assert is_missed(listed, known) is missed


@pytest.mark.parametrize(("after", "recent"), [(timedelta(), True), (LEFT_TO_WEBHOOK, False)])
def test_a_change_of_the_last_minutes_is_recent(after, recent):
    assert is_recent(LISTED, NOW + after) is recent
