"""``/iac-ci unlock`` shows who holds and who waits for concurrency groups, and frees them for named people."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.groups import Wanted, ask, holders, new_group
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.ports import Transition
from iac_ci_common.purpose import Purpose
from iac_ci_common.states import OrderState
from iac_ci_triggers.commands import find_commands

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import REPOSITORY, STRANGER, WRITER, Hosted

CONFIGURATION = b"""
version: 1
jobs:
  deploy:
    on: {command: deploy}
    orders:
      - {name: deploy, cmds: [./deploy.sh], concurrency: {group: production}}
"""
OTHER = "20260101T000000-0123456789ab"
KEY = keys.named_group("github.com/acme/infra", "production")


@pytest.fixture
def hosted():
    hosted = Hosted()
    hosted.configure(CONFIGURATION)
    hosted.comment("/iac-ci deploy")
    (stored,) = hosted.jobs
    hosted.runs.insert(*build_rows(stored, max_parallel=10))
    # A run of another pull request holds the group, and this one's waits.
    other = stored.model_copy(update={"run_id": OTHER})
    hosted.runs.insert(*build_rows(other, max_parallel=10))
    group = new_group(KEY, hosted.clock.now())
    for run_id, pull in ((OTHER, 5), (stored.run_id, 7)):
        expires_at = hosted.clock.now() + timedelta(days=1)
        wanted = Wanted(run_id, "0001", "deploy", expires_at, pull_request=pull)
        group, _ = ask(group, wanted, hosted.clock.now())
    hosted.groups.write(group)
    hosted.own = stored.run_id
    return hosted


def name(hosted, person):
    """Let the operator name a person; a changed list is read within five minutes."""
    hosted.connect(repositories=[REPOSITORY], unlockers=[person.id])
    hosted.clock.advance(301)


def answer(hosted):
    return re.sub(r"\\([^\w\s])", r"\1", hosted.answers[-1])


def stop_reason(hosted, run_id=OTHER):
    return hosted.runs.find_order(run_id, "0001").stop_reason


def test_it_shows_the_holder_and_the_line(hosted):
    hosted.comment("/iac-ci unlock")
    shown = answer(hosted)
    assert (
        f"production: run {OTHER} of pull request 5 (deploy) holds it since 2026-01-01 00:00 UTC: {OTHER}/0001" in shown
    )
    assert f"production: number 1 in line is run {hosted.own} of pull request 7 (deploy)" in shown
    assert "RUN/ORDER" not in shown
    name(hosted, WRITER)
    hosted.comment("/iac-ci unlock")
    assert "/iac-ci unlock RUN/ORDER" in answer(hosted)


def test_nobody_frees_whom_the_operator_did_not_name(hosted):
    name(hosted, STRANGER)
    hosted.comment(f"/iac-ci unlock {OTHER}/0001 force")
    assert f"{OTHER}/0001 was not freed" in answer(hosted)
    assert stop_reason(hosted) is None
    assert [one.run_id for one in holders(hosted.groups.groups[KEY])] == [OTHER]


def test_a_named_person_asks_the_holder_to_stop_and_frees_nothing_before_its_end(hosted):
    name(hosted, WRITER)
    hosted.comment(f"/iac-ci unlock {OTHER}/0001")
    assert "is asked to stop. production is free when it has ended." in answer(hosted)
    assert "two applies may change the same infrastructure at once" in answer(hosted)
    assert stop_reason(hosted) == "ann freed the concurrency group production"
    assert [one.run_id for one in holders(hosted.groups.groups[KEY])] == [OTHER]


def test_with_force_it_is_freed_at_once_and_everybody_reads_the_risk(hosted):
    name(hosted, WRITER)
    hosted.comment(f"/iac-ci unlock {OTHER}/0001 force")
    assert "production is freed although run" in answer(hosted)
    assert "its commands may still run, and two applies may change the same infrastructure at once" in answer(hosted)
    assert stop_reason(hosted) is not None
    assert [one.run_id for one in holders(hosted.groups.groups[KEY])] == [hosted.own]
    assert hosted.objects.exists(keys.trigger(hosted.own))
    events = [event for event in hosted.runs.events(hosted.runs.find_run(OTHER).trace_id) if event.run_id == OTHER]
    freed = next(event for event in events if event.kind == "group_freed")
    assert freed.reason == "ann freed the concurrency group production before the end"
    # Lambda may invoke the function again.
    hosted.processor.process(hosted.invoker.triggered[-1])
    assert [one.run_id for one in holders(hosted.groups.groups[KEY])] == [hosted.own]


def test_a_run_that_holds_the_group_of_its_job_starts_nothing_more_and_its_applies_stop(hosted):
    group = hosted.groups.groups[KEY]
    entries = tuple(one.model_copy(update={"order_num": "0000"}) for one in group.entries)
    hosted.groups.write(group.model_copy(update={"entries": entries}))
    order = hosted.runs.find_order(OTHER, "0001")
    for status in (OrderState.DISPATCHING, OrderState.RUNNING):
        moved = order.model_copy(update={"status": status, "purpose": Purpose.APPLY})
        assert hosted.runs.apply([Transition(order, moved)]) == ()
        order = moved
    name(hosted, WRITER)
    hosted.comment(f"/iac-ci unlock {OTHER}/0000")
    assert "is asked to stop. production is free when it has ended." in answer(hosted)
    run, order = hosted.runs.find_run(OTHER), hosted.runs.find_order(OTHER, "0001")
    assert run.cancel_reason == "ann freed the concurrency group production"
    assert order.stop_wish(run) == "the order was stopped: ann freed the concurrency group production"
    assert [one.run_id for one in holders(hosted.groups.groups[KEY])] == [OTHER]


@pytest.mark.parametrize(
    ("target", "text"),
    [("own", "was not freed: it waits"), (f"{OTHER}/0002", "holds none of the concurrency groups")],
)
def test_only_a_holder_is_freed(hosted, target, text):
    name(hosted, WRITER)
    hosted.comment(f"/iac-ci unlock {f'{hosted.own}/0001' if target == 'own' else target} force")
    assert text in answer(hosted)
    assert len(hosted.groups.groups[KEY].entries) == 2


@pytest.mark.parametrize("words", ["production", f"{OTHER}", f"{OTHER}/0001 now", f"{OTHER}/0001 force force", "force"])
def test_other_words_are_answered_with_the_right_ones(words):
    found = find_commands(f"/iac-ci unlock {words}")
    assert found.commands == ()
    assert "unlock alone shows the groups" in found.problems[0]
