"""Approvals count only if they are of this head and by others than those who pushed, whatever events came before."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_vcs.provider import Account, Permission
from iac_ci_vcs.reviews import Approval, Approvals

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import HEAD, NEXT, WRITER, Hosted

BOB = Account("7", "bob")
CONFIGURATION = b"""
version: 1
jobs:
  apply:
    on: {command: apply}
    require: {approved: 1}
    orders: [{name: all, cmds: [./apply]}]
"""


@pytest.fixture
def engine():
    found = Hosted()
    found.configure(CONFIGURATION)
    found.host.permissions[BOB.id] = Permission.WRITE
    return found


def synchronize(engine, before, head, sender=WRITER):
    engine.clock.advance(60)
    engine.change(head_sha=head)
    payload = {
        "action": "synchronize",
        "before": before,
        "pull_request": {"number": 7, "head": {"sha": head}},
        "sender": {"id": int(sender.id), "login": sender.login},
    }
    engine.send("pull_request", payload)


def approve(engine, by=BOB):
    engine.clock.advance(60)
    engine.host.reviewed.approved = Approvals((Approval(by, engine.clock.now()),))
    engine.clock.advance(60)


def test_an_approval_of_this_head_by_another_person_counts(engine):
    engine.pull_request()
    approve(engine)
    engine.comment("/iac-ci apply")
    assert len(engine.jobs) == 1


@pytest.mark.parametrize("base", ["main", "unused"])
def test_who_pushed_does_not_count_whatever_the_base_branch_was(engine, base):
    engine.change(base_branch=base)
    engine.pull_request()
    synchronize(engine, HEAD, NEXT, BOB)
    engine.change(base_branch="main")
    engine.pull_request("edited", changes={"base": {"ref": {"from": base}}})
    approve(engine)
    engine.comment("/iac-ci apply")
    assert engine.jobs == []
    assert "bob has committed or pushed to it" in engine.answers[-1]


def test_an_approval_before_a_head_that_came_back_does_not_count(engine):
    engine.pull_request()
    approve(engine)
    # The webhook of the push to NEXT was lost; the approval may have been of that.
    synchronize(engine, NEXT, HEAD)
    engine.comment("/iac-ci apply")
    assert engine.jobs == []
    assert "bob approved before the engine had seen commit" in engine.answers[-1]


def test_an_event_that_is_processed_again_takes_no_approval_away(engine):
    engine.pull_request()
    synchronize(engine, HEAD, NEXT)
    repeated = engine.invoker.triggered[-1]
    approve(engine)
    engine.processor.process(repeated)
    engine.comment("/iac-ci apply")
    assert len(engine.jobs) == 1
    assert engine.clock.now() > engine.host.reviewed.approved.given[0].at + timedelta(seconds=1)
