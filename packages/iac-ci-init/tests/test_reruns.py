"""Running orders again: what starts, under whose rights, and what is refused."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from iac_ci_common import keys
from iac_ci_common.acceptance import Acceptance
from iac_ci_common.errors import InputProblems
from iac_ci_common.grants import Grant
from iac_ci_common.models.answer import RerunTask, StoredJob
from iac_ci_common.models.rows import JobScope
from iac_ci_common.states import RunState
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryLogger,
    MemoryObjects,
    MemoryRuns,
    MemoryWatchdogs,
)
from iac_ci_common.testing.samples import RUN_ID, START, run_row, stored_job
from iac_ci_init.reruns import RerunPorts, Reruns
from iac_ci_triggers.connections import Connection, Connections
from iac_ci_triggers.ledger import Ledger, StartedRun
from iac_ci_triggers.testing import MemoryLedgers

sys.path.insert(0, str(Path(__file__).parent))
from job_requests import settings

NEW = "20260102T000000-aaaaaaaaaaaa"
REPOSITORY = "https://github.com/acme/infra"
TOKEN = "ssm:/iac-ci/tokens/infra"
COMMIT = "a" * 40
GIT = {"git_repo": REPOSITORY, "commit_hash": COMMIT, "git_token_location": TOKEN}
SIGNED = GIT | {"git_token_location": "ssm:/iac-ci/jobs/token"}
ORDERS = [
    {"order_name": "plan", "save": ["tfplan"], "cmds": ["terraform plan"]},
    {"order_name": "apply", "dependencies": ["plan"], "restore": [{"order": "plan"}], "cmds": ["terraform apply"]},
    {"order_name": "tell", "dependencies": ["apply"]},
]
SECRET = {"order_name": "one", "secrets": {"TOKEN": "ssm:/iac-ci/jobs/x"}}


class World:
    """A stack in memory with one run that has ended."""

    def __init__(self, orders=ORDERS, *, secrets=("*",), **fields):
        own = {name: fields.pop(name) for name in ("source", "ledger", "branch", "job_name") if name in fields}
        self.stored = stored_job(orders, **fields).model_copy(update=own)
        self.clock = FakeClock(START + timedelta(days=1))
        self.objects, self.runs = MemoryObjects(self.clock), MemoryRuns()
        self.ledgers = MemoryLedgers(self.clock)
        self.invoker = MemoryAsyncInvoker()
        self.granted = []
        self.secrets = secrets
        self.connected = Connections(
            (Connection(repositories=(REPOSITORY,), webhook_secrets=("ssm:/hook",), token_location=TOKEN),)
        )
        self.objects.put(keys.past_job(RUN_ID), self.stored.model_dump_json().encode())
        self.ended()

    def ended(self, status=RunState.FAILED):
        self.runs.run_rows[RUN_ID] = run_row(status=status)

    def grant(self, source, now):
        self.granted.append(source)
        return Grant(secrets=tuple(self.secrets), roles=("*",))

    def rerun(self, *orders, **fields):
        acceptance = Acceptance(self.objects, MemoryWatchdogs(), self.invoker, MemoryLogger(), "done")
        ports = RerunPorts(self.clock, self.objects, self.runs, self.ledgers)
        reruns = Reruns(ports, acceptance, settings(), self.grant, lambda now: self.connected)
        answer = json.loads(reruns.accept(RerunTask(rerun=RUN_ID, as_run=NEW, orders=orders, **fields)))
        assert answer["run_id"] == NEW
        return StoredJob.from_stored(self.objects.get(keys.job(NEW)))

    def refused(self, *orders):
        before, started = dict(self.objects.objects), list(self.invoker.started)
        with pytest.raises(InputProblems) as caught:
            self.rerun(*orders)
        assert self.objects.objects == before
        assert self.invoker.started == started
        return str(caught.value)


def names(stored):
    return [order.order_name for order in stored.job.orders]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], ["plan", "apply", "tell"]),
        (["plan"], ["plan"]),
        (["tell"], ["tell"]),
        # What it takes its plan from runs too: no plan is applied twice.
        (["apply"], ["plan", "apply"]),
        (["2"], ["plan", "apply"]),
        (["0003", "1"], ["plan", "tell"]),
    ],
)
def test_the_orders_that_are_asked_for_run_with_those_they_need(asked, expected):
    stored = World().rerun(*asked)
    assert names(stored) == expected
    present = set(expected)
    assert all(set(order.dependencies) <= present for order in stored.job.orders)


def test_an_order_whose_when_names_another_runs_with_it():
    orders = [{"order_name": "a"}, {"order_name": "b", "dependencies": ["a"], "when": {"a": "changed"}}]
    orders[0]["cmds"] = [{"run": "true", "ok": [2]}]
    assert names(World(orders).rerun("b")) == ["a", "b"]


def test_the_new_run_says_what_it_repeats_and_who_asked_for_it():
    stored = World().rerun(by="alice")
    assert (stored.rerun_of, stored.actor, stored.source, stored.deadline > stored.accepted_at) == (
        RUN_ID, "alice", "api", True,
    )  # fmt: skip


def test_a_repeated_request_starts_one_run():
    world = World()
    first = world.rerun()
    assert world.rerun() == first
    assert set(world.invoker.started) == {NEW}


def test_the_code_is_fetched_again_at_its_commit():
    stored = World(**SIGNED).rerun()
    assert (stored.job.git_repo, stored.job.commit_hash) == (REPOSITORY, COMMIT)


def test_rights_are_those_of_today():
    assert World([SECRET]).rerun().job.orders[0].secrets
    assert "orders[0].secrets.TOKEN" in World([SECRET], secrets=()).refused()


def test_a_repositorys_run_keeps_its_source_and_needs_its_connection():
    world = World(source="github.com/acme/infra", branch="main", job_name="deploy", **GIT)
    stored = world.rerun("plan")
    assert (stored.source, stored.branch, stored.job_name, stored.scope) == (
        "github.com/acme/infra", "main", "deploy", None,
    )  # fmt: skip
    assert world.granted == ["github.com/acme/infra"]
    world.connected = Connections(())
    assert "is no longer connected" in world.refused("plan")


def test_a_token_that_is_not_of_the_connection_counts_for_nothing():
    assert "git_token_location" in World(**GIT).refused()
    other = World(source="github.com/acme/infra", **GIT | {"git_token_location": "ssm:/iac-ci/tokens/other"})
    assert "is no longer connected" in other.refused()


def test_a_pull_requests_run_is_left_to_its_pull_request():
    text = World(pr_number=7, scope=JobScope(base="main"), source="github.com/acme/infra", **GIT).refused()
    assert f"is of pull request 7 of {REPOSITORY}; write /iac-ci rerun-failed there" in text


def test_nothing_older_is_applied_after_a_newer_commit_of_its_branch():
    key = keys.branch_ledger("github.com/acme/infra", "main")
    world = World(source="github.com/acme/infra", ledger=key, job_name="deploy", **GIT)
    entry = {"job": "deploy", "sha": "b" * 40, "intent": "event", "started_at": START}
    newer = StartedRun(run_id="20260101T010000-0123456789ab", **entry)
    world.ledgers.write(Ledger(key=key, runs=(newer,), expires_at=START + timedelta(days=90)))
    assert "has begun a newer commit of the branch" in world.refused("apply")
    # A plan changes nothing.
    assert names(world.rerun("plan")) == ["plan"]


def test_code_that_came_with_the_job_is_there_for_a_day_and_its_end_is_said():
    location = f"s3://internal/{keys.code('c' * 64)}"
    world = World([{"order_name": "one", "s3_location": location}])
    text = world.refused()
    assert "orders[0].s3_location: the code of one was sent with the job and was kept for a day" in text
    assert "iac-ci submit --code" in text
    world.objects.put(keys.code("c" * 64), b"zip")
    assert names(world.rerun()) == ["one"]


@pytest.mark.parametrize("status", [RunState.QUEUED, RunState.RUNNING])
def test_a_run_that_has_not_ended_is_left_alone(status):
    world = World()
    world.ended(status)
    assert "has not ended" in world.refused()


def test_a_run_that_is_being_prepared_and_one_that_is_not_kept_are_told_apart():
    world = World()
    world.objects.delete([keys.past_job(RUN_ID)])
    assert "is not kept" in world.refused()
    world.runs.run_rows.clear()
    world.objects.put(keys.job(RUN_ID), b"{}")
    assert "is being prepared" in world.refused()


def test_a_run_is_being_prepared_until_its_rows_are_there_and_has_ended_when_they_are_gone():
    world = World()
    world.runs.run_rows.clear()
    # The preparation keeps the job before it writes the rows, which are kept for a day after the deadline.
    assert "is being prepared" in world.refused()
    world.clock.advance(24 * 3600)
    assert world.rerun().rerun_of == RUN_ID


def test_rows_that_are_gone_do_not_matter():
    world = World()
    world.runs.run_rows.clear()
    world.clock.advance(24 * 3600)
    assert names(world.rerun("plan")) == ["plan"]


def test_every_unknown_order_is_named():
    text = World().refused("nope", "9", "plan")
    assert "no order 'nope'" in text
    assert "no order '9'" in text


@pytest.mark.parametrize("by", ["", "a b", "x" * 65, "a\n"])
def test_a_name_that_no_session_can_carry_is_refused(by):
    with pytest.raises(ValidationError):
        RerunTask(rerun=RUN_ID, as_run=NEW, by=by)
