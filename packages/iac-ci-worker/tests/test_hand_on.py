"""What one order hands on to another, through the real worker, the broker in memory and real age encryption."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import io
import json
import os
import re
import resource
import sys
import tempfile
import zipfile
from datetime import timedelta

import pyrage
import pytest

from iac_ci_common import keys, packing
from iac_ci_common.errors import AlreadyExists, PortFailed
from iac_ci_common.identity_context import IdentityContext, ScopeContext
from iac_ci_common.models.manifest import (
    ENCRYPTED_IDENTITY_NAME,
    MANIFEST_NAME,
    Manifest,
    ManifestFiles,
    ManifestOutput,
    ManifestPlan,
)
from iac_ci_common.models.result import Claim, Result
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.models.trade import Recipient
from iac_ci_common.models.work import Work
from iac_ci_common.order_logs import read_log
from iac_ci_common.packing import write
from iac_ci_common.ports import Transition
from iac_ci_common.sealed_format import read_header, seal_file
from iac_ci_common.states import OrderState
from iac_ci_common.testing import FakeClock, MemoryBroker, MemoryLogger, MemoryObjects, MemoryRuns, MemorySealer
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_common.tickets import digest, new_ticket
from iac_ci_common.work_urls import invocation_urls
from iac_ci_worker import saved_files
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.runner import BashRunner
from iac_ci_worker.settings import WorkerSettings

SECRET = "planted-secret-of-the-network"
SOCKET = f"""{sys.executable} -c 'import socket; socket.socket(socket.AF_UNIX).bind("tfplan")'"""
VPC = {"VPC_ID": ManifestOutput(order_num="0001", order_name="network", output="vpc_id")}


class MemoryPresigned:
    """Presigned URLs over a bucket in memory. The first ``expired`` uses of a URL of an output find it ended."""

    def __init__(self, objects):
        self.objects, self.expired, self.refuses = objects, 0, False

    def create_claim(self, url, claim):
        self.objects.use_url(url, claim.model_dump_json().encode())

    def read_claim(self, url):
        return Claim.model_validate_json(self.objects.use_url(url))

    def fetch(self, url, path):
        if ("outputs" in url or "files" in url) and self.expired:
            self.expired -= 1
            self.objects.end_sessions()
        path.write_bytes(self.objects.use_url(url))

    def store_log(self, url, path):
        self.objects.use_url(url, path.read_bytes())

    def store(self, url, path):
        if self.refuses:
            raise PortFailed("a sealed file: HTTP 500")
        self.objects.use_url(url, path.read_bytes())

    def send_part(self, url, body):
        self.objects.use_url(url, body)

    def report(self, url, result):
        try:
            self.objects.use_url(url, result)
        except AlreadyExists:
            return False
        return True


class NoHeartbeat:
    @contextlib.contextmanager
    def during(self, beat, first):
        yield


class Stack:
    """The orders of one run; further runs share the bucket."""

    def __init__(self, *, source="github.com/acme/infra", report=None, objects=None):
        self.clock = FakeClock(START)
        self.objects = objects or MemoryObjects(self.clock)
        self.runs, self.sealer = MemoryRuns(), MemorySealer()
        self.broker = MemoryBroker(self.runs, self.objects, self.clock)
        self.presigned = MemoryPresigned(self.objects)
        self.source = source
        self.runs.insert(run_row(source=source, report=report), [], [])
        self.rows = {}
        ports = WorkerPorts(
            self.clock, self.presigned, self.sealer, BashRunner(), self.broker, NoHeartbeat(),
            MemoryLogger(), self.clock.advance,
        )  # fmt: skip
        self.worker = Worker(ports, WorkerSettings(command_path=os.environ["PATH"]))

    def run(self, num, *cmds, secrets=None, row=None, code=None, **manifest):
        """Run an order and end its row, as the orchestrator does; return its result."""
        order_num = f"{num:04d}"
        content = Manifest(
            run_id=RUN_ID, order_num=order_num, order_name=f"order-{num}", flow_id="f", cmds=cmds,
            sealed=secrets is not None or "takes" in manifest or "restore" in manifest, **manifest,
        )  # fmt: skip
        files = {MANIFEST_NAME: content.to_stored()}
        if content.sealed:
            files[content.sealed_name] = self.sealer.seal(secrets or {}, run_id=RUN_ID, age_recipient="age1")
            context = IdentityContext("iac-ci", self.source, RUN_ID)
            files[ENCRYPTED_IDENTITY_NAME] = self.sealer.encrypt_identity("AGE", context)
        archive = io.BytesIO()
        write(archive, files)
        self.objects.put(keys.package(RUN_ID, order_num), archive.getvalue())
        if code is not None:
            packed = io.BytesIO()
            write(packed, code)
            row = {**(row or {}), "code_sha256": hashlib.sha256(packed.getvalue()).hexdigest()}
            self.objects.put(keys.code(row["code_sha256"]), packed.getvalue())
        ticket, dispatch = new_ticket(), str(int(START.timestamp() * 1000))
        queued = order_row(
            num, timeout=60, package_sha256=hashlib.sha256(archive.getvalue()).hexdigest(), **(row or {})
        )
        sent = queued.model_copy(
            update={
                "status": OrderState.DISPATCHING,
                "dispatched_at": START,
                "order_deadline": START + timedelta(seconds=300),
                "tickets": (f"{dispatch}:{digest(ticket)}",),
            }
        )
        self.runs.order_rows[RUN_ID][order_num] = queued
        self.runs.apply([Transition(queued, sent)])
        work = Work(
            run_id=RUN_ID, order_num=order_num, trace_id="0" * 16, dispatch=dispatch, timeout=60,
            not_after=sent.order_deadline, urls=invocation_urls(self.objects, sent, seconds=600),
            package_sha256=sent.package_sha256, code_sha256=sent.code_sha256, ticket=ticket,
        )  # fmt: skip
        self.worker.run(work)
        result = Result.model_validate_json(self.objects.get(keys.result(RUN_ID, order_num)))
        handed_on = {name: getattr(result, name) for name in ("outputs", "files", "kept")}
        ended = sent.model_copy(update={"status": result.status, **handed_on})
        self.runs.apply([Transition(sent, ended)])
        return result

    def take(self, *cmds, takes=VPC, **more):
        return self.run(2, *cmds, takes=takes, row={"takes": ("0001",)}, **more)

    def restore(self, *cmds, files=("**",), folder=".", overwrite=False, **more):
        wanted = ManifestFiles(order_num="0001", order_name="plan", files=files, folder=folder, overwrite=overwrite)
        return self.run(2, *cmds, restore=(wanted,), row={"takes": ("0001",)}, **more)

    def log(self, num):
        return read_log(self.objects, RUN_ID, f"{num:04d}").text


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == [], "an order left something behind"


@pytest.fixture
def stack():
    return Stack()


def test_an_output_reaches_the_order_that_takes_it_and_no_variable_besides(stack):
    written = stack.run(1, 'echo vpc_id=vpc-42 >> "$IAC_CI_OUTPUT"', 'echo PATH=/evil >> "$IAC_CI_OUTPUT"')
    assert (written.status, written.reason) == (OrderState.SUCCEEDED, None)
    result = stack.take('echo "got $VPC_ID"', "env | grep -c evil || true")
    assert result.status is OrderState.SUCCEEDED
    assert "got vpc-42\n" in stack.log(2)
    assert "/evil" not in stack.log(2)


def test_an_output_is_data_in_every_character(stack):
    value = """ $(touch pwned) `x` "q" 'q' \\n é {{ sha }} \t="""
    stack.run(1, f"cat >> \"$IAC_CI_OUTPUT\" <<'END'\nvpc_id={value}\nEND\n")
    stack.take('printf %s "$VPC_ID"; printf %s "$VPC_ID" | base64 -w0')
    assert base64.b64encode(value.encode()).decode() in stack.log(2)


def test_a_secret_output_stays_masked_in_the_order_that_takes_it_and_is_stored_sealed(stack):
    stack.run(1, 'echo "vpc_id=postgres://admin:$TOKEN@db" >> "$IAC_CI_OUTPUT"', secrets={"TOKEN": SECRET})
    result = stack.take('[ ${#VPC_ID} -gt 30 ]; echo "$VPC_ID"', 'echo "$VPC_ID" | base64')
    assert result.status is OrderState.SUCCEEDED
    assert "***" in stack.log(2)
    everything = b"".join(body for key, body in stack.objects.objects.items() if "exec" not in key)
    assert SECRET.encode() not in everything
    assert SECRET not in str(stack.runs.read(RUN_ID))


def test_outputs_of_a_failed_order_count_too(stack):
    failed = stack.run(1, 'echo vpc_id=half >> "$IAC_CI_OUTPUT"; false')
    assert failed.status is OrderState.FAILED
    stack.take('echo "got $VPC_ID"')
    assert "got half\n" in stack.log(2)


def test_every_missing_output_is_named_and_no_command_runs(stack):
    stack.run(1, "true")
    takes = {name: VPC["VPC_ID"].model_copy(update={"output": name.lower()}) for name in ("A", "B")}
    result = stack.take("echo ran", takes=takes)
    assert result.status is OrderState.FAILED
    assert result.reason == (
        "the order could not be started: network has no output a, which A takes; network has no output b, which B takes"
    )
    assert stack.log(2) == ""


def test_lines_that_are_no_outputs_fail_nothing_and_are_named(stack):
    result = stack.run(1, 'printf "hello\\nvpc_id=1\\n" >> "$IAC_CI_OUTPUT"')
    assert (result.status, result.reason) == (OrderState.SUCCEEDED, "$IAC_CI_OUTPUT: line 1 is not NAME=value")
    assert result.outputs is not None


def test_outputs_that_cannot_be_stored_do_not_change_how_the_order_ended(stack):
    stack.presigned.refuses = True
    result = stack.run(1, 'echo vpc_id=1 >> "$IAC_CI_OUTPUT"')
    assert result.status is OrderState.SUCCEEDED
    assert result.reason == "the outputs could not be stored: a sealed file: HTTP 500"


@pytest.mark.parametrize(
    "command",
    [
        'ln -sf /etc/hostname "$IAC_CI_OUTPUT"',
        'rm "$IAC_CI_OUTPUT"; mkfifo "$IAC_CI_OUTPUT"',
        'rm "$IAC_CI_OUTPUT" && mkdir "$IAC_CI_OUTPUT"',
        'd=$(dirname "$IAC_CI_OUTPUT"); mv "$d" "$d.old"; mkdir "$d"; echo vpc_id=1 > "$IAC_CI_OUTPUT"',
        'rm -rf "$(dirname "$IAC_CI_OUTPUT")"',
    ],
)
def test_nothing_else_is_read_in_place_of_the_file(stack, command):
    result = stack.run(1, command)
    assert result.status is OrderState.SUCCEEDED
    assert result.outputs is None


def test_a_process_that_outlives_its_command_writes_no_output(stack):
    stack.run(1, '(sleep 3000; echo vpc_id=late >> "$IAC_CI_OUTPUT") & disown', 'echo vpc_id=1 >> "$IAC_CI_OUTPUT"')
    stack.take('echo "got $VPC_ID"')
    assert "got 1\n" in stack.log(2)


def test_outputs_that_were_exchanged_in_the_bucket_are_refused(stack):
    stack.run(1, 'echo vpc_id=mine >> "$IAC_CI_OUTPUT"')
    stack.objects.put(keys.outputs(RUN_ID, "0001"), b"exchanged")
    result = stack.take("echo ran")
    assert result.status is OrderState.FAILED
    assert "the outputs of network are not those that the order handed on" in result.reason


def test_urls_that_end_are_asked_for_again(stack):
    stack.run(1, 'echo vpc_id=1 >> "$IAC_CI_OUTPUT"')
    stack.presigned.expired = 2
    assert stack.take('[ "$VPC_ID" = 1 ]').status is OrderState.SUCCEEDED


PULL = ReportTarget(repository="github.com/acme/infra", number=7, pull_request=7)


@pytest.mark.parametrize(
    "other",
    [
        {"source": "github.com/acme/other", "report": PULL},
        {"report": PULL.model_copy(update={"number": 8, "pull_request": 8})},
        {"report": PULL.model_copy(update={"pull_request": None})},
        {"report": None},
    ],
)
def test_another_source_or_pull_request_opens_nothing(other):
    """The row of another run names the object, as if its digest had been forged too."""
    first = Stack(report=PULL)
    sealed = first.run(1, 'echo vpc_id=1 >> "$IAC_CI_OUTPUT"').outputs
    for run, opened in (({"report": PULL}, True), (other, False)):
        second = Stack(objects=MemoryObjects(first.clock), **run)
        second.objects.put(keys.outputs(RUN_ID, "0001"), first.objects.get(keys.outputs(RUN_ID, "0001")))
        second.runs.order_rows[RUN_ID]["0001"] = order_row(1, status=OrderState.SUCCEEDED, outputs=sealed)
        result = second.take("echo ran")
        assert (result.status is OrderState.SUCCEEDED) is opened, result.reason


def test_an_order_without_outputs_trades_nothing(stack):
    stack.run(1, "true")
    assert [trade for trade in stack.broker.trades if trade.seals or trade.outputs_bytes] == []


def test_a_worker_of_a_version_before_does_not_run_an_order_that_takes():
    """It looks for the sealed file under its former name."""
    manifest = Manifest(
        run_id=RUN_ID, order_num="0002", order_name="app", flow_id="f", cmds=("true",), sealed=True, takes=VPC
    )
    assert manifest.sealed_name != "secrets.sops.json"
    assert "VPC_ID" not in json.loads(manifest.to_stored())["env_vars"]


# -- files ------------------------------------------------------------------------------------------------------------

PLAN = (
    "mkdir -p out/deep; printf plan > tfplan; printf deep > out/deep/x; printf '#!/bin/sh' > out/run; chmod +x out/run"
)


def test_saved_files_are_restored_with_their_names_and_modes(stack):
    saved = stack.run(1, PLAN, save=("tfplan", "out/**", "!out/deep/y"))
    assert (saved.status, saved.reason) == (OrderState.SUCCEEDED, None)
    result = stack.restore('[ "$(cat in/tfplan in/out/deep/x)" = plandeep ]', "[ -x in/out/run ]", folder="in")
    assert result.status is OrderState.SUCCEEDED, result.reason


def test_only_the_named_files_are_restored(stack):
    stack.run(1, PLAN, save=("**",))
    result = stack.restore("[ -f tfplan ]", "[ ! -e out ]", files=("tfplan",))
    assert result.status is OrderState.SUCCEEDED, result.reason


def test_files_are_saved_relative_to_the_folder_of_the_commands(stack):
    saved = stack.run(1, "printf new > made", save=("made",), code={"infra/a.tf": b"a"}, folder="infra")
    assert saved.reason is None
    result = stack.restore("[ -f a.tf ]", "[ -f in/made ]", folder="in", code={"a.tf": b"a"})
    assert result.status is OrderState.SUCCEEDED, result.reason


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        ("printf false > plan.json; printf plan > tfplan", "the plan cannot be applied"),
        ("printf false > plan.json; printf x > other", "it wrote no plan tfplan"),
    ],
)
def test_the_json_of_a_plan_is_never_what_commands_wrote(stack, commands, reason):
    plan = ManifestPlan(file="tfplan", tool="terraform", json_file="plan.json")
    saved = stack.run(1, commands, save=("*",), plan=plan)
    assert saved.status is OrderState.SUCCEEDED
    assert reason in saved.reason
    result = stack.restore("[ -f tfplan ] || [ -f other ]", "[ ! -e plan.json ]")
    assert result.status is OrderState.SUCCEEDED, result.reason


def test_nothing_that_came_with_the_code_is_replaced_unless_asked(stack):
    stack.run(1, "printf planted > main.tf; printf plan > tfplan", save=("*",))
    refused = stack.restore("echo ran", code={"main.tf": b"reviewed"})
    assert refused.status is OrderState.FAILED
    assert refused.reason == (
        "the order could not be started: 'main.tf' is in the code already; set overwrite: true to replace it"
    )
    assert stack.log(2) == ""


def test_what_came_with_the_code_is_replaced_if_asked(stack):
    stack.run(1, "printf replaced > main.tf", save=("*",))
    result = stack.restore('[ "$(cat main.tf)" = replaced ]', code={"main.tf": b"reviewed"}, overwrite=True)
    assert result.status is OrderState.SUCCEEDED, result.reason


def linked(target):
    """Code whose folder ``in`` is a link."""
    import stat as modes
    import zipfile

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        entry = zipfile.ZipInfo("in")
        entry.create_system, entry.external_attr = 3, (modes.S_IFLNK | 0o777) << 16
        zipped.writestr(entry, target)
        zipped.writestr("real/keep", "x")
    return archive.getvalue()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["in", "."])
def test_no_file_is_restored_through_a_link(stack, monkeypatch, name, overwrite):
    stack.run(1, "mkdir -p in; printf planted > in/tfplan", save=("in/**",))
    archive = linked("real")
    sha256 = hashlib.sha256(archive).hexdigest()
    stack.objects.put(keys.code(sha256), archive)
    files = {"folder": "in", "files": ("in/tfplan",)} if name == "in" else {"folder": "."}
    wanted = ManifestFiles(order_num="0001", order_name="plan", overwrite=overwrite, **({"files": ("**",)} | files))
    result = stack.run(2, "echo ran", restore=(wanted,), row={"takes": ("0001",), "code_sha256": sha256})
    assert result.status is OrderState.FAILED
    assert "is below a link or a file" in result.reason


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(stack, tmp_path):
    stack.run(1, "printf plan > in", save=("in",))
    archive = linked("real/keep")
    sha256 = hashlib.sha256(archive).hexdigest()
    stack.objects.put(keys.code(sha256), archive)
    wanted = ManifestFiles(order_num="0001", order_name="plan", files=("in",), folder=".", overwrite=True)
    result = stack.run(
        2, '[ "$(cat in)" = plan ]', "[ ! -L in ]", '[ "$(cat real/keep)" = x ]', restore=(wanted,),
        row={"takes": ("0001",), "code_sha256": sha256},
    )  # fmt: skip
    assert result.status is OrderState.SUCCEEDED, result.reason


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("ln -s /etc/hostname tfplan", "files: 'tfplan' is left out: it is a symbolic link"),
        ("ln -s /etc tfplan", "files: 'tfplan' is left out: it is a symbolic link"),
        (SOCKET, "files: 'tfplan' is left out: it is not a regular file"),
        ("mkfifo tfplan", "files: 'tfplan' is left out: it is not a regular file"),
    ],
)
def test_links_and_devices_are_not_saved(stack, command, problem):
    saved = stack.run(1, command, save=("tfplan",))
    assert (saved.status, saved.files, saved.reason) == (OrderState.SUCCEEDED, None, problem)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (r"touch 'dev-disk\x2duuid.mount'", "the name contains a backslash"),
        (r"mkdir 'a\b'; touch 'a\b/c'", "the name contains a backslash"),
        ("touch c:drive", "the name begins like a drive of Windows"),
        (r"touch $'latin-\xff'", "the name is not valid UTF-8"),
        ('d=$(printf %0200d 0); for i in $(seq 30); do mkdir "$d"; cd "$d"; done; touch deep', "File name too long"),
    ],
)
def test_a_name_that_no_archive_can_hold_loses_no_other_file(stack, command, problem):
    saved = stack.run(1, f"({command}); printf plan > tfplan; touch $'line\nbreak' 'ends with a blank '", save=("**",))
    assert saved.status is OrderState.SUCCEEDED
    assert re.fullmatch(f"files: '.* is left out: {problem}", saved.reason)
    assert stack.restore("[ -s tfplan ]", "[ -f $'line\nbreak' ]", "[ -f 'ends with a blank ' ]").reason is None


def test_no_file_is_saved_through_a_folder_that_is_a_link(stack):
    saved = stack.run(1, "ln -s /etc out", save=("out/**", "**/hostname"))
    assert (saved.status, saved.files, saved.reason) == (OrderState.SUCCEEDED, None, "no file matches save")


def test_a_folder_that_commands_exchange_saves_nothing_else(stack):
    saved = stack.run(1, 'here=$(pwd); cd ..; mv "$here" elsewhere; ln -s /etc "$here"', save=("hostname", "passwd"))
    assert saved.files is None


def test_files_of_a_process_that_outlives_its_command_are_complete(stack):
    """Everything is copied after all processes have ended, so nothing changes meanwhile."""
    growing = "(while :; do date >> growing; done) & until [ -s growing ]; do :; done"
    stack.run(1, f"{growing}; printf plan > tfplan", save=("*",))
    assert stack.restore("[ -s growing ]").status is OrderState.SUCCEEDED


def test_too_much_is_left_out_by_name(stack, monkeypatch):
    monkeypatch.setattr(saved_files, "MAX_SAVED_BYTES", 10)
    saved = stack.run(1, "printf 12345678901 > big; printf 1 > small", save=("*",))
    assert saved.reason == "files: 'big' is left out: an order keeps 10 bytes at most"
    assert stack.restore("[ -f small ]", "[ ! -e big ]").status is OrderState.SUCCEEDED


def test_too_many_files_are_left_out(stack, monkeypatch):
    monkeypatch.setattr(saved_files, "MAX_SAVED_FILES", 3)
    saved = stack.run(1, "touch a b c d e", save=("*",))
    assert saved.reason == "files: more than 3 files match; the rest is left out"


def test_missing_files_are_all_named(stack):
    stack.run(1, "printf plan > tfplan", save=("tfplan",))
    result = stack.restore("echo ran", files=("tfplan", "a", "b/**"))
    assert result.reason == "the order could not be started: plan saved no file 'a'; plan saved no file 'b/**'"


def test_an_order_that_saved_nothing_is_named(stack):
    stack.run(1, "true", save=("tfplan",))
    assert stack.restore("echo ran").reason == "the order could not be started: plan saved no files"


def test_urls_of_files_that_end_are_asked_for_again(stack):
    stack.run(1, PLAN, save=("**",))
    stack.presigned.expired = 2
    assert stack.restore("[ -f tfplan ]").status is OrderState.SUCCEEDED


def test_exchanged_files_are_refused(stack):
    stack.run(1, PLAN, save=("**",))
    stack.objects.put(keys.files(RUN_ID, "0001"), b"exchanged")
    result = stack.restore("echo ran")
    assert "the files of plan are not those that the order handed on" in result.reason


@pytest.mark.parametrize(
    "other",
    [{"source": "github.com/acme/other", "report": PULL}, {"report": PULL.model_copy(update={"pull_request": 8})}, {}],
    ids=["source", "pull request", "run"],
)
def test_files_are_restored_by_no_other_source_and_no_other_pull_request(other):
    first = Stack(report=PULL)
    sealed = first.run(1, PLAN, save=("tfplan",)).files
    for run, opened in (({"report": PULL}, True), (other, False)):
        second = Stack(objects=MemoryObjects(first.clock), **run)
        second.objects.put(keys.files(RUN_ID, "0001"), first.objects.get(keys.files(RUN_ID, "0001")))
        second.runs.order_rows[RUN_ID]["0001"] = order_row(1, status=OrderState.SUCCEEDED, files=sealed)
        result = second.restore("[ -f tfplan ]")
        assert (result.status is OrderState.SUCCEEDED) is opened, result.reason


def kept_by(stack, num=1):
    """Open what a failed order left, as the command line does with the right to decrypt."""
    sealed = io.BytesIO(stack.objects.get(keys.kept(RUN_ID, f"{num:04d}")))
    header = read_header(sealed)
    encrypted = base64.b64decode(header.identity)
    context = ScopeContext(*header.context.values(), RUN_ID)
    identity = MemorySealer().decrypt_identity(encrypted, context)
    plain = pyrage.decrypt(sealed.read(), [pyrage.x25519.Identity.from_str(identity)])
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


LOST = "mkdir -p env/prod; printf state > env/prod/errored.tfstate; printf crash > crash.log; printf x > other; exit 1"


def test_what_would_be_lost_is_kept_of_a_failed_order(stack):
    failed = stack.run(1, LOST)
    assert (failed.status, failed.exit_code) == (OrderState.FAILED, 1)
    assert failed.reason.endswith("; it left files; fetch them with `iac-ci files`")
    assert kept_by(stack) == {"env/prod/errored.tfstate": b"state", "crash.log": b"crash"}


def test_folders_too_deep_to_walk_neither_fail_an_order_nor_hide_what_it_leaves(stack):
    nest = "import os\nfor _ in range(1200): os.mkdir('d'); os.chdir('d')"
    failed = stack.run(1, f'printf state > errored.tfstate; {sys.executable} -c "{nest}"; exit 3')
    assert (failed.status, failed.exit_code) == (OrderState.FAILED, 3)
    assert "more than 249 folders inside one another are not examined; it left files" in failed.reason
    assert kept_by(stack) == {"errored.tfstate": b"state"}


def test_a_folder_that_cannot_be_read_is_named(stack, monkeypatch):
    opens = os.open

    def refusing(path, *arguments, **named):
        if path == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opens(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refusing)
    failed = stack.run(1, "mkdir closed; printf state > errored.tfstate; exit 3")
    assert "the folder 'closed' cannot be read: Permission denied; it left files" in failed.reason
    assert kept_by(stack) == {"errored.tfstate": b"state"}


def test_what_is_left_is_kept_also_if_a_later_command_cannot_be_started(stack):
    moved = 'here="$PWD"; cd ..; mv "$here" elsewhere'
    failed = stack.run(1, f"printf state > errored.tfstate; {moved}", "terraform state push errored.tfstate")
    assert re.match("command 2 of 2 could not be started: ", failed.reason)
    assert failed.kept is not None


@pytest.mark.parametrize("module", [saved_files.shutil, packing.zipfile, pyrage], ids=["copy", "zip", "seal"])
@pytest.mark.parametrize("filled", ["big", "folder/big", "$TMPDIR/big", "$HOME/.terraform.d/big"])
def test_on_a_full_disk_what_would_be_lost_takes_the_room_of_the_rest(stack, monkeypatch, tmp_path, module, filled):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    name = {saved_files.shutil: "copyfileobj", packing.zipfile: "ZipFile"}.get(module, "encrypt_io")
    real = getattr(module, name)

    def refusing(*arguments, **named):
        if list(tmp_path.rglob("big")):
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise pyrage.EncryptError(f"OSError: {error}") if name == "encrypt_io" else error
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, refusing)
    fill = f"mkdir -p $(dirname {filled}); printf x > {filled}"
    hand_on = "printf saved > a.out; mkfifo pipe.out; echo A=1 > $IAC_CI_OUTPUT"
    failed = stack.run(1, f"{fill}; {hand_on}; {LOST}", save=("*.out",))
    left_out = "files: 'pipe.out' is left out: it is not a regular file"
    assert (
        failed.reason
        == f"command 1 of 1 ended with exit code 1; {left_out}; it left files; fetch them with `iac-ci files`"
    )
    assert kept_by(stack) == {"env/prod/errored.tfstate": b"state", "crash.log": b"crash"}
    assert (failed.outputs is None, failed.files is None) == (False, False)


def test_a_full_disk_that_stays_full_is_named(stack, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(saved_files.shutil, "copyfileobj", refuse)
    failed = stack.run(1, LOST)
    assert failed.reason.endswith("; the files to keep could not be stored: No space left on device")


def test_sealing_into_a_full_file_system_says_so(tmp_path):
    """A limit of a file's size stands for the disk: both make the write fail."""
    (tmp_path / "plain").write_bytes(b"x" * 200_000)
    identity = pyrage.x25519.Identity.generate()
    recipient = Recipient(recipient=str(identity.to_public()), identity="aWQ=", context={})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)) as raised:
            seal_file(tmp_path / "plain", tmp_path / "sealed", recipient)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for path in tmp_path.iterdir():
            path.unlink()
    assert raised.value.errno == errno.EFBIG


def test_an_order_chooses_what_is_kept(stack):
    stack.run(1, LOST, keep_on_failure=("other",))
    assert kept_by(stack) == {"other": b"x"}


@pytest.mark.parametrize("chosen", [(), ("nothing",)])
def test_nothing_is_kept_where_nothing_matches(stack, chosen):
    assert stack.run(1, LOST, keep_on_failure=chosen).kept is None
    assert not stack.objects.exists(keys.kept(RUN_ID, "0001"))


def test_nothing_is_kept_of_an_order_that_succeeds(stack):
    assert stack.run(1, "printf state > errored.tfstate").kept is None


def test_no_secret_in_a_file_stands_in_the_bucket_or_the_result(stack):
    stack.run(1, 'printf %s "$TOKEN" > errored.tfstate; exit 1', secrets={"TOKEN": SECRET})
    everything = b"".join(body for key, body in stack.objects.objects.items() if "exec" not in key)
    assert SECRET.encode() not in everything
    assert kept_by(stack) == {"errored.tfstate": SECRET.encode()}
