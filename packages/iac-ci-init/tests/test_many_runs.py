"""A ledger forgets no run that it needs, however many jobs and commands a pull request has."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

from iac_ci_common import keys
from iac_ci_triggers.ledger import MAX_COMMANDS, MAX_RUNS, Ledger, ProcessedCommand, StartedRun

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import HEAD, NEXT, Hosted

JOBS = 100
MAX_ROW_BYTES = 400 * 1024


def many(word="check"):
    orders = "orders: [{name: all, cmds: [./check]}]"
    lines = [f"  job-{number}: {{on: {{pull_request: , command: {word}}}, {orders}}}" for number in range(JOBS)]
    return "\n".join(["version: 1", "jobs:", *lines]).encode()


def ledger(engine):
    return engine.ledgers.read(keys.pull_request_ledger("github.com/acme/infra", 7))


def test_an_event_of_a_hundred_jobs_starts_each_of_them_once():
    engine = Hosted()
    engine.configure(many())
    engine.pull_request()
    assert len(engine.jobs) == JOBS
    engine.pull_request("labeled")
    assert len(engine.jobs) == JOBS


def test_an_event_that_is_processed_again_after_a_crash_starts_nothing_twice():
    engine = Hosted()
    engine.configure(many())
    engine.pull_request()
    engine.processor.process(engine.invoker.triggered[-1])
    assert len(engine.jobs) == JOBS


def test_a_new_commit_cancels_every_run_that_may_be_open():
    engine = Hosted()
    engine.configure(many())
    engine.pull_request()
    engine.comment("/iac-ci check")
    engine.change(head_sha=NEXT)
    engine.pull_request("synchronize")
    stopped = [run for run in ledger(engine).runs if run.sha == HEAD]
    assert stopped
    assert all(run.cancel_reason is not None for run in stopped)
    assert len(engine.jobs) == 3 * JOBS


def test_what_ended_long_ago_makes_room():
    engine = Hosted()
    engine.configure(many())
    engine.pull_request()
    for _ in range(4):
        engine.clock.advance(timedelta(hours=26).total_seconds())
        engine.comment("/iac-ci check")
    assert len(ledger(engine).runs) == 2 * JOBS + 50


def test_the_fullest_ledger_fits_into_a_row():
    engine = Hosted()
    now = engine.clock.now()
    run = StartedRun(
        run_id="20260101T000000-0123456789ab",
        job="j" * 100,
        sha="a" * 64,
        intent="replan:20260101T000000-0123456789ab:0001:" + "o" * 100,
        started_at=now,
        base="b" * 244,
        configuration="c" * 64,
        cancel_reason="superseded by the base branch " + "b" * 244,
    )
    command = ProcessedCommand(intent="comment:12345678901234567890:9", trigger_id=run.run_id, at=now)
    full = Ledger(key="k", expires_at=now, runs=(run,) * MAX_RUNS, commands=(command,) * MAX_COMMANDS)
    assert len(json.dumps(full.model_dump(mode="json"))) < MAX_ROW_BYTES
