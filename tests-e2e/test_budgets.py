"""What a run costs in AWS calls: exact counts over init, orchestrator and worker."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile

import pytest
from counting import AwsEngine, Engine, MemoryEngine, chain, independent
from moto import mock_aws
from watchdog_rows import look

from iac_ci_common import keys
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.clock import SystemClock
from iac_ci_common.models.work import Work
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import MemoryLogger, MemorySealer
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.decide import Ending, Outcome
from iac_ci_worker.settings import WorkerSettings

SAME_SECOND = 1
"""A result for each call of the orchestrator: at ten milliseconds a call a hundred orders end within one second."""


WIDE, CHAIN, SINGLE, HOP = 7.40, 9.30, 23, 5
"""Calls per order of a hundred orders that end in the same second, of a chain of fifty, and of a single order, and the
calls that come one after another from a result to the next one. See docs/performance.md."""


class ClientExchange:
    """The worker's requests, made by the client whose calls are counted."""

    def __init__(self, objects: S3Objects, work: Work) -> None:
        self.objects, self.place, self.code = objects, (work.run_id, work.order_num), work.code_sha256

    def create_claim(self, url, claim):
        self.objects.create(keys.claim(*self.place), claim.model_dump_json().encode())

    def fetch(self, url, path):
        is_code = self.code is not None and path.name == "code.zip"
        path.write_bytes(self.objects.get(keys.code(self.code) if is_code else keys.package(*self.place)))

    def store_log(self, url, path):
        self.objects.put(keys.log(*self.place), path.read_bytes())

    def report(self, url, result):
        self.objects.create(keys.result(*self.place), result)
        return True


class NoBroker:
    """A short order on Lambda trades nothing, so that it costs no call of the broker."""

    def trade(self, trade):
        raise AssertionError("a short order on Lambda has traded")


class NoHeartbeat:
    """The commands end before the first heartbeat."""

    @contextlib.contextmanager
    def during(self, beat, first):
        yield


class InstantRunner:
    def run(self, commands, log, redactor):
        log.write_bytes(b"done\n")
        return Outcome(Ending.EXITED, 0, len(commands.cmds) - 1, len(commands.cmds))


class RealWorker:
    """The real worker, of which only the processes are a double."""

    def work(self, work):
        exchange = ClientExchange(self.internal, work)
        ports = WorkerPorts(
            SystemClock(), exchange, MemorySealer(), InstantRunner(), NoBroker(), NoHeartbeat(), MemoryLogger(),
            parallel=self.parallel,
        )  # fmt: skip
        assert Worker(ports, WorkerSettings()).run(work) is OrderState.SUCCEEDED


class WorkedEngine(RealWorker, AwsEngine):
    """On the real adapters."""


class SteppedEngine(RealWorker, MemoryEngine):
    """In memory."""


@pytest.fixture
def aws(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with mock_aws():
        yield


def calls_per_order(engine: Engine, orders, *, pace=0):
    engine.pace = pace
    assert engine.run(orders).status is RunState.SUCCEEDED
    return sum(engine.calls.values()) / len(orders)


@pytest.mark.full  # `.ci/run` counts in memory, and that the adapters make the same calls
def test_calls_of_a_hundred_orders_that_end_in_the_same_second(aws):
    engine = WorkedEngine()
    assert calls_per_order(engine, independent(100), pace=SAME_SECOND) == WIDE, engine.calls


def test_calls_of_a_hundred_orders_in_memory():
    assert calls_per_order(MemoryEngine(), independent(100), pace=SAME_SECOND) == WIDE


@pytest.mark.full
def test_calls_of_a_chain_of_fifty(aws):
    engine = WorkedEngine()
    assert calls_per_order(engine, chain(50)) == CHAIN, engine.calls


def test_calls_of_a_chain_of_fifty_in_memory():
    assert calls_per_order(MemoryEngine(), chain(50)) == CHAIN


def test_a_hop_of_a_chain_makes_five_calls_one_after_another(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine = SteppedEngine()
    engine.run(chain(50))
    # The first hop begins with the run itself. From each other result until the next one:
    assert engine.hops[1:] == [HOP] * 49


def test_the_first_comment_comes_after_five_calls_and_the_first_command_after_fifteen(monkeypatch, tmp_path):
    """One after another, from the webhook on; the requests to the code host and git's fetch come on top."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine, seen = SteppedEngine(), {}
    reports, repositories = engine.preparer._ports.reports, engine.preparer._ports.repositories
    job = {"git_repo": "https://git.example/acme/infra", "commit_hash": "a" * 40, "pr_number": 7}
    repositories.trees[job["git_repo"], job["commit_hash"]] = {"main.tf": b""}
    publish, run = reports.publish, InstantRunner.run
    monkeypatch.setattr(
        reports,
        "publish",
        lambda *given, **named: (seen.setdefault("comment", engine.steps), publish(*given, **named))[1],
    )
    monkeypatch.setattr(InstantRunner, "run", lambda *given: (seen.setdefault("command", engine.steps), run(*given))[1])
    engine.run(chain(2), **job)
    print(f"calls one after another: {seen['comment']} to the first comment, {seen['command']} to the first command")
    assert seen["comment"] <= 5
    assert seen["command"] <= 15


def test_calls_of_a_single_order():
    assert calls_per_order(MemoryEngine(), independent(1)) == SINGLE


@pytest.mark.parametrize("pace", [0, SAME_SECOND])
@pytest.mark.parametrize("orders", [independent(20), chain(5)], ids=["wide", "chain"])
def test_what_is_counted_in_memory_is_what_the_adapters_call(aws, orders, pace):
    assert calls_per_order(MemoryEngine(), orders, pace=pace) == calls_per_order(AwsEngine(), orders, pace=pace)


@pytest.mark.parametrize("pace", range(6))
def test_no_timing_of_results_costs_a_hundred_orders_more_than_nine_and_a_half_calls_each(pace):
    assert calls_per_order(MemoryEngine(), independent(100), pace=pace) <= 9.5


def test_an_event_that_finds_the_run_held_costs_one_call():
    alone, together = MemoryEngine(), MemoryEngine()
    alone.run(independent(100))
    together.pace = SAME_SECOND
    together.run(independent(100))
    passes = {engine: engine.calls["dynamodb.release"] + 1 for engine in (alone, together)}  # the last completes it
    assert passes[alone] == 101  # the trigger's, and one for each result
    assert passes[together] < 20
    assert alone.calls["dynamodb.ring"] == together.calls["dynamodb.ring"] == 101
    assert together.calls["s3.ListObjectsV2"] == 0


def test_the_end_of_a_run_is_announced_by_one_call_whatever_its_size():
    for orders in (independent(1), independent(100), chain(5)):
        engine = MemoryEngine()
        engine.run(orders)
        assert engine.calls["events.put"] == 1, engine.calls


def test_one_tree_is_uploaded_once_for_fifty_orders(aws):
    engine, archive = WorkedEngine(), io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("main.bin", os.urandom(300_000))
    engine.s3.put_object(Bucket="theirs", Key="code.zip", Body=archive.getvalue())
    engine.run([{"s3_location": "s3://theirs/code.zip"} for _ in range(50)])
    assert 0 < engine.bytes_of_code <= 1.1 * len(archive.getvalue())


@pytest.mark.parametrize(
    ("orders", "opened"), [(100, 10), pytest.param(1000, 100, marks=pytest.mark.full)], ids=["hundred", "thousand"]
)
def test_looking_after_orders_reads_two_rows_a_minute_while_nothing_changes(monkeypatch, orders, opened):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    looked = look(orders, opened)
    run = orders + 1
    # An execution for each open order and one for the run, which also read the lock.
    assert looked.before == (opened + 1) * run + 1
    # One execution: the lock and the run's row, or the lock and every row once after the run has changed.
    assert (looked.first, looked.changed, looked.unchanged) == (run + 1, run + 1, 2)
