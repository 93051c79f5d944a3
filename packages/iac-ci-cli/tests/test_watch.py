"""Watching a run: what is shown, what Ctrl-C says, and a table that fits its terminal."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from iac_ci_cli import job_commands, process, stack_options, watch
from iac_ci_cli.connection import StackClient
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.live_table import live_table
from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.answer import Accepted
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.ports import RunRows
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import FakeClock, MemoryObjects
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, order_row, run_row

STATES = [OrderState.SUCCEEDED, OrderState.QUEUED, OrderState.RUNNING, OrderState.FAILED, OrderState.SKIPPED]


class Rows:
    """Rows of a run as one read after the other finds them; the last stay."""

    def __init__(self, *reads):
        self.reads = list(reads)
        self.waited = []

    def follow(self, run_id, until, *, output):
        self.waited.append((until, output))

    def read(self, run_id):
        read = self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]
        if isinstance(read, BaseException):
            raise read
        return read


class Client:
    command = StackClient.command
    options = " --local"
    ends_with_command = False

    def __init__(self, *reads):
        self.clock = FakeClock()
        self.runs = Rows(*reads)
        self.internal, self.done = MemoryObjects(self.clock), MemoryObjects(self.clock)
        self.done.put(keys.done(RUN_ID), b"{}")

    def leaves(self, log_tail):
        """Store the result of the first order."""
        result = Result(
            run_id=RUN_ID,
            order_num="0001",
            status=OrderState.FAILED,
            reported_by=Reporter.WORKER,
            ended_at=START + timedelta(seconds=1),
            exit_code=1,
            log_tail=log_tail,
        )
        self.internal.put(keys.result(RUN_ID, "0001"), result.model_dump_json().encode())


def rows(*orders, **run):
    return RunRows(run_row(**run), list(orders))


def forty(*states):
    chosen = states or STATES
    return [order_row(number, status=chosen[number % len(chosen)]) for number in range(1, 41)]


ENDED = rows(order_row(1, status=OrderState.SUCCEEDED), status=RunState.SUCCEEDED, finished_at=START)
FAILED = rows(
    order_row(1, status=OrderState.FAILED, dispatched_at=START, reason="exit code 1"),
    status=RunState.FAILED,
    finished_at=START,
)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(watch, "_POLL_SECONDS", 0)


def shown(table, *, width=100, height=30):
    file = io.StringIO()
    Console(file=file, width=width, height=height).print(table)
    return file.getvalue().splitlines()


def table(*orders, height, width=100, now=START, **run):
    return shown(live_table(rows(*orders, **run), height, now, width=width), width=width, height=height)


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 10, 24, 30, 44, 100])
@pytest.mark.parametrize("width", [1, 10, 40, 80, 200])
@pytest.mark.parametrize("count", [1, 40, 1000])
def test_a_live_table_fits_its_terminal(height, width, count):
    lines = table(*(thousand(count)), height=height, width=width)
    # The last line is the cursor's; the totals are always there.
    assert len(lines) <= max(height - 1, 1)
    if width >= 40:
        assert lines[-1].startswith(f"{count} order")


def thousand(count=1000):
    """Orders as they are in the middle of a large run: most have ended or wait, a few run, some failed."""
    states = {3: OrderState.FAILED, 500: OrderState.FAILED, 777: OrderState.TIMED_OUT}
    running = dict.fromkeys(range(901, 911), OrderState.RUNNING)
    ended = dict.fromkeys(range(1, 901), OrderState.SUCCEEDED)
    chosen = {**ended, **states, **running}
    return [
        order_row(number, status=chosen.get(number, OrderState.QUEUED), started_at=START, reason="exit code 1")
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("width", [20, 30, 40, 60])
def test_a_narrow_terminal_shows_the_states(width):
    failed = order_row(1, status=OrderState.FAILED, order_name="a-name-of-forty-characters-that-is-long")
    failed = failed.model_copy(update={"reason": "command 1 of 1 ended with exit code 3"})
    lines = table(failed, order_row(2, status=OrderState.SUCCEEDED), height=8, width=width)
    assert ["failed" in lines[1], "succeeded" in lines[2]] == [True, True]
    assert all(len(line) <= width for line in lines)


def test_a_thousand_orders_at_24_lines():
    lines = table(*thousand(), height=24, width=80, now=START + timedelta(minutes=61))
    assert len(lines) == 23
    assert [line.split()[0] for line in lines[1:4]] == ["order-3", "order-500", "order-777"]
    assert [line.split()[0] for line in lines[4:14]] == [f"order-{number}" for number in range(901, 911)]
    assert "running" in lines[4]
    assert "1 h 1 min" in lines[4]
    assert lines[14].split()[:2] == ["order-911", "queued"]
    assert lines[21] == "… 980 more: 83 queued, 897 succeeded"
    assert lines[22] == "1000 orders · running · 1 h 1 min · 2 failed, 1 timed out, 10 running, 90 queue…"


def test_running_and_failed_orders_are_shown_before_those_that_ended():
    lines = table(*forty(), height=21)
    body = lines[1:-2]
    assert sum("running" in line for line in body) == 8
    assert sum("failed" in line for line in body) == 8
    assert not any("succeeded" in line for line in body)
    assert "… 23 more" in lines[-2]
    assert "8 succeeded" in lines[-2]
    assert "8 failed, 8 running, 8 queued, 8 skipped, 8 succeeded" in lines[-1]


@pytest.mark.parametrize("width", [1, 20])
def test_every_order_is_shown_in_its_place_where_all_fit(width):
    lines = table(*forty(), height=50, width=width)
    assert not any("more" in line for line in lines)
    assert len(lines) == 42


def test_the_live_table_has_the_changes_and_the_elapsed_time():
    planned = Changes(operation=Operation.PLANNED, add=1, change=2)
    orders = [order_row(1, status=OrderState.SUCCEEDED, changes=planned), order_row(2)]
    lines = table(*orders, height=24, now=START + timedelta(seconds=75))
    assert "Changes" in lines[0]
    assert "+1 ~2 -0" in lines[1]
    assert "1 min 15 s" in lines[-1]
    assert "Changes" not in table(order_row(1), height=24)[0]


def test_a_dumb_terminal_gets_lines_with_times_as_states_change(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert [line[26:] for line in lines_of(force_terminal=True)] == ["order-1: running", "order-1: succeeded"]


def test_ci_gets_lines_with_times_even_where_it_offers_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("CI", "true")
    lines = lines_of(force_terminal=True)
    assert [line[26:] for line in lines] == ["order-1: running", "order-1: succeeded"]
    assert all(datetime.fromisoformat(line[:25]) == START for line in lines)


def test_what_is_no_terminal_gets_lines_with_times():
    assert [line[26:] for line in lines_of()] == ["order-1: running", "order-1: succeeded"]


def test_a_line_has_the_time_of_the_change_not_of_the_look():
    began, ended = START - timedelta(hours=2), START - timedelta(hours=1)
    running = order_row(1, status=OrderState.RUNNING, started_at=began)
    done = order_row(2, status=OrderState.SUCCEEDED, started_at=began, ended_at=ended)
    unknown = order_row(3, status=OrderState.DISPATCHING)
    file = io.StringIO()
    watch.watch_run(
        Client(rows(running, done, unknown, status=RunState.SUCCEEDED)), RUN_ID, Console(file=file, width=80)
    )
    times = [datetime.fromisoformat(line[:25]) for line in file.getvalue().splitlines()]
    assert times == [began, ended, START]


def lines_of(**options):
    file = io.StringIO()
    reads = [
        rows(order_row(1), status=RunState.RUNNING),
        rows(order_row(1, status=OrderState.RUNNING), status=RunState.RUNNING),
        ENDED,
    ]
    watch.watch_run(Client(*reads), RUN_ID, Console(file=file, width=80, **options))
    return file.getvalue().splitlines()[:2]


def iac_ci(monkeypatch, client, *words):
    monkeypatch.setattr(stack_options, "connect", lambda name, **_: client)
    return process.run(list(words))


def test_a_run_can_be_watched_again(monkeypatch, capsys):
    assert iac_ci(monkeypatch, Client(ENDED), "watch", RUN_ID) == ExitCode.SUCCEEDED
    assert iac_ci(monkeypatch, Client(FAILED), "watch", RUN_ID) == ExitCode.RUN_FAILED
    assert f"Run {RUN_ID} failed" in capsys.readouterr().out
    assert iac_ci(monkeypatch, Client(FAILED), "watch", RUN_ID, "--json") == ExitCode.RUN_FAILED
    assert json.loads(capsys.readouterr().out)["run"]["status"] == "failed"


def test_a_run_whose_marker_was_removed_is_not_watched_for_ever():
    client = Client(ENDED)
    client.done = MemoryObjects(client.clock)
    client.clock.advance(3600)
    assert watch.watch_run(client, RUN_ID, Console(file=io.StringIO())).run.status is RunState.SUCCEEDED


def test_a_run_that_disappears_ends_the_watching():
    client = Client(rows(order_row(1), status=RunState.RUNNING), RunRows(None, []))
    with pytest.raises(CommandFailed, match="no longer exists"):
        watch.watch_run(client, RUN_ID, Console(file=io.StringIO()))


def test_ctrl_c_ends_the_watching_and_names_the_next_command(monkeypatch, capsys):
    client = Client(rows(order_row(1), status=RunState.RUNNING), KeyboardInterrupt())
    assert iac_ci(monkeypatch, client, "watch", RUN_ID) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err.splitlines() == [
        f"iac-ci: interrupted: run {RUN_ID} goes on",
        f"Watch it again with: iac-ci watch {RUN_ID} --local",
    ]


def test_ctrl_c_says_that_a_run_ends_with_its_local_cloud():
    client = Client(KeyboardInterrupt())
    client.ends_with_command = True
    with pytest.raises(CommandFailed, match="the local cloud ended, and with it run"):
        watch.watch_to_the_end(client, RUN_ID, as_json=False)


@pytest.fixture
def sent(monkeypatch, tmp_path):
    """A job that is accepted, and the folder of its file."""
    accepted = Accepted(run_id=RUN_ID, trace_id=TRACE_ID, flow_id="tests:x-y", done_endpt="s3://done/x")
    monkeypatch.setattr(job_commands.jobs, "submit", lambda *_, **__: accepted)
    (tmp_path / "job.json").write_text("{}")
    return str(tmp_path / "job.json")


def test_submit_and_wait_prints_the_runs_id_before_it_waits(monkeypatch, capsys, sent):
    assert iac_ci(monkeypatch, Client(KeyboardInterrupt()), "submit", sent, "--wait") == ExitCode.INTERRUPTED
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == f"Accepted as run {RUN_ID}"
    assert f"iac-ci watch {RUN_ID} --local" in printed.err


def test_with_json_the_runs_id_is_on_standard_error_while_it_waits(monkeypatch, capsys, sent):
    assert iac_ci(monkeypatch, Client(ENDED), "submit", sent, "--wait", "--json") == ExitCode.SUCCEEDED
    printed = capsys.readouterr()
    assert printed.err == f"Accepted as run {RUN_ID}\n"
    assert json.loads(printed.out)["run"]["run_id"] == RUN_ID


def test_without_waiting_the_hint_names_the_local_cloud(monkeypatch, capsys, sent):
    assert iac_ci(monkeypatch, Client(ENDED), "submit", sent) == ExitCode.SUCCEEDED
    assert capsys.readouterr().out.splitlines()[-1] == f"Watch it with: iac-ci watch {RUN_ID} --local"


@pytest.mark.parametrize(
    ("ends", "hint"), [(False, f"iac-ci logs {RUN_ID} order-1 --local"), (True, "run again with --keep")]
)
def test_the_hint_to_the_whole_log_works_where_it_is_shown(capsys, ends, hint):
    client = Client(FAILED)
    client.ends_with_command = ends
    client.leaves("\n".join(str(number) for number in range(50)))
    watch.watch_to_the_end(client, RUN_ID, as_json=False)
    assert hint in capsys.readouterr().out


def test_no_reason_passes_for_a_line_and_no_line_is_broken(capsys):
    reason = "stopped\n2026-01-31 00:00:00+00:00 order-2: succeeded\u2028x\u202e" + " word" * 40
    failed = order_row(1, status=OrderState.FAILED, dispatched_at=START, reason=reason)
    client = Client(rows(failed, status=RunState.FAILED, finished_at=START, reason=reason))
    client.leaves("printed " * 40)
    watch.watch_to_the_end(client, RUN_ID, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("2026-01-31")] == []
    assert sum("word word" in line for line in lines) == 3
    assert "  " + "printed " * 40 in lines


def test_who_watches_lets_workers_trade_more_often_but_not_send_their_logs():
    client = Client(rows(order_row(1), status=RunState.RUNNING), ENDED)
    watch.watch_run(client, RUN_ID, Console(file=io.StringIO()))
    assert client.runs.waited == [(client.clock.now() + timedelta(seconds=150), False)]


def test_who_may_only_read_can_watch(monkeypatch):
    client = Client(ENDED)

    def refuse(*_, **__):
        raise PortFailed("AccessDeniedException: dynamodb:UpdateItem")

    client.runs.follow = refuse
    assert watch.watch_run(client, RUN_ID, Console(file=io.StringIO())).run.status is RunState.SUCCEEDED
