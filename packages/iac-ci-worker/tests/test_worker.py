from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists, NotFound, PortFailed, UrlExpired
from iac_ci_common.identity_context import IdentityContext
from iac_ci_common.limits import LOG_IN_RESULT_BYTES, MAX_RESULT_BYTES
from iac_ci_common.models.manifest import (
    ENCRYPTED_IDENTITY_NAME,
    IDENTITY_NAME,
    MANIFEST_NAME,
    SEALED_NAME,
    Manifest,
)
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.tools import StoredTool
from iac_ci_common.models.trade import BegunOrder
from iac_ci_common.models.work import BuildOrder, Work
from iac_ci_common.order_logs import OrderLog, read_log
from iac_ci_common.packing import write
from iac_ci_common.ports import Transition
from iac_ci_common.redaction import Redactor
from iac_ci_common.states import OrderState
from iac_ci_common.testing import FakeClock, MemoryBroker, MemoryLogger, MemoryObjects, MemoryRuns, MemorySealer
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_common.tickets import digest, new_ticket
from iac_ci_common.work_urls import invocation_urls
from iac_ci_worker import act, log_writer, packages, process_table, processes
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.decide import Ending, Outcome, allowance, is_whole_in_result, log_tail, verdict
from iac_ci_worker.live_log import LiveLog
from iac_ci_worker.processes import adopt_orphans, descendants, watched_end
from iac_ci_worker.runner import BashRunner
from iac_ci_worker.settings import WorkerSettings

SECRET = "planted-worker-secret"
PLACE = (RUN_ID, "0001")
DISPATCH = str(int(START.timestamp() * 1000))


class MemoryExchange:
    """The exchange over a bucket in memory."""

    def __init__(self, objects):
        self.objects = objects
        self.log_fails = False
        self.sessions_end_at = None

    def create_claim(self, url, claim):
        self.ends_at("claim")
        self.objects.use_url(url, claim.model_dump_json().encode())
        self.ends_at("after claim")

    def read_claim(self, url):
        self.ends_at("claim check")
        body = self.objects.use_url(url)
        return Claim.model_validate_json(body) if body != b"{}" else None

    def fetch(self, url, path):
        self.ends_at(path.name)
        path.write_bytes(self.objects.use_url(url))

    def store_log(self, url, path):
        self.ends_at("log")
        if self.log_fails:
            raise PortFailed("the log: HTTP 500")
        self.objects.use_url(url, path.read_bytes())

    def send_part(self, url, body):
        self.objects.use_url(url, body)

    def report(self, url, result):
        self.ends_at("result")
        try:
            self.objects.use_url(url, result)
        except AlreadyExists:
            return False
        return True

    def ends_at(self, step):
        """End the session that signed the URLs, once, at this step."""
        if self.sessions_end_at == step:
            self.sessions_end_at = None
            self.objects.end_sessions()
            if step == "after claim":
                raise UrlExpired("the claim: its answer was lost, and the repetition met an ended session")


class Beats:
    """Beats ``beats`` times, before the commands."""

    def __init__(self):
        self.beats = 0
        self.seconds = []
        """What the worker waits before each beat, and would wait before the next."""

    @contextlib.contextmanager
    def during(self, beat, first):
        self.seconds.append(first)
        self.seconds += [beat() for _ in range(self.beats)]
        yield


class NoParts(LiveLog):
    """Sends no part of the log: how many are sent depends on how long the commands take on this machine."""

    @contextlib.contextmanager
    def during(self):
        yield


class World:
    live_log = NoParts

    def __init__(
        self,
        cmds,
        *,
        env=None,
        secrets=None,
        age=False,
        before=False,
        role=None,
        folder=None,
        timeout=300,
        settings=None,
        grace=1,
        **manifest,
    ):
        """Pack an order; ``before`` seals as the version before did, ``age`` with an identity that the order names."""
        self.clock = FakeClock(START)
        self.objects = MemoryObjects(self.clock)
        self.sealer = MemorySealer()
        self.logger = MemoryLogger()
        files = {
            MANIFEST_NAME: Manifest(
                run_id=RUN_ID, order_num="0001", order_name="order", flow_id="f", cmds=tuple(cmds), folder=folder,
                env_vars=env or {}, sealed=secrets is not None, sealed_with_age=age,
                assumes_role=True if role is not None else None, **manifest,
            ).model_dump_json().encode()
        }  # fmt: skip
        if secrets is not None:
            recipient = "age1" if age or not before else None
            files[SEALED_NAME] = self.sealer.seal(secrets, run_id=RUN_ID, age_recipient=recipient)
        if secrets is not None and not before:
            context = IdentityContext("iac-ci", "api", RUN_ID)
            files[ENCRYPTED_IDENTITY_NAME] = self.sealer.encrypt_identity("AGE", context)
        if age and before:
            files[IDENTITY_NAME] = self.sealer.seal({"identity": "AGE"}, run_id=RUN_ID)
        self.files, self.tools = files, ()
        self.package = self.put_zip(keys.package(*PLACE), files)
        self.code, self.role = None, role
        self.timeout, self.grace = timeout, grace
        self.runs, self.ticket = MemoryRuns(), new_ticket()
        self.broker = MemoryBroker(self.runs, self.objects, self.clock)
        self.heartbeat = Beats()
        self.settings = WorkerSettings(**({"command_path": os.environ["PATH"]} | (settings or {})))
        self.exchanging(MemoryExchange)

    def exchanging(self, exchange):
        """Use another exchange."""
        self.exchange = exchange(self.objects)
        ports = WorkerPorts(
            self.clock, self.exchange, self.sealer, BashRunner(), self.broker, self.heartbeat,
            self.logger, self.clock.advance, live_log=self.live_log,
        )  # fmt: skip
        self.worker = Worker(ports, self.settings)
        return self

    def put_zip(self, key, files):
        archive = io.BytesIO()
        write(archive, files)
        self.objects.put(key, archive.getvalue())
        return hashlib.sha256(archive.getvalue()).hexdigest()

    def with_code(self, files):
        self.code = self.put_zip(keys.code("a" * 64), files)
        self.put_zip(keys.code(self.code), files)
        return self

    def dispatched(self, **run):
        """Store the order as it is dispatched, and return its row."""
        order = order_row(
            1,
            timeout=self.timeout,
            stop_grace=self.grace,
            code_sha256=self.code,
            package_sha256=self.package,
            assume_role=self.role,
            tools=self.tools,
        )
        sent = order.model_copy(
            update={
                "status": OrderState.DISPATCHING,
                "dispatched_at": START,
                "order_deadline": START + timedelta(seconds=max(300, self.timeout)),
                "tickets": (f"{DISPATCH}:{digest(self.ticket)}",) if self.ticket else (),
            }
        )
        self.runs.insert(run_row(**({"source": "api"} | run)), [order], [])
        self.runs.apply([Transition(order, sent)])
        return sent

    def work(self, **run):
        order = self.dispatched(**run)
        return Work(
            run_id=RUN_ID,
            order_num="0001",
            trace_id="0" * 16,
            dispatch=DISPATCH,
            timeout=self.timeout,
            stop_grace=self.grace,
            not_after=order.order_deadline,
            urls=invocation_urls(self.objects, order, seconds=600),
            package_sha256=order.package_sha256,
            code_sha256=order.code_sha256,
            ticket=self.ticket,
        )

    def build(self, **run):
        self.dispatched(**run)
        return BuildOrder(run_id=RUN_ID, order_num="0001", dispatch=DISPATCH, ticket=self.ticket)

    def run(self, **run):
        self.worker.run(self.work(**run))
        return self.result

    @property
    def result(self):
        return Result.model_validate_json(self.objects.get(keys.result(*PLACE)))

    @property
    def log(self):
        """The log, also if it is not stored whole."""
        return self.stored_log.text

    @property
    def stored_log(self):
        """What is stored of the log, None if nothing is."""
        return read_log(self.objects, *PLACE)

    @property
    def log_object(self):
        """The object of the log, None if it has none."""
        return self.objects.objects.get(keys.log(*PLACE))


@pytest.fixture(autouse=True, scope="module")
def orphans():
    adopt_orphans()


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == [], "an order left something behind"


def without_ends(log):
    """Return a log without the lines that say how each command ended."""
    return re.sub(r"(?m)^\[iac-ci\] (exit code|ended by signal) \d+ after \d+\.\d s\n", "", log)


def test_commands_run_in_order_with_both_streams_as_they_come():
    world = World(["echo one; echo two >&2; echo three", "echo four"])
    result = world.run()
    assert (result.status, result.exit_code, result.reported_by) == (OrderState.SUCCEEDED, 0, Reporter.WORKER)
    printed = [line for line in without_ends(world.log).splitlines() if not line.startswith("$ ")]
    assert printed == ["one", "two", "three", "four"]
    assert result.log_tail == world.log


def test_commands_that_leave_no_process_cost_no_look_at_all_processes(monkeypatch):
    def never(*_):
        raise AssertionError("/proc was searched")

    monkeypatch.setattr(processes, "processes", never)
    monkeypatch.setattr(process_table, "_stats", never)
    assert World(["echo one", "true | cat"]).run().status is OrderState.SUCCEEDED


@pytest.mark.parametrize("error", [OSError(errno.ENOSYS, "no such call"), PermissionError()])
def test_without_descriptors_of_processes_commands_run_too(monkeypatch, error):
    def refuses(_):
        raise error

    monkeypatch.setattr(os, "pidfd_open", refuses)
    result = World(["sleep 0.01", "exit 7"]).run()
    assert (result.status, result.exit_code) == (OrderState.FAILED, 7)
    assert World(["sleep 60"], timeout=1).run().status is OrderState.TIMED_OUT


def test_the_end_of_a_command_is_an_event_and_not_a_look(monkeypatch):
    def never(*_, **__):
        raise AssertionError("the process was looked at until it ended")

    monkeypatch.setattr(time, "sleep", never)
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    with watched_end(child) as wait:
        assert wait(0) is None
        child.stdin.close()
        # Python's own wait sleeps between its looks.
        assert wait(60) == 0


def test_the_first_command_that_fails_ends_the_order():
    result = World(["echo one", "exit 7", "echo never"]).run()
    assert (result.status, result.exit_code, result.failed_command) == (OrderState.FAILED, 7, "exit 7")
    assert "command 2 of 3" in result.reason
    assert "never" not in result.log_tail


@pytest.mark.parametrize("command", ["false | true", "false; true", "echo $NOT_SET"])
def test_commands_are_strict(command):
    assert World([command]).run().status is OrderState.FAILED


@pytest.mark.parametrize("command", ["-n", "+e; true", "--version", "- true"])
def test_a_command_is_no_option_of_its_shell(command):
    result = World([command]).run()
    assert result.status is OrderState.FAILED
    assert f"{command.split(';')[0].split()[0]}: command not found" in result.log_tail


def test_code_and_folder_are_there():
    world = World(["cat main.tf; pwd"], folder="infra").with_code({"infra/main.tf": b"content"})
    assert "content" in world.run().log_tail


@pytest.mark.parametrize("by", ["work", "build"])
@pytest.mark.parametrize("what", ["package", "code"])
def test_a_swapped_archive_is_not_unpacked(what, by):
    """Who may write the bucket cannot change what runs: the digests come from the order's row."""
    world = World(["echo mine"]).with_code({"main.tf": b"content"})
    sent = getattr(world, by)()
    other = World(["echo swapped"]).with_code({"main.tf": b"swapped"})
    key = keys.package(*PLACE) if what == "package" else keys.code(world.code)
    world.objects.put(key, other.objects.get(keys.package(*PLACE) if what == "package" else keys.code(other.code)))
    (world.worker.run if by == "work" else world.worker.run_build)(sent)
    assert world.result.status is OrderState.FAILED
    assert f"the {what} is not the one that was prepared for the run" in world.result.reason
    assert world.stored_log.data == b"", "no command started"


def test_work_of_a_version_before_digests_runs():
    world = World(["echo ran"])
    world.package = None
    assert world.run().status is OrderState.SUCCEEDED


@pytest.mark.parametrize("folder", ["nothing", "../.."])
def test_a_folder_that_is_not_there_is_an_early_error_with_a_callback(folder):
    result = World(["true"], folder=folder).with_code({"a": b""}).run()
    assert result.status is OrderState.FAILED
    assert "folder" in result.reason


def test_who_has_no_claim_runs_nothing(temporary):
    world = World(["echo ran"])
    world.objects.put(keys.claim(*PLACE), b"{}")
    assert world.worker.run(world.work()) is None
    assert not world.objects.exists(keys.result(*PLACE))


def test_a_second_worker_for_the_same_order_leaves():
    world = World(["true"])
    assert world.worker.run(world.work()) is OrderState.SUCCEEDED
    assert world.worker.run(world.work()) is None


class TogetherExchange(MemoryExchange):
    """Neither the claim nor the first request for the package is answered before both were sent."""

    def __init__(self, objects):
        super().__init__(objects)
        self.both_sent = threading.Barrier(2)
        self.fetched = []

    def create_claim(self, url, claim):
        self.both_sent.wait(120)
        super().create_claim(url, claim)

    def fetch(self, url, path):
        if not self.fetched:
            self.both_sent.wait(120)
        self.fetched.append(path.name)
        super().fetch(url, path)


def test_the_claim_is_made_while_the_package_is_fetched_once():
    world = World(["true"]).exchanging(TogetherExchange)
    assert world.run().status is OrderState.SUCCEEDED
    assert world.exchange.fetched == ["exec.zip"]


def test_a_refused_claim_opens_nothing_of_the_package(monkeypatch):
    world = World(["true"], secrets={"TOKEN": SECRET}).exchanging(TogetherExchange)
    world.objects.put(keys.claim(*PLACE), b"{}")
    for opens in ("unpack", "_begun"):
        monkeypatch.setattr(packages, opens, lambda *args: pytest.fail("the package was opened"))
    assert world.worker.run(world.work()) is None
    assert world.exchange.fetched == ["exec.zip"]
    assert world.broker.trades == []


def test_a_package_that_cannot_be_fetched_during_the_claim_is_fetched_after_it():
    class Interrupted(MemoryExchange):
        fetches = 0

        def fetch(self, url, path):
            self.fetches += 1
            if self.fetches == 1:
                path.write_bytes(b"half of")
                raise OSError(errno.ENOSPC, "full")
            super().fetch(url, path)

    world = World(["true"]).exchanging(Interrupted)
    assert world.run().status is OrderState.SUCCEEDED
    assert world.exchange.fetches == 2


def test_who_comes_too_late_runs_nothing():
    world = World(["echo ran"])
    world.clock.advance(301)
    result = world.run()
    assert result.status is OrderState.TIMED_OUT
    assert world.stored_log.data == b""


def test_secrets_reach_the_commands_and_nothing_else():
    shown = 'echo "$TOKEN"; printf %s "$TOKEN" | base64; printf %s "$TOKEN" | xxd -p 2>/dev/null || true; false'
    world = World([shown], secrets={"TOKEN": SECRET})
    result = world.run()
    assert result.log_tail.count("***") >= 2
    everything = b"".join(body for key, body in world.objects.objects.items() if "exec" not in key)
    assert SECRET.encode() not in everything
    import base64

    assert base64.b64encode(SECRET.encode())[:-4] not in everything
    assert SECRET not in str(world.logger.lines)


def test_a_failing_command_that_holds_a_secret_is_redacted():
    result = World([f"false {SECRET}"], secrets={"TOKEN": SECRET}).run()
    assert result.failed_command == "false ***"


@pytest.mark.parametrize("age", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_sealed_secrets_are_opened_with_what_the_broker_gives(age, before):
    world = World(['[ "$A" = b ]'], secrets={"A": "b"}, age=age, before=before)
    assert world.run().status is OrderState.SUCCEEDED


@pytest.mark.parametrize("age", [False, True])
def test_an_order_of_a_version_before_tickets_is_unsealed_by_its_worker(age):
    world = World(['[ "$A" = b ]'], secrets={"A": "b"}, age=age, before=True)
    world.ticket = None
    assert world.run().status is OrderState.SUCCEEDED


ROLE = "arn:aws:iam::123456789012:role/deployer"


def test_commands_get_the_credentials_of_their_role_and_the_log_does_not():
    world = World(['[ -n "$AWS_SESSION_TOKEN" ]', "env"], secrets={"A": SECRET}, role=ROLE)
    result = world.run()
    assert result.status is OrderState.SUCCEEDED
    assert f"secret-of-{ROLE}" not in result.log_tail
    assert "AWS_SECRET_ACCESS_KEY=***" in result.log_tail


PRINT = (
    "import datetime, hashlib, boto3, os; found = boto3.Session().get_credentials(); "
    "found._time_fetcher = lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc); "
    "print('method', found.method, 'key', hashlib.sha256(found.secret_key.encode()).hexdigest()); "
    "print('secret', found.secret_key, found.token); "
    "path = os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']; "
    "print('mode', oct(os.stat(path).st_mode & 0o777), open(path).read())"
)
QUIET = {"AWS_EC2_METADATA_DISABLED": "true"}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_commands_read_the_credentials_from_the_endpoint_and_none_is_in_their_environment():
    show = "env | grep -E '^AWS_(ACCESS|SECRET|SESSION)' && exit 1; true"
    world = World([show, f'{sys.executable} -c "{PRINT}"'], env=QUIET, role=ROLE, credentials="endpoint")
    result = world.run()
    assert result.status is OrderState.SUCCEEDED, result.log_tail
    assert f"method container-role key {sha256(f'secret-of-{ROLE}')}" in result.log_tail
    assert "secret *** ***\nmode 0o400 ***\n" in result.log_tail


def test_a_heartbeat_renews_and_the_log_masks_what_it_brought():
    world = World([f'{sys.executable} -c "{PRINT}"'], env=QUIET, role=ROLE, credentials="endpoint", timeout=7200)
    world.heartbeat.beats = 50
    trade = world.broker.trade

    def minute(asked):
        world.clock.advance(60)
        return trade(asked)

    world.broker.trade = minute
    result = world.run(deadline=START + timedelta(hours=3))
    assert result.status is OrderState.SUCCEEDED, result.reason
    assert sum(asked.renews for asked in world.broker.trades) == 1
    assert f"key {sha256(f'secret-of-{ROLE}-2')}" in result.log_tail
    assert "secret *** ***\n" in result.log_tail


@pytest.mark.parametrize("chosen", ["environment", None])
def test_credentials_are_in_the_environment_where_the_order_chose_so(chosen):
    """Also in the package of a version before, whose commands may read them there."""
    show = 'echo "${AWS_CONTAINER_CREDENTIALS_FULL_URI-none}"; printf %s "$AWS_SECRET_ACCESS_KEY" | sha256sum'
    world = World([show], role=ROLE, credentials=chosen)
    tail = world.run().log_tail
    assert f"none\n{sha256(f'secret-of-{ROLE}')}" in tail


def test_a_broker_of_the_version_before_renews_nothing_and_ends_nothing():
    world = World(["true"], role=ROLE, credentials="endpoint", timeout=7200)
    world.heartbeat.beats = 100
    trade = world.broker.trade

    def minute(asked):
        world.clock.advance(60)
        answer = trade(asked.model_copy(update={"renews": False}))
        begun = answer.begun and answer.begun.model_copy(update={"credentials_end": None})
        return answer.model_copy(update={"begun": begun})

    world.broker.trade = minute
    assert world.run(deadline=START + timedelta(hours=3)).status is OrderState.SUCCEEDED
    assert "of a version that renews nothing" in str(world.logger.lines)


def test_an_order_without_secrets_and_role_asks_for_nothing():
    world = World(["true"])
    world.run()
    assert not any(trade.begins for trade in world.broker.trades)


def test_an_order_that_cannot_begin_fails_with_the_reason():
    world = World(["true"], role=ROLE)
    world.broker._begin = lambda run, order: BegunOrder(failure="the role could not be assumed")
    result = world.run()
    assert (result.status, result.reason) == (
        OrderState.FAILED, "the order could not be started: the role could not be assumed",
    )  # fmt: skip


def test_a_broker_of_the_version_before_is_asked_again():
    world = World(['[ -n "$AWS_SESSION_TOKEN" ]'], role=ROLE)
    begin, earlier = world.broker._begin, [None, None]
    world.broker._begin = lambda run, order: earlier.pop() if earlier else begin(run, order)
    assert world.run().status is OrderState.SUCCEEDED


def test_commands_see_a_clean_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "engine-credential")
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    world = World(["env"], env={"MINE": "1"}, settings={"command_environment": {"EXTRA": "2"}})
    seen = dict(line.split("=", 1) for line in world.run().log_tail.splitlines() if "=" in line)
    allowed = {
        "PATH", "HOME", "TMPDIR", "LANG", "CI", "IAC_CI_RUN_ID", "IAC_CI_ORDER_NUM", "IAC_CI_ORDER_NAME",
        "IAC_CI_ATTEMPT", "TRACEPARENT",
        "IAC_CI_FLOW_ID", "IAC_CI_OUTPUT", "AWS_REGION", "AWS_DEFAULT_REGION", "MINE", "EXTRA", "PWD", "SHLVL", "_",
        "OLDPWD",
    }  # fmt: skip
    assert set(seen) <= allowed
    assert (seen["MINE"], seen["EXTRA"]) == ("1", "2")
    assert re.fullmatch("00-0{16}[0-9a-f]{16}-[0-9a-f]{16}-01", seen["TRACEPARENT"])


def test_an_order_may_set_its_own_trace_context():
    world = World(['echo "trace $TRACEPARENT"'], env={"TRACEPARENT": "of the order"})
    assert "\ntrace of the order\n" in world.run().log_tail


@pytest.mark.parametrize(
    ("secrets", "first", "why"),
    [
        ({f"S{number}": str(number) * 40_000 for number in range(100, 120)}, "true", "command 1 of 2 .* secrets have"),
        ({"LONG": "x" * 140_000}, "true", "command 1 of 2 .* secrets have"),
        ({}, 'rm -r "$PWD"', "command 2 of 2 .* its folder does not exist any more"),
    ],
)
def test_a_command_that_cannot_be_started_says_why(secrets, first, why):
    result = World([first, "true"], secrets=secrets).run()
    assert (result.status, result.exit_code) == (OrderState.FAILED, None)
    assert re.match(why, result.reason), result.reason


def test_what_ran_before_a_command_that_cannot_be_started_is_reported():
    plan = "echo 'Plan: 1 to add, 0 to change, 0 to destroy.'"
    result = World([f'{plan}; mv "$PWD" "$PWD.old"', "true # terraform apply"]).run()
    assert "could not be started" in result.reason
    assert result.failed_command == "true # terraform apply"
    assert result.changes.add == 1


def test_the_time_out_ends_the_whole_family():
    world = World(["trap '' TERM; (trap '' TERM; setsid sleep 300) & sleep 300"], timeout=1)
    result = world.run()
    assert result.status is OrderState.TIMED_OUT
    assert "1 seconds" in result.reason
    assert descendants() == []


def test_a_polite_command_may_clean_up():
    for timeout in (1, 10, 100):  # the first that lets bash set its trap, however busy the machine is
        result = World(
            ["trap 'echo cleaned; exit 1' TERM; echo ready; sleep 300 & wait"], timeout=timeout, grace=60
        ).run()
        if "\nready" in result.log_tail:
            break
    assert result.status is OrderState.TIMED_OUT
    assert "cleaned" in result.log_tail


def test_background_children_neither_hang_nor_outlive_the_order():
    began = time.monotonic()
    result = World(["setsid nohup sleep 3000 >/dev/null 2>&1 & echo done", "sleep 3000 & echo more"]).run()
    assert result.status is OrderState.SUCCEEDED
    assert descendants() == []
    assert time.monotonic() - began < 300


LONG = f"head -c {LOG_IN_RESULT_BYTES} /dev/zero | tr '\\0' x"
"""A command with which the log does not fit into the result."""

LAMBDA_STEPS = ["claim", "after claim", "exec.zip", "code.zip", "log", "result"]


@pytest.mark.parametrize("step", LAMBDA_STEPS)
def test_a_session_that_ends_at_any_step_of_a_lambda_order_changes_nothing(step):
    world = World(["cat main.tf", LONG]).with_code({"main.tf": b"content"})
    world.exchange.sessions_end_at = step
    result = world.run()
    assert (result.status, result.log_stored) == (OrderState.SUCCEEDED, True)
    assert "content" in world.stored_log.text
    assert world.log_object == world.stored_log.data
    assert world.broker.trades


@pytest.mark.parametrize("step", [*LAMBDA_STEPS, None])
def test_a_session_that_ends_at_any_step_of_a_build_changes_nothing(step):
    world = World(["cat main.tf", LONG]).with_code({"main.tf": b"content"})
    world.exchange.sessions_end_at = step
    assert world.worker.run_build(world.build()) is OrderState.SUCCEEDED
    assert world.result.log_stored
    claim = Claim.from_stored(world.objects.get(keys.claim(*PLACE)))
    assert {trade.execution for trade in world.broker.trades} == {claim.execution}


def test_a_short_lambda_order_trades_nothing():
    world = World(["true"])
    world.run()
    assert world.broker.trades == []


@pytest.mark.parametrize("command", ["echo one", LONG])
def test_uploads_have_the_length_that_their_url_was_traded_for(command):
    world = World([command])
    world.worker.run_build(world.build())
    lengths = [(trade.log_bytes, trade.result_bytes) for trade in world.broker.trades]
    log = [(len(world.log_object), None)] if command == LONG else []
    assert lengths == [(None, None), *log, (None, len(world.objects.get(keys.result(*PLACE))))]


def test_each_trade_is_for_another_ticket_that_the_worker_drew():
    world = World(["true"])
    world.heartbeat.beats = 3
    world.worker.run_build(world.build())
    trades = world.broker.trades
    assert len({trade.ticket for trade in trades}) == len(trades) == 5
    assert [digest(trade.ticket) for trade in trades[1:]] == [trade.next_sha256 for trade in trades[:-1]]


def test_a_build_whose_order_is_another_workers_leaves(temporary):
    world = World(["echo ran"])
    build = world.build()
    assert world.worker.run_build(build) is OrderState.SUCCEEDED
    # The first ticket is worth nothing any more.
    assert world.worker.run_build(build) is None


def test_a_stopped_run_stops_its_commands_and_the_order_says_so():
    world = World(["sleep 3000", "echo never"], grace=60)
    world.heartbeat.beats = 1
    result = world.run(stop_reason="wrong branch")
    assert result.status is OrderState.CANCELLED
    assert "because the run was stopped: wrong branch; it ended by itself" in result.reason
    assert descendants() == []


def test_a_build_of_a_stopped_run_runs_nothing():
    world = World(["echo ran"])
    assert world.worker.run_build(world.build(stop_reason="wrong branch")) is OrderState.CANCELLED
    assert world.result.reason == "the run was stopped: wrong branch; nothing was run"
    assert world.stored_log.data == b""


@pytest.mark.parametrize(("seconds", "runs"), [(9, True), (11, False), (200, False)])
def test_a_worker_that_begins_late_asks_first_whether_its_order_is_to_stop(seconds, runs):
    world = World(["true"])
    work = world.work(stop_reason="wrong branch")
    world.clock.advance(seconds)
    assert world.worker.run(work) is (OrderState.SUCCEEDED if runs else OrderState.CANCELLED)
    assert bool(world.broker.trades) is not runs
    assert runs or world.result.reason == "the run was stopped: wrong branch; nothing was run"


def test_a_worker_that_begins_late_and_gets_no_answer_runs_its_order():
    world = World(["true"])
    work = world.work()
    world.clock.advance(11)
    trade, failed = world.broker.trade, []

    def fail_once(asked):
        if not failed:
            failed.append(asked)
            raise PortFailed("simulated", retry_is_safe=True)
        return trade(asked)

    world.broker.trade = fail_once
    assert world.worker.run(work) is OrderState.SUCCEEDED
    assert failed


def test_an_order_that_was_ended_from_outside_stops_and_leaves():
    world = World(["sleep 3000"])
    order = world.dispatched()
    build = BuildOrder(run_id=RUN_ID, order_num="0001", dispatch=DISPATCH, ticket=world.ticket)

    @contextlib.contextmanager
    def during(beat, first):
        world.runs.apply([Transition(order, order.model_copy(update={"status": OrderState.TIMED_OUT}))])
        beat()
        yield

    world.heartbeat.during = during
    assert world.worker.run_build(build) is OrderState.CANCELLED
    with pytest.raises(NotFound):
        assert world.result
    assert any("ended from outside" in message for _, message, _ in world.logger.lines)


@pytest.mark.parametrize("failure", [PortFailed("no answer", retry_is_safe=True), RuntimeError("a bug")])
def test_heartbeats_without_an_answer_end_nothing_and_are_shown(failure):
    world = World(["echo done"])
    world.heartbeat.beats = 10

    def fail(trade):
        raise failure

    world.broker.trade = fail
    assert world.run().status is OrderState.SUCCEEDED
    shown = [fields for _, message, fields in world.logger.lines if message == "heartbeat without an answer"]
    assert len(shown) == 10
    assert world.heartbeat.seconds == [50] + [5] * 10, "a wish to stop waits no whole period for the next answer"


def test_the_heart_beats_faster_while_a_person_waits_or_follows():
    """A wish to stop arrives within a minute, and within 30 seconds while a person waits."""
    world = World(["true"])
    work = world.work()
    asks = iter(
        [
            lambda: None,
            lambda: world.runs.follow(RUN_ID, START + timedelta(seconds=150), output=False),
            lambda: world.runs.follow(RUN_ID, START + timedelta(seconds=150)),
            lambda: world.clock.advance(200),
        ]
    )
    trade = world.broker.trade

    def asked(sent):
        next(asks, lambda: None)()
        return trade(sent)

    world.broker.trade = asked
    world.heartbeat.beats = 4
    assert world.worker.run(work) is OrderState.SUCCEEDED
    assert world.heartbeat.seconds == [50, 50, 25, 25, 50]


def test_the_work_of_a_version_before_tickets_is_run_and_trades_nothing():
    world = World(["true"])
    world.heartbeat.beats = 2
    work = Work.from_stored(world.work().model_dump(exclude={"ticket"}, mode="json"))
    assert work.ticket is None
    assert world.worker.run(work) is OrderState.SUCCEEDED
    assert world.broker.trades == []


def test_an_ended_url_without_a_ticket_is_final():
    world = World(["true"])
    work = world.work().model_copy(update={"ticket": None})
    world.exchange.sessions_end_at = "result"
    with pytest.raises(UrlExpired):
        world.worker.run(work)


def test_a_log_that_cannot_be_stored_changes_nothing_about_the_end():
    world = World([LONG, "echo; echo kept"])
    world.exchange.log_fails = True
    result = world.run()
    assert result.status is OrderState.SUCCEEDED
    assert not result.log_stored
    assert "could not be stored" in result.reason
    assert "kept" in result.log_tail


# -- a short log is in the result alone ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["echo one; echo two >&2", "exit 7", "sleep 300", "printf 'no line end'"])
def test_a_short_log_is_in_the_result_alone(command):
    world = World([command], timeout=2)
    result = world.run()
    assert (world.log_object, result.log_stored, result.log_truncated) == (None, False, False)
    assert world.stored_log == OrderLog(result.log_tail.encode(), is_whole=True, times=result.log_times)
    assert world.stored_log.text.startswith(f"$ {command}\n")
    assert result.reason is None or "stored" not in result.reason


@pytest.mark.parametrize(
    ("tail", "log", "whole", "parts", "fits"),
    [
        ("x" * LOG_IN_RESULT_BYTES, b"x" * LOG_IN_RESULT_BYTES, LOG_IN_RESULT_BYTES, 0, True),
        ("x" * (LOG_IN_RESULT_BYTES + 1), b"x" * (LOG_IN_RESULT_BYTES + 1), LOG_IN_RESULT_BYTES + 1, 0, False),
        ("zwölf", "zwölf".encode(), 6, 0, True),
        ("end", b"end", 900, 0, False),
        ("\ufffd", b"\xff", 1, 0, False),
        ("\ufffd", b"\xf0\x9f\x98", 3, 0, False),
        ("one", b"one", 3, 1, False),
        ("", b"", 0, 0, False),
    ],
)  # fmt: skip
def test_which_logs_are_in_the_result_alone(tail, log, whole, parts, fits):
    assert is_whole_in_result(tail, log, whole=whole, live_parts=parts) is fits


def test_a_log_that_is_no_text_keeps_its_bytes():
    world = World([r"printf '\xff\xfe'"])
    result = world.run()
    assert result.log_stored
    assert b"\xff\xfe" in world.log_object
    assert world.stored_log.data == world.log_object


class Parts(LiveLog):
    """Sends what there is when the commands end, as if they had taken longer."""

    @contextlib.contextmanager
    def during(self):
        yield
        self._send(self._log.stat().st_size)


def test_a_log_of_which_parts_were_sent_is_an_object():
    """Those who read the parts go on reading there."""
    world = World(["echo one"])
    world.live_log = Parts
    result = world.exchanging(MemoryExchange).run()
    assert (result.live_parts, result.log_stored) == (1, True)
    assert world.log_object == world.stored_log.data == result.log_tail.encode()


class Second(MemoryExchange):
    """Another result is there already, as of a watchdog that took the worker for dead."""

    def report(self, url, result):
        first = Result.model_validate_json(result).model_copy(
            update={"status": OrderState.TIMED_OUT, "reported_by": Reporter.WATCHDOG, "log_tail": "", "log_bytes": 0}
        )
        self.objects.create(keys.result(*PLACE), first.model_dump_json().encode())
        return super().report(url, result)


class Unreported(MemoryExchange):
    """No result can be written."""

    def report(self, url, result):
        raise PortFailed("the result: HTTP 400")


@pytest.mark.parametrize("by", ["work", "build"])
def test_a_worker_whose_result_does_not_count_leaves_its_log(by):
    world = World(["echo evidence"]).exchanging(Second)
    sent = getattr(world, by)()
    (world.worker.run if by == "work" else world.worker.run_build)(sent)
    assert world.result.reported_by is Reporter.WATCHDOG
    assert world.log_object == world.stored_log.data
    assert "evidence" in world.stored_log.text


@pytest.mark.parametrize("by", ["work", "build"])
def test_a_worker_that_can_write_no_result_leaves_its_log(by):
    world = World(["echo evidence"]).exchanging(Unreported)
    sent = getattr(world, by)()
    with pytest.raises(PortFailed, match="the result: HTTP 400"):
        (world.worker.run if by == "work" else world.worker.run_build)(sent)
    assert "evidence" in world.stored_log.text


def test_a_log_that_can_be_stored_nowhere_hides_no_failure():
    world = World(["echo evidence"]).exchanging(Unreported)
    world.exchange.log_fails = True
    with pytest.raises(PortFailed, match="the result: HTTP 400"):
        world.run()
    assert world.stored_log is None


def test_a_package_that_cannot_be_read_is_reported():
    world = World(["true"])
    for content in (b"no zip", b""):
        world.objects.objects = {keys.package(*PLACE): content}
        assert world.run().status is OrderState.FAILED
        assert "could not be started" in world.result.reason


def test_read_only_leftovers_are_removed_all_the_same():
    World(["mkdir -p $HOME/a/b; touch $HOME/a/b/c; chmod -R a-w $HOME/a"]).run()


def test_the_result_counts_the_changes_that_terraform_announced_however_long_ago():
    plan = "echo 'Plan: 1 to add, 2 to change, 3 to destroy.'"
    result = World([plan, "for i in $(seq 60000); do echo line number $i; done"]).run()
    assert "Plan:" not in result.log_tail
    assert (result.changes.add, result.changes.change, result.changes.destroy) == (1, 2, 3)


def test_long_logs_are_cut_at_a_line_and_say_so():
    result = World(["for i in $(seq 40000); do echo line number $i; done"]).run()
    assert result.log_truncated
    assert len(result.log_tail.encode()) <= 256 * 1024
    assert result.log_tail.startswith("line number ")
    assert without_ends(result.log_tail).rstrip("\n").endswith("line number 40000")


@pytest.mark.parametrize("log", [b"", b"short\n", b"\xff" * 600_000, b"x" * 600_000, b"line\n" * 200_000])
def test_a_tail_always_fits(log):
    tail, cut = log_tail(log, whole=len(log))
    assert len(tail.encode()) <= 256 * 1024
    assert cut == (len(log) > 256 * 1024)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(Ending.EXITED, 0, 0, 1), OrderState.SUCCEEDED),
        (Outcome(Ending.EXITED, 1, 0, 1), OrderState.FAILED),
        (Outcome(Ending.EXITED, -9, 0, 1), OrderState.FAILED),
        (Outcome(Ending.TIMED_OUT, -15, 0, 1), OrderState.TIMED_OUT),
        (Outcome(Ending.STOPPED, -15, 0, 1), OrderState.CANCELLED),
    ],
)
def test_the_verdict(outcome, status):
    assert verdict(outcome, "its timeout of 60 seconds").status is status


def test_the_time_is_cut_to_the_orders_deadline():
    work = World(["true"], timeout=60).work()
    assert allowance(work, START, None).seconds == 60
    cut = allowance(work, START + timedelta(seconds=280), None)
    assert (cut.seconds, cut.limit) == (20, "the run's job_timeout")
    assert allowance(work, START + timedelta(seconds=301), None).seconds < 0


def test_a_stopped_build_reports_that_it_was_cancelled(temporary):
    program = (
        "import signal, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_worker import World\n"
        "from iac_ci_worker.stop_request import StopRequest\n"
        "stop, world = StopRequest(), World(['kill -TERM $PPID; sleep 300'])\n"
        "signal.signal(signal.SIGTERM, lambda *_: stop.hasten('the worker was stopped'))\n"
        "print(world.worker.run(world.work(), stop=stop))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "cancelled", done.stderr


def test_the_door_needs_no_boto3():
    program = "import sys, iac_ci_worker.handler, iac_ci_worker.wiring; print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_build_door_shows_nothing_of_unreadable_work():
    environment = {**os.environ, "IAC_CI_WORK": "cGxhbnRlZA=="}
    command = [sys.executable, "-m", "iac_ci_worker.codebuild", "run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "planted" not in done.stderr


def test_a_claim_names_its_execution():
    world = World(["true"])
    world.run()
    claim = Claim.model_validate_json(world.objects.get(keys.claim(*PLACE)))
    assert claim.execution.startswith(f"{DISPATCH}:")


@pytest.mark.slow
def test_a_long_log_is_kept_whole_its_end_shown_and_no_secret_in_it():
    """Of a hundred megabytes in a full run."""
    size = (100 if os.environ.get("IAC_CI_FULL") else 10) * 1024 * 1024
    line = f"{SECRET} and what else an order prints"
    printing = f'(yes "$TOKEN and what else an order prints" || true) | head -c {size}'
    world = World([printing, "echo; echo the end"], secrets={"TOKEN": SECRET}, timeout=500)
    result = world.run()
    assert result.status is OrderState.SUCCEEDED
    assert result.log_truncated
    # The line of the command's duration begins a line; on a busy machine it is not known in time whether it does.
    assert without_ends(result.log_tail).rstrip("\n").endswith("\nthe end")
    whole = world.objects.get(keys.log(*PLACE))
    assert SECRET.encode() not in whole
    assert whole.count(b"and what else an order prints\n") == size // (len(line) + 1)


DATABASE = {"engine": "postgres", "port": "5432", "ssl": "true", "username": "admin", "password": "s3cr3t-Pa55"}


@pytest.mark.parametrize("keyed", [tuple(DATABASE), None])
def test_only_what_is_secret_of_a_database_s_secret_is_masked(keyed):
    world = World(["echo $engine $port $ssl $username $password"], secrets=DATABASE, keyed=keyed)
    assert without_ends(world.run().log_tail).endswith("\npostgres 5432 true admin ***\n")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("database", '{"host":"db.internal","password":"Vb7kQ2mXw9Lp"}', '{"host":"db.internal","password":"***"}'),
        ("env", '["usual", {"API_TOKEN": "Vb7kQ2mXw9Lp"}]', '["***", {"API_TOKEN": "***"}]'),
        ("host", "https://elastic:Vb7kQ2mXw9Lp@es:9243", "https://elastic:***@es:9243"),
        ("server", "Server=h;User Id=sa;Password=Vb7kQ2mXw9Lp;", "Server=h;User Id=sa;Password=***;"),
    ],
)
def test_what_is_secret_within_a_plain_key_of_a_json_secret_is_masked(name, value, shown):
    world = World([f'echo "${name}"; echo Vb7kQ2mXw9Lp'], secrets={name: value}, keyed=(name,))
    assert without_ends(world.run().log_tail).endswith(f"\n{shown}\n***\n")


def test_a_variable_that_the_job_names_itself_is_secret_whatever_it_is_called():
    world = World(["echo $name $ENGINE"], secrets={"name": "named-alone", "ENGINE": "enigma-engine"}, keyed=())
    assert without_ends(world.run().log_tail).endswith("\n*** ***\n")


def test_a_job_says_what_else_is_masked_and_what_is_not():
    world = World(
        ["echo $HOST $TOKEN $OTHER literal-text 12345"],
        env={"HOST": "db.internal"},
        secrets={"TOKEN": "a-secret-token", "OTHER": "another-secret"},
        mask_also=("HOST", "literal-text", "12345"),
        mask_never=("TOKEN", "another-secret"),
    )
    assert without_ends(world.run().log_tail).endswith("\n*** a-secret-token another-secret *** ***\n")


def test_changes_are_counted_in_what_was_printed_not_in_what_is_shown():
    secrets = {"TOKEN": "3 to change, 2 to destroy"}
    result = World(["echo 'Plan: 1 to add, 3 to change, 2 to destroy.'"], secrets=secrets).run()
    assert without_ends(result.log_tail).endswith("\nPlan: 1 to add, ***.\n")
    assert (result.changes.add, result.changes.change, result.changes.destroy) == (1, 3, 2)


def test_the_result_has_the_plans_text_masked():
    lines = ["  # x.gone will be destroyed", f'  - resource "x" "gone" {{ {SECRET}', "    }", ""]
    plan = "\n".join([*lines, "Plan: 0 to add, 0 to change, 1 to destroy."])
    result = World([f"printf '%s' '{plan}'"], secrets={"TOKEN": SECRET}).run()
    (resource,) = result.plan.resources
    assert resource.text.splitlines()[1] == '-   resource "x" "gone" { ***'
    assert SECRET not in result.model_dump_json()


@pytest.mark.parametrize(
    "command",
    [
        "cat > expected <<'end'\nPlan: 3 to add, 0 to change, 0 to destroy.\nend\n",
        "true 'a\rPlan: 3 to add, 0 to change, 0 to destroy.'",
        'true \'\n  # aws_x.y will be destroyed\n  - resource "aws_x" "y" {\n    }\n\'',
        "true Plan: 3 to add, 0 to change, 0 to destroy.",
    ],
)
def test_what_a_command_is_made_of_is_no_plan(command):
    result = World([command]).run()
    assert (result.status, result.changes, result.changes_unknown) == (OrderState.SUCCEEDED, None, False)
    assert result.plan is None


def test_a_command_is_shown_as_a_shell_shows_it():
    log = World(["cat <<'end'\none\n\ntwo\nend\n", "echo 'a\rb' >/dev/null"]).run().log_tail
    assert without_ends(log) == "$ cat <<'end'\n> one\n>\n> two\n> end\none\n\ntwo\n$ echo 'a\\rb' >/dev/null\n"


@pytest.mark.parametrize("before", [0, 1, 32 * 1024 - 7 - len(SECRET) // 2, 32 * 1024])
def test_a_long_command_is_cut_and_shows_no_part_of_a_secret(before):
    command = f"true #{'x' * before}{SECRET}{'y' * 40_000}"
    log = World([command], secrets={"TOKEN": SECRET}).run().log_tail
    heading = log.splitlines()[:-1]
    assert heading[-1].startswith("[iac-ci] the rest of the command is not shown: ")
    assert SECRET[: len(SECRET) // 2] not in log


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the worker's disk is full; give the worker more"),
        (OSError(errno.EIO, "Input/output error"), "the worker failed: Input/output error"),
        (RuntimeError("something with a secret"), "the worker failed: RuntimeError"),
    ],
)
def test_an_error_that_nobody_expected_is_the_orders_reason(monkeypatch, error, reason):
    def fails(*_):
        raise error

    monkeypatch.setattr(act, "open_package", fails)
    result = World(["true"]).run()
    assert result.status is OrderState.FAILED
    assert result.reason.startswith(reason)
    assert "something" not in result.reason


@pytest.mark.parametrize(
    ("command", "unknown"),
    [
        ("terraform() { :; }; terraform plan -out=p > log", True),
        ("terraform() { echo 'No changes. Nothing.'; }; terraform plan", False),
        ("echo 'Terraform will perform the following actions:'", True),
        ("echo done", False),
    ],
)
def test_changes_are_unknown_where_a_plan_ran_and_nothing_could_be_read(command, unknown):
    result = World([command]).run()
    assert result.status is OrderState.SUCCEEDED
    assert result.changes_unknown is unknown


def test_plans_text_and_the_logs_end_fit_into_a_result_together():
    block = r"  # x.r%d will be destroyed\n  - resource \"x\" \"r%d\" {\n      - key = %0150d -> null\n    }\n"
    plan = f"for n in $(seq 700); do printf '{block}' $n $n 0; done"
    world = World(
        [plan, "echo 'Plan: 0 to add, 0 to change, 700 to destroy.'", r"head -c 300000 /dev/zero | tr '\0' '\1'"]
    )
    result = world.run()
    assert result.status is OrderState.SUCCEEDED
    assert result.changes.destroy == 700
    assert result.plan.left_out > 0
    assert len(result.model_dump_json()) <= MAX_RESULT_BYTES


def test_nothing_that_leaves_the_worker_shows_a_secret():
    command = f'set -x; echo "$TOKEN"; ps -ef; exec false "{SECRET}"'
    world = World([command], secrets={"TOKEN": SECRET})
    result = world.run()
    assert "***" in result.failed_command
    everything = b"".join(body for key, body in world.objects.objects.items() if "exec" not in key)
    assert SECRET.encode() not in everything
    assert SECRET not in repr(world.logger.lines)


class TestLogWriter:
    """The pipe is always read, whatever becomes of the output."""

    @pytest.fixture
    def folder(self, tmp_path_factory):
        return tmp_path_factory.mktemp("log")

    @pytest.fixture
    def waiting(self, folder):
        return log_writer.WaitingOutput(folder)

    def test_output_comes_out_as_it_came_in(self, waiting, monkeypatch):
        monkeypatch.setattr(log_writer, "_MEMORY_BYTES", 10)
        chunks = [bytes([number]) * 7 for number in range(100)]
        taken = b""
        for number, chunk in enumerate(chunks):
            waiting.put(chunk)
            if number % 3 == 0:
                taken += waiting.take()[0]
        while (item := waiting.take()) is not None:
            assert item[1] == 0
            taken += item[0]
        assert taken == b"".join(chunks)

    def test_what_is_too_much_is_counted_and_never_waited_for(self, waiting, monkeypatch):
        monkeypatch.setattr(log_writer, "_MEMORY_BYTES", 10)
        monkeypatch.setattr(log_writer, "MAX_WAITING_BYTES", 20)
        for _ in range(10):
            waiting.put(b"0123456789")
        assert [waiting.take(), waiting.take(), waiting.take()] == [(b"0123456789", 0), (b"0123456789" * 2, 70), None]

    def test_a_full_disk_loses_output_and_nothing_else(self, waiting, monkeypatch):
        def full(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(log_writer, "_MEMORY_BYTES", 10)
        monkeypatch.setattr(os, "pwrite", full)
        for _ in range(3):
            waiting.put(b"0123456789")
        assert [waiting.take(), waiting.take()] == [(b"0123456789", 20), None]

    def test_a_disk_that_takes_a_part_of_a_chunk_loses_only_the_rest(self, waiting, monkeypatch):
        monkeypatch.setattr(log_writer, "_MEMORY_BYTES", 10)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        waiting.put(b"in memory ")
        resource.setrlimit(resource.RLIMIT_FSIZE, (14, before[1]))
        try:
            for _ in range(3):
                waiting.put(b"0123456789")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert [waiting.take(), waiting.take(), waiting.take()] == [(b"in memory ", 0), (b"01234567890123", 16), None]

    def test_who_gives_up_keeps_the_end(self, waiting, monkeypatch):
        monkeypatch.setattr(log_writer, "_MEMORY_BYTES", 10)
        monkeypatch.setattr(log_writer, "_KEPT_BYTES", 5)
        for number in range(4):
            waiting.put(b"chunk-%d " % number)
        waiting.give_up()
        assert [waiting.take(), waiting.take(), waiting.take()] == [(b"", 27), (b"nk-3 ", 0), None]

    def written(self, folder, monkeypatch, taken):
        """Return the log of chunks that wait, each with the number of bytes that are lost after it."""
        monkeypatch.setattr(log_writer.WaitingOutput, "take", lambda self: taken.pop(0) if taken else None)
        reading, writing = os.pipe()
        os.close(writing)
        writer = log_writer.LogWriter(reading, folder / "log", Redactor([SECRET]))
        writer.start()
        writer.finish(30)
        return (folder / "log").read_text()

    def test_no_part_of_a_secret_is_shown_beside_lost_output(self, folder, monkeypatch):
        rest = "ordinary line\n" * 200
        taken = [(f"one\n{SECRET[:11]}".encode(), 1000), (f"{SECRET[11:]}\n{rest}".encode(), 0)]
        log = self.written(folder, monkeypatch, taken)
        assert "[iac-ci] the output came faster than it could be masked; about 2039 bytes are left out\n" in log
        assert log.endswith(rest[-1000:])
        assert "planted" not in log
        assert "ker-secret" not in log

    def test_a_process_that_keeps_the_pipe_open_does_not_delay_the_end(self, folder):
        reading, writing = os.pipe()
        writer = log_writer.LogWriter(reading, folder / "log", Redactor([SECRET]))
        writer.start()
        os.write(writing, f"before {SECRET} after\n".encode())
        writer.finish(100_000)
        os.close(writing)
        assert (folder / "log").read_text() == "before *** after\n"

    def test_a_process_that_prints_without_end_does_not_delay_the_end(self, folder):
        reading, writing = os.pipe()
        writer = log_writer.LogWriter(reading, folder / "log", Redactor([SECRET]))
        writer.start()
        with subprocess.Popen(["yes"], stdout=writing) as endless:
            writer.finish(100_000)
            endless.kill()
        os.close(writing)
        assert set((folder / "log").read_text().splitlines()) <= {"y", ""}

    def test_a_fault_in_masking_shows_nothing_and_ends_no_command(self, monkeypatch):
        def broken(self, chunk):
            raise RuntimeError(chunk)

        monkeypatch.setattr(Redactor, "feed", broken)
        result = World(['echo "$TOKEN"; sleep 0.2; echo more'], secrets={"TOKEN": SECRET}).run()
        assert result.status is OrderState.SUCCEEDED
        assert "masking failed (RuntimeError)" in result.log_tail
        assert SECRET not in result.log_tail

    @pytest.mark.parametrize("method", ["feed", "result"])
    def test_a_fault_in_reading_plans_ends_no_command(self, monkeypatch, method):
        def broken(*_):
            raise RuntimeError

        monkeypatch.setattr(log_writer.PlanReader, method, broken)
        # More than the pipe holds: it is written while the log is read.
        result = World(["head -c 3000000 /dev/zero | tr '\\0' 'y'; echo; echo more"]).run()
        assert (result.status, result.changes, result.changes_unknown) == (OrderState.SUCCEEDED, None, True)
        assert "\nmore\n" in result.log_tail


def release(world, program=b"#!/bin/sh\necho fetched $0\n", *, name="terraform", sha256=None):
    """Store a release, and return it as the manifest and the row name it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("LICENSE.txt", "text")
        zipped.writestr(name, program)
    content = buffer.getvalue()
    digest_of = hashlib.sha256(content).hexdigest()
    stored = StoredTool(
        tool="terraform",
        version="1.14.2",
        sha256=sha256 or digest_of,
        key=f"tools/2026-11/terraform/1.14.2/linux_amd64/{digest_of}",
    )
    world.objects.put(stored.key, content)
    return stored


def with_tool(world, tool):
    """Let the order of a world use a tool."""
    manifest = Manifest.model_validate_json(world.files[MANIFEST_NAME]).model_copy(update={"tools": (tool,)})
    world.package = world.put_zip(keys.package(*PLACE), {**world.files, MANIFEST_NAME: manifest.to_stored()})
    world.tools = (tool,)
    return world


def test_a_fetched_tool_comes_first_on_the_path_and_outside_the_code():
    world = World(["command -v terraform; terraform version", "ls; ls $HOME $TMPDIR"])
    result = with_tool(world, release(world)).run()
    assert result.status is OrderState.SUCCEEDED, result.reason
    path = re.search(r"^(/.*)/tools/terraform$", world.log, re.MULTILINE)
    assert path is not None
    assert f"fetched {path[1]}/tools/terraform" in world.log
    assert "LICENSE" not in world.log


def test_a_release_of_one_program_needs_no_archive():
    world = World(["terraform"])
    tool = release(world)
    world.objects.put(tool.key, b"#!/bin/sh\necho alone\n")
    tool = tool.model_copy(update={"sha256": hashlib.sha256(b"#!/bin/sh\necho alone\n").hexdigest()})
    with_tool(world, tool).run()
    assert "alone" in world.log


@pytest.mark.parametrize(
    ("fields", "problem"),
    [({"sha256": "0" * 64}, "is not the release that was prepared"), ({"name": "other"}, "has no program terraform")],
)
def test_another_release_than_the_prepared_one_runs_nothing(fields, problem):
    world = World(["echo ran"])
    result = with_tool(world, release(world, **fields)).run()
    assert result.status is OrderState.FAILED
    assert problem in result.reason
    assert world.stored_log.data == b""


def test_an_ended_session_costs_a_trade_for_the_release_too():
    world = World(["terraform"])
    with_tool(world, release(world))
    world.exchange.sessions_end_at = "terraform.release"
    assert world.run().status is OrderState.SUCCEEDED
