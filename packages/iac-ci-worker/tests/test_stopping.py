"""Commands are stopped with grace, in whatever form a shell runs them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common.limits import LOG_TAIL_BYTES
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_worker.decide import Ending, Outcome, allowance, verdict
from iac_ci_worker.open_operations import open_operations
from iac_ci_worker.process_table import Process
from iac_ci_worker.processes import adopt_orphans, descendants
from iac_ci_worker.stop_request import StopRequest
from iac_ci_worker.stop_signals import LATE_SECONDS, Asked, signals

sys.path.insert(0, str(Path(__file__).parent))
from shell_forms import FORMS, GOING_ON
from test_worker import World

TOOL = f"{sys.executable} -I -S {Path(__file__).with_name('slow_tool.py')}"

CAUSES = {"time-out": OrderState.TIMED_OUT, "cancel": OrderState.CANCELLED, "worker": OrderState.CANCELLED}


@pytest.fixture(autouse=True, scope="module")
def orphans():
    adopt_orphans()


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    return tmp_path


def when(lock, act):
    """Call ``act`` in a thread once the tool has its lock."""

    def look():
        while not lock.exists():
            time.sleep(0.02)
        act()

    threading.Thread(target=look, daemon=True).start()


class BeatsWhenAsked:
    """Beats when the test asks for it, from another thread."""

    def during(self, beat, first):
        self.beat = beat
        return contextlib.nullcontext()


def stopped(form, cause, folder, *, grace=120):
    """Run the tool in a form, stop it, and return the result; the lock is ``folder/lock``."""
    lock, stop = folder / "lock", StopRequest()
    prepare = f"printf '#!/bin/sh\\nexec {TOOL}\\n' > tool; chmod +x tool"
    world = World([prepare, form], env={"LOCK": str(lock)}, timeout=250, grace=grace)
    world.heartbeat = heartbeat = BeatsWhenAsked()
    object.__setattr__(world.worker._ports, "heartbeat", heartbeat)
    work = world.work()
    if cause == "time-out":
        work = work.model_copy(update={"timeout": 3})
    elif cause == "cancel":

        def cancel():
            world.runs.request_stop(RUN_ID, "wrong branch")
            heartbeat.beat()

        when(lock, cancel)
    else:
        when(lock, lambda: stop.hasten("the worker was stopped"))
    world.worker.run(work, stop=stop)
    return world.result, lock


IN_EACH_RUN = {
    "alone", "into a pipe", "in a script", "in the background", "under timeout", "into tee and a named pipe",
    "with a handler that kills its jobs",
}  # fmt: skip
"""The forms that every run of the suite plays; ``.ci/full`` plays all of them."""


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=() if form in IN_EACH_RUN else pytest.mark.full) for form in FORMS]
)
def test_a_tool_releases_its_lock(form, cause, temporary):
    result, lock = stopped(FORMS[form], cause, temporary)
    assert not lock.exists(), result.log_tail[-2000:]
    assert result.status is CAUSES[cause], result.reason
    assert "it ended by itself" in result.reason
    assert descendants() == []


@pytest.mark.full
@pytest.mark.parametrize("form", GOING_ON)
def test_a_script_that_never_ends_leaves_no_lock(form, temporary):
    result, lock = stopped(GOING_ON[form], "cancel", temporary, grace=60)
    assert not lock.exists(), result.log_tail[-2000:]
    assert result.status is OrderState.CANCELLED, result.reason
    assert descendants() == []


def test_a_second_wish_shortens_the_wait_and_sends_no_second_signal(temporary):
    lock, stop = temporary / "lock", StopRequest()
    program = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGINT, lambda *_: print('asked', flush=True))\n"
        f"pathlib.Path({str(lock)!r}).touch()\n"
        "while True: time.sleep(1)"
    )
    world = World([f'{sys.executable} -c "$PROGRAM"'], env={"PROGRAM": program}, grace=1800)
    work = world.work()

    def twice():
        stop.hasten("the worker was stopped")
        while not stop.stopping:
            time.sleep(0.01)
        stop.hasten("the worker was stopped again")

    when(lock, twice)
    world.worker.run(work, stop=stop)
    assert world.result.log_tail.count("asked") == 1
    waited = re.search(r"it did not end within (\d+) seconds and was killed", world.result.reason)
    assert waited is not None, world.result.reason
    assert 10 <= int(waited[1]) < 900, "as long as its grace"


def test_what_the_last_command_left_behind_is_asked_too(temporary):
    lock = temporary / "lock"
    world = World([f"{TOOL} & while [ ! -e $LOCK ]; do sleep 0.1; done"], env={"LOCK": str(lock)}, grace=120)
    assert world.run().status is OrderState.SUCCEEDED
    assert not lock.exists()


def process(pid, parent=1, name="tool", **fields):
    plain = {"program": name, "script": "", "caught": 0, "ignored": 0, "reads": frozenset(), "writes": frozenset()}
    return Process(pid=pid, parent=parent, started=pid, name=name, **(plain | fields))


INT, TERM = (1 << number - 1 for number in (signal.SIGINT, signal.SIGTERM))
EXIT_TRAP = 0x43817EF9
"""What bash catches with a handler for its exit."""

QUIT = 1 << signal.SIGQUIT - 1
PIPE, OTHER = (9, 1), (9, 2)
SIGNALS = {
    "a program": ([process(2)], {2: "SIGINT"}, {}),
    "a program that handles SIGTERM alone": ([process(2, caught=TERM)], {2: "SIGTERM"}, {}),
    "a program that handles both": ([process(2, caught=INT | TERM)], {2: "SIGINT"}, {}),
    "a program in the background": ([process(2, ignored=INT)], {2: "SIGTERM"}, {}),
    "a program that ignores both": ([process(2, ignored=INT | TERM)], {}, {}),
    "a shell": ([process(2, name="bash", caught=INT), process(3, 2)], {2: "SIGINT", 3: "SIGINT"}, {}),
    "a shell with a handler": ([process(2, name="bash", caught=TERM), process(3, 2)], {2: "SIGTERM"}, {3: "SIGINT"}),
    "a shell with a handler for its exit": (
        [process(2, name="bash", caught=EXIT_TRAP), process(3, 2)],
        {2: "SIGINT", 3: "SIGINT"},
        {},
    ),
    "a script": ([process(2, name="deploy.sh", program="bash"), process(3, 2)], {2: "SIGINT", 3: "SIGINT"}, {}),
    "a wrapper": ([process(2, name="timeout"), process(3, 2)], {3: "SIGINT"}, {2: "SIGINT"}),
    "the reader of a pipe": (
        [process(2, writes=frozenset({PIPE})), process(3, name="tee", reads=frozenset({PIPE}))],
        {2: "SIGINT"},
        {},
    ),
    "a shell that reads what its command prints": (
        [process(2, name="bash", caught=INT, reads=frozenset({PIPE})), process(3, 2, writes=frozenset({PIPE}))],
        {3: "SIGINT"},
        {},
    ),
    "the readers of a pipe and of what tee writes": (
        [
            process(2, writes=frozenset({PIPE})),
            process(3, name="tee", reads=frozenset({PIPE}), feeds=frozenset({OTHER})),
            process(4, 3, name="gzip", reads=frozenset({OTHER})),
        ],
        {2: "SIGINT"},
        {},
    ),
    "the reader of a named pipe that tee writes": (
        [
            process(2, writes=frozenset({PIPE})),
            process(3, name="tee", reads=frozenset({PIPE}), feeds=frozenset({OTHER})),
            process(4, name="cat", reads=frozenset({OTHER})),
        ],
        {2: "SIGINT"},
        {},
    ),
    "a coprocess whose readers have the descriptor to answer it": (
        [
            process(2, name="bash", caught=INT, feeds=frozenset({OTHER})),
            process(3, 2, reads=frozenset({OTHER}), writes=frozenset({PIPE})),
            process(4, 2, name="cat", reads=frozenset({PIPE}), writes=frozenset({(9, 3)}), feeds=frozenset({OTHER})),
            process(5, 2, name="grep", reads=frozenset({(9, 3)}), feeds=frozenset({OTHER})),
        ],
        {2: "SIGINT", 3: "SIGINT"},
        {},
    ),
    "a program that its parent answers": (
        [process(2, name="python3", feeds=frozenset({PIPE})), process(3, 2, reads=frozenset({PIPE}))],
        {3: "SIGINT"},
        {2: "SIGINT"},
    ),
    "a script that handles its exit, with a program in the background": (
        [process(2, name="bash", caught=EXIT_TRAP), process(3, 2, caught=INT | TERM, ignored=QUIT)],
        {3: "SIGINT"},
        {},
    ),
    "a script with a handler, with a program that handles signals": (
        [process(2, name="bash", caught=TERM), process(3, 2, caught=INT | TERM)],
        {3: "SIGINT"},
        {},
    ),
    "a terminal of its own, with a program that handles signals": (
        [process(2, name="script"), process(3, 2, name="sh"), process(4, 3, caught=INT | TERM)],
        {4: "SIGINT"},
        {},
    ),
    "a launcher above a program that handles signals": (
        [process(2, name="timeout"), process(3, 2, caught=INT | TERM)],
        {3: "SIGINT"},
        {},
    ),
    "Terraform of a version": ([process(2, name="timeout"), process(3, 2, name="terraform_1.9.8")], {3: "SIGINT"}, {}),
    "a wrapper with Terraform's name": (
        [process(2, name="terraform", program="python3.12"), process(3, 2, name="terraform")],
        {3: "SIGINT"},
        {},
    ),
    "a program that was answered by a pipe": ([process(2, reads=frozenset({PIPE}))], {2: "SIGINT"}, {}),
    "Terraform and its plugin": (
        [process(2, name="terraform"), process(3, 2, name="terraform-provi")],
        {2: "SIGINT"},
        {},
    ),
    "Terraform of another name": ([process(2, name="tf1.5"), process(3, 2, name="terraform-provi")], {2: "SIGINT"}, {}),
    "Terraform as a script": ([process(2, name="python3", program="python3", script="terraform")], {2: "SIGINT"}, {}),
    "Terraform in the background": ([process(2, name="tofu", ignored=INT)], {2: "SIGTERM"}, {}),
    "Terraform answered for ever": (
        [process(2, name="terraform", reads=frozenset({PIPE})), process(3, name="yes", writes=frozenset({PIPE}))],
        {2: "SIGINT", 3: "SIGINT"},
        {},
    ),
    "Terraform below Terragrunt below a shell": (
        [process(2, name="bash"), process(3, 2, name="terragrunt"), process(4, 3, name="terraform")],
        {4: "SIGINT"},
        {},
    ),
    "Terraform and what its provisioner runs": (
        [process(2, name="terraform"), process(3, 2, name="bash"), process(4, 3, name="curl")],
        {2: "SIGINT"},
        {},
    ),
    "Terraform of a provisioner of Terraform": (
        [process(2, name="terraform"), process(3, 2, name="bash"), process(4, 3, name="terraform")],
        {4: "SIGINT"},
        {},
    ),
}


def chosen(processes, asked, now):
    return {one.pid: number.name for one, number in signals(processes, asked, now)}


@pytest.mark.parametrize("case", SIGNALS)
def test_who_is_asked_and_how(case):
    processes, at_once, later = SIGNALS[case]
    asked = Asked()
    assert chosen(processes, asked, 100.0) == at_once
    assert chosen(processes, asked, 100.0 + LATE_SECONDS - 1) == {}
    assert chosen(processes, asked, 100.0 + LATE_SECONDS) == later
    assert chosen(processes, asked, 1000.0) == {}, "no process is asked twice"


def test_a_stopped_process_is_continued_once_it_is_asked():
    asked = Asked()
    look = [process(2, name="timeout", stopped=True), process(3, 2, caught=INT, stopped=True)]
    assert signals(look, asked, 100.0) == [(look[1], signal.SIGINT), (look[1], signal.SIGCONT)]
    # It may be stopped again.
    assert signals(look, asked, 100.1) == [(look[1], signal.SIGCONT)]
    asked.processes.add(look[0].key)
    asked.held.add(look[0].key)
    running = process(3, 2, caught=INT)
    assert signals([look[0], running], asked, 100.2) == [], "what the worker holds stays so"


def test_what_starts_after_the_stop_has_time_to_clean_up():
    asked, shell = Asked(), process(2, name="bash")
    assert chosen([shell, process(3, 2)], asked, 100.0) == {2: "SIGINT", 3: "SIGINT"}
    assert chosen([shell, process(4, 2)], asked, 101.0) == {}
    assert chosen([shell, process(4, 2)], asked, 101.0 + LATE_SECONDS) == {2: "SIGTERM", 4: "SIGINT"}
    assert chosen([shell, process(4, 2)], asked, 1000.0) == {}, "no process is ended twice"


@pytest.mark.parametrize(
    ("shell", "others", "is_ended"),
    [
        (process(2, name="bash"), [], True),
        (process(2, name="deploy.sh", program="dash"), [], True),
        (process(2, name="bash", caught=TERM), [], False),
        (process(2, name="bash", caught=EXIT_TRAP), [], False),
        (process(2, name="bash", reads=frozenset({PIPE})), [process(9, writes=frozenset({PIPE}))], False),
        (process(2, parent=9, name="bash"), [process(9, name="terraform")], False),
        (process(2, name="terraform", program="bash"), [], False),
        (process(2, name="make"), [], False),
    ],
)
def test_a_shell_that_goes_on_is_ended_although_no_command_of_it_lasts(shell, others, is_ended):
    """A loop starts Terraform again and again, and each of them fails within seconds."""
    asked = Asked()
    chosen([shell, process(3, 2), *others], asked, 100.0)
    found = {}
    for number, moment in enumerate((101.0, 103.0, 107.0, 101.0 + LATE_SECONDS)):
        assert shell.pid not in found
        found = chosen([shell, process(10 + number, 2), *others], asked, moment)
    assert (found.get(2) == "SIGTERM") is is_ended


def late_and_held(top, *, name="tool", reads=frozenset()):
    """Return what is decided once the second command of ``top`` has had its ten seconds, and what was asked."""
    asked = Asked()
    chosen([top, process(3, 2, name=name, caught=INT | TERM, writes=reads)], asked, 100.0)
    second = [top, process(4, 2, name=name, caught=INT | TERM, writes=reads)]
    assert chosen(second, asked, 101.0) == {}
    return chosen(second, asked, 101.0 + LATE_SECONDS), asked


HELD = {
    "a launcher": (process(2, name="xargs"), "tool"),
    "a program above Terraform": (process(2, name="python3"), "terraform"),
    "a script that handles its exit, above Terraform": (process(2, name="bash", caught=EXIT_TRAP), "terraform"),
    "a script with a handler, above Terraform": (process(2, name="bash", caught=TERM), "terraform"),
    "a script that ignores SIGTERM": (process(2, name="bash", ignored=INT | TERM), "tool"),
    "a shell that reads what its commands print": (process(2, name="bash", reads=frozenset({PIPE})), "tool"),
}


@pytest.mark.parametrize("case", HELD)
def test_what_goes_on_is_held_until_its_command_has_ended(case):
    top, name = HELD[case]
    decided, asked = late_and_held(top, name=name, reads=top.reads)
    assert decided == {2: "SIGSTOP", 4: "SIGINT"}
    running = [top, process(4, 2, name=name, caught=INT | TERM, writes=top.reads)]
    assert chosen(running, asked, 112.0) == {}
    let_go = signals([top], asked, 113.0)
    assert [number for _, number in let_go][1:] in ([signal.SIGCONT], [])
    assert let_go[0][1] in {signal.SIGINT, signal.SIGTERM, signal.SIGKILL}
    assert asked.killed is (top.ignored != 0)


def test_what_goes_on_although_it_was_let_go_is_killed():
    _, asked = late_and_held(top := process(2, name="bash", caught=TERM), name="terraform")
    signals([top], asked, 113.0)
    further = [top, process(5, 2, name="terraform", caught=INT | TERM)]
    assert chosen(further, asked, 114.0) == {}
    assert chosen(further, asked, 114.0 + LATE_SECONDS) == {2: "SIGSTOP", 5: "SIGINT"}
    assert chosen([top], asked, 127.0) == {2: "SIGKILL"}
    assert asked.killed


def test_a_program_is_not_asked_while_its_next_command_runs():
    """``subprocess.run`` kills its command when Python is interrupted."""
    asked, python = Asked(), process(2, name="python3", caught=INT)
    assert chosen([python, process(3, 2, caught=INT)], asked, 100.0) == {3: "SIGINT"}
    second = [python, process(4, 2, caught=INT)]
    assert chosen(second, asked, 104.0) == {}
    assert chosen(second, asked, 100.0 + LATE_SECONDS) == {2: "SIGSTOP"}
    assert chosen(second, asked, 100.1 + LATE_SECONDS) == {4: "SIGINT"}
    assert [number.name for _, number in signals([python], asked, 113.0)] == ["SIGINT", "SIGCONT"]


def test_a_handler_may_clean_up_until_shortly_before_the_end_of_the_grace():
    asked, shell = Asked(), process(2, name="bash", caught=TERM)
    assert chosen([shell, process(3, 2)], asked, 100.0) == {2: "SIGTERM"}
    for number, moment in enumerate(range(101, 181, 8)):
        assert chosen([shell, process(10 + number, 2)], asked, float(moment)) == {}
    last = [shell, process(40, 2)]
    assert {one.pid: number.name for one, number in signals(last, asked, 181.0, closing=True)} == {
        2: "SIGSTOP",
        40: "SIGINT",
    }


def test_the_last_command_of_a_shell_runs_in_its_place_and_is_asked():
    asked, shell = Asked(), process(2, name="bash")
    assert chosen([shell, process(3, 2)], asked, 100.0) == {2: "SIGINT", 3: "SIGINT"}
    replaced = [process(2, name="tool")]
    assert chosen(replaced, asked, 103.0) == {}
    assert chosen(replaced, asked, 103.0 + LATE_SECONDS) == {2: "SIGINT"}


def test_terraform_of_another_name_is_known_after_its_plugins_have_ended():
    asked, wrapper = Asked(), process(2, name="npm")
    plugin = process(4, 3, name="terraform-provi")
    assert chosen([wrapper, process(3, 2, name="tf"), plugin], asked, 100.0) == {3: "SIGINT"}
    assert chosen([wrapper, process(3, 2, name="tf")], asked, 200.0) == {}


def test_who_was_above_terraform_is_asked_ten_seconds_after_its_end():
    asked, terragrunt = Asked(), process(2, name="terragrunt")
    chosen([terragrunt, process(3, 2, name="terraform")], asked, 100.0)
    assert chosen([terragrunt, process(3, 2, name="terraform")], asked, 200.0) == {}
    assert chosen([terragrunt], asked, 201.0) == {}
    assert chosen([terragrunt], asked, 201.0 + LATE_SECONDS) == {2: "SIGINT"}


LAMBDA = START + timedelta(seconds=600)
TIMES = {
    "a build": ({"timeout": 3600}, 20, None, (3600, 300, None), "its timeout of 3600 seconds"),
    "a build that names a grace": (
        {"timeout": 60, "stop_grace": 1800},
        20,
        None,
        (60, 1800, None),
        "its timeout of 60 ",
    ),
    "lambda": ({"timeout": 450}, 20, LAMBDA, (450, 300, 535), "its timeout of 450 seconds"),
    "lambda, the longest": ({"timeout": 540}, 20, LAMBDA, (490, 300, 535), "90 seconds before the end of its Lambda"),
    "lambda, begun late": ({"timeout": 450}, 100, LAMBDA, (410, 300, 455), "90 seconds before the end of its Lambda"),
    "lambda that names a grace": (
        {"timeout": 240, "stop_grace": 300},
        20,
        LAMBDA,
        (235, 300, 535),
        "345 seconds before the end of its Lambda",
    ),
    "lambda that names a grace, begun late": (
        {"timeout": 240, "stop_grace": 300},
        55,
        LAMBDA,
        (200, 300, 500),
        "345 seconds before the end of its Lambda",
    ),
}


@pytest.mark.parametrize("case", TIMES)
def test_the_grace_begins_when_the_timeout_ends(case):
    fields, late, ends, (seconds, grace, last), limit = TIMES[case]
    work = (
        World(["true"]).work().model_copy(update={"not_after": START + timedelta(hours=9), "stop_grace": None} | fields)
    )
    time_ = allowance(work, START + timedelta(seconds=late), ends)
    assert (time_.seconds, time_.grace, time_.last) == (seconds, grace, last)
    assert limit in time_.limit


APPLY = """\
\x1b[0m\x1b[1maws_vpc.a: Creating...\x1b[0m
aws_vpc.a: Creation complete after 1s [id=vpc-1]
module.x["a b"].aws_db_instance.b: Still creating... [10s elapsed]
aws_s3_bucket.c: Modifying... [id=c]
aws_s3_bucket.c: Modifications complete after 0s [id=c]
12:00:00.000 STDOUT [unit] terraform: aws_iam_role.d: Destroying... [id=d]
{"type":"apply_start","hook":{"resource":{"addr":"aws_lb.e"},"action":"create"}}
{"type":"apply_complete","hook":{"resource":{"addr":"aws_lb.e"},"action":"create"}}
{"type":"apply_start","hook":{"resource":{"addr":"aws_lb.f"},"action":"update"}}
{"type":"apply_start", broken
"""


@pytest.mark.parametrize("text", ["0", "a.", "[a", "[a]", "x[x", "a]: ", "\x1b[", '"', 'a" "b'])
def test_a_log_that_ends_with_one_long_word_is_read_at_once(text: str):
    assert open_operations(text * (LOG_TAIL_BYTES // len(text)) + "\naws_vpc.a: Creating...\n") == [
        "aws_vpc.a (creating)"
    ]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a.b (deposed object 12ab): Destroying... [id=x]"], ["a.b (deposed object 12ab) (destroying)"]),
        (
            ["a.b (deposed object 12ab): Destroying... [id=x]", "a.b: Still destroying... [id=x, 10s elapsed]"],
            ["a.b (deposed object 12ab) (destroying)"],
        ),
        (
            [
                "a.b (deposed object 12ab): Destroying... [id=x]",
                "a.b (deposed object 34cd): Destroying... [id=y]",
                "a.b (deposed object 12ab): Destruction complete after 1s",
                "a.b: Modifying... [id=z]",
            ],
            ["a.b (deposed object 34cd) (destroying)", "a.b (modifying)"],
        ),
        (["a.b: Still destroying...", "a.b (deposed object 12ab): Destruction complete after 9s"], []),
        (["a.b: Modifying...", "a.b (deposed object 12ab): Destruction complete after 9s"], ["a.b (modifying)"]),
        (["a.b: Creating...", "c.d: Creating...", "a.b: Creation complete after 1s", "a.b: Destroying..."],
         ["c.d (creating)", "a.b (destroying)"]),
        (['module.x["a]b"].y.z["k"]: Creating...'], ['module.x["a]b"].y.z["k"] (creating)']),
        ([r'y.z["a\"]: b (c)"]: Still creating... [10s elapsed]'], [r'y.z["a\"]: b (c)"] (creating)']),
        (["(local-exec): x", "Creating...", "x : Creating..."], []),
        # Records of another program.
        *(
            ([f'{{"type":{kind},"hook":{hook},"x":{{"type":"apply_start"}}}}', "a.b: Creating..."], ["a.b (creating)"])
            for kind in ("[]", "{}", "null", "7")
            for hook in ("[]", "null", '{"resource": 7}', '{"resource": {"addr": []}, "action": {}}')
        ),
    ],
)  # fmt: skip
def test_what_is_open_is_named_as_terraform_names_it(lines, found):
    assert open_operations("\n".join(lines)) == found


def test_an_interrupted_order_says_what_it_was_stopped_in():
    found = open_operations(APPLY)
    assert found == [
        'module.x["a b"].aws_db_instance.b (creating)',
        "aws_iam_role.d (destroying)",
        "aws_lb.f (modifying)",
    ]
    outcome = Outcome(Ending.TIMED_OUT, 1, 0, 1, stopped_after=450, graced=4)
    reason = verdict(outcome, "its timeout of 450 seconds", None, found[1:]).reason
    assert reason == (
        "command 1 of 1 was stopped after 450 seconds, at its timeout of 450 seconds; it ended by itself with exit code"
        " 1 4 seconds later; Terraform had begun and not ended: aws_iam_role.d (destroying), aws_lb.f (modifying)."
        " The provider may have dropped these calls, so that a resource may exist that no state knows"
    )


def test_a_stopped_command_that_ended_with_0_is_no_success():
    """One SIGINT makes an interrupted plan end with 0 too."""
    stopped = Outcome(Ending.STOPPED, 0, 0, 1, graced=12)
    found = verdict(stopped, "its timeout of 60 seconds", "the run was stopped: wrong branch")
    assert found.status is OrderState.CANCELLED
    assert (
        "because the run was stopped: wrong branch; it ended by itself with exit code 0 12 seconds later"
        in found.reason
    )


_BUILD = """
import base64, os, sys
sys.path.insert(0, sys.argv[1])
from test_worker import World
from iac_ci_worker import codebuild, wiring
world = World([sys.argv[2]], grace=120)
wiring.worker = lambda: world.worker
os.environ["IAC_CI_WORK"] = base64.b64encode(world.work().model_dump_json().encode()).decode()
print(codebuild.main(["run"]), world.result.status, world.result.reason)
"""


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_a_build_passes_each_signal_that_asks_for_its_end_to_its_commands(name, temporary):
    lock = temporary / "lock"
    command = f"export LOCK={lock}; {TOOL} & until [ -e {lock} ]; do sleep 0.1; done; kill -{name} $PPID; wait"
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(Path(__file__).parent), command], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.startswith("0 cancelled "), (done.stdout, done.stderr)
    assert "because the worker was stopped; it ended by itself" in done.stdout
    assert not lock.exists()


_WITNESSED = """
import os, signal, sys, time
from iac_ci_worker.signal_witness import SignalWitness
from iac_ci_worker.stop_request import StopRequest
stop = StopRequest(SignalWitness.start().was_signalled)
signal.signal(signal.SIGTERM, lambda *_: stop.signal("the worker was stopped"))
print("ready", flush=True)
while stop.reason is None:
    time.sleep(0.01)
print(stop.reached_the_commands(), flush=True)
"""


@pytest.mark.parametrize("everyone", [True, False])
def test_the_witness_shows_whether_every_process_was_signalled(everyone):
    before = set(descendants())
    worker = subprocess.Popen([sys.executable, "-c", _WITNESSED], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "ready\n"
    (witness,) = set(descendants()) - before - {worker.pid}
    if everyone:
        os.kill(witness, signal.SIGTERM)
    worker.send_signal(signal.SIGTERM)
    assert worker.communicate()[0] == f"{everyone}\n"
    # It does not outlive the worker.
    assert os.waitpid(witness, 0)[0] == witness


@pytest.mark.parametrize("form", ["alone", "before another command", "in a script", "in a session of its own"])
def test_commands_that_were_signalled_with_the_worker_get_no_second_signal(form, temporary):
    """As StopBuild may do it: SIGTERM to every process, the worker last."""
    lock = temporary / "lock"
    stop = StopRequest(lambda _: True)
    prepare = f"printf '#!/bin/sh\\nexec {TOOL}\\n' > tool; chmod +x tool"
    world = World([prepare, FORMS[form]], env={"LOCK": str(lock)}, timeout=250, grace=120)

    def everyone():
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        stop.signal("the worker was stopped")

    when(lock, everyone)
    world.worker.run(world.work(), stop=stop)
    assert not lock.exists(), world.result.log_tail[-2000:]
    assert world.result.status is OrderState.CANCELLED, world.result.reason
    assert "because the worker was stopped; it ended by itself" in world.result.reason


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("trap 'exit 1' TERM; sleep 300 & touch $LOCK; wait", 1),
        ("trap 'exit 0' TERM; sleep 300 & touch $LOCK; wait", 0),
    ],
)
def test_a_command_that_ended_with_a_code_of_its_own_when_all_were_signalled_was_stopped(command, status, temporary):
    """It may end before the worker gets its own signal, or before the worker looks at it."""
    lock = temporary / "lock"
    signalled = threading.Event()
    stop = StopRequest(signalled.wait)
    world = World([command], env={"LOCK": str(lock)}, timeout=250, grace=120)

    def everyone():
        signalled.set()
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    when(lock, everyone)
    world.worker.run(world.work(), stop=stop)
    assert world.result.status is OrderState.CANCELLED, world.result.reason
    assert f"because the worker was stopped; it ended by itself with exit code {status}" in world.result.reason


@pytest.mark.parametrize(
    ("sent", "signalled", "code", "succeeded", "expected", "waited"),
    [
        (True, False, -15, False, True, 10.0),
        (True, False, 143, False, True, 10.0),
        (True, False, 1, False, True, 0.5),
        (True, False, 0, True, True, 0.0),
        (True, True, 0, True, True, 1.0),
        (False, True, 1, False, False, 1.0),
        (False, False, 1, False, False, 0.5),
        (False, False, 0, True, False, 0.0),
    ],
)
def test_how_long_the_signal_to_all_is_waited_for(sent, signalled, code, succeeded, expected, waited):
    asked = []
    stop = StopRequest(lambda seconds: asked.append(seconds) or sent)
    if signalled:
        stop.signal("the worker was stopped")
    assert stop.explains(code, succeeded=succeeded) is expected
    assert asked == [waited]
    assert (stop.reason is not None) is (expected or signalled)


def test_a_command_that_ends_itself_by_sigterm_was_not_stopped(temporary):
    result = World(["kill -TERM $$"]).run()
    assert (result.status, result.exit_code) == (OrderState.FAILED, -signal.SIGTERM)
