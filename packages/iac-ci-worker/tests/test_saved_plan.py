"""What the worker reads of a saved plan, with a program in place of the tool; real Terraform is in the system tests."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from iac_ci_common.errors import PackageUnsafe, PlanStale, PortFailed
from iac_ci_common.models.changes import Changes
from iac_ci_common.models.manifest import ManifestPlan, ManifestSavedPlan
from iac_ci_common.models.saved_plan import PlannedFile
from iac_ci_common.redaction import Redactor
from iac_ci_common.testing.samples import START
from iac_ci_worker import saved_plan
from iac_ci_worker.decide import reading_seconds
from iac_ci_worker.engine_tool import engine_tool, needed_tool
from iac_ci_worker.lock_file import LOCK_NAME
from iac_ci_worker.processes import adopt_orphans, descendants
from iac_ci_worker.reviewed_plan import check_place, check_version, fetch_plan, put_plan
from iac_ci_worker.saved_plan import PlanOrigin, SavedPlanReader, data_folder
from iac_ci_worker.workspace import open_workspace

sys.path.insert(0, str(Path(__file__).parent))
from made_plans import archive, backend, message

PLAN = archive(message(backend("default")))
LOCK = b'provider "registry.terraform.io/hashicorp/aws" {\n  version = "6.25.0"\n  hashes = [\n    "h1:a=",\n  ]\n}\n'
ADDED = LOCK.replace(b'"h1:a="', b'"h1:a=",\n    "h1:b="')
SECRET = "planted-secret-of-a-plan"
TEXT = f"""
Terraform will perform the following actions:

  # aws_sns_topic.a will be created
  + resource "aws_sns_topic" "a" {{
      + name = "{SECRET}"
    }}

Plan: 1 to add, 0 to change, 0 to destroy.
"""
DOCUMENT = {
    "format_version": "1.2",
    "terraform_version": "1.11.4",
    "planned_values": {},
    "resource_changes": [{"address": "aws_sns_topic.a", "change": {"actions": ["create"]}}],
}
TOOL = """#!{python}
import os, pathlib, sys, time
text, document = {text!r}, {document!r}
arguments = sys.argv[1:]
if arguments[0] == "version":
    print('{{"terraform_version": "1.11.4"}}')
    sys.exit(0)
{does}
sys.stdout.write(document if "-json" in arguments else text)
"""


AS_ANOTHER_USER = """#!/bin/sh
fail() {{ echo "Error: $1" >&2; exit 1; }}
[ "$(id -u):$(id -G)" = "{user}:{user}" ] || fail user
[ "$(head -c 2 plan)" = PK ] || fail unreadable
for path in plan .terraform.lock.hcl terraform.rc; do
  (echo x >> "$path") 2> /dev/null && fail "$path can be changed"
  rm -f "$path" 2> /dev/null && fail "$path can be removed"
done
(echo x > more) 2> /dev/null && fail "files can be added"
ls "{copies}" > /dev/null 2>&1 && fail "the copies are open"
echo x > "$HOME/x" && echo x > "$TMPDIR/x" || fail "home cannot be written"
echo '{document}'
"""
"""The document stands for the text too: it has no line that the reader of text reads."""


@pytest.fixture(autouse=True, scope="module")
def orphans():
    adopt_orphans()


class World:
    def __init__(self, folder, workspace):
        self.workspace, self.copies = workspace, folder / "copies"
        self.copies.mkdir()
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.tool_does("")
        (self.copies / "p.bin").write_bytes(PLAN)
        (self.copies / LOCK_NAME).write_bytes(LOCK)
        self.seconds = 30.0
        self.committed = LOCK
        self.plan = ManifestPlan(file="p.bin", tool="terraform", workspace="default")

    def tool_does(self, does, *, document=DOCUMENT):
        program = self.bin / "terraform"
        if not isinstance(document, str):
            document = json.dumps(document)
        program.write_text(TOOL.format(python=sys.executable, does=does, text=TEXT, document=document))
        program.chmod(0o755)
        self.tool = engine_tool("terraform", self.workspace, f"{self.bin}:/usr/bin:/bin")

    def read(self):
        place = PlanOrigin(self.workspace, self.workspace.code / ".terraform", "/tmp/fixed", self.committed)
        redactor = Redactor([SECRET])
        return SavedPlanReader(self.plan, self.tool, place, redactor, lambda: self.seconds).read(self.copies)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CLI_ARGS", "-evil")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with open_workspace() as workspace:
        yield World(tmp_path, workspace)
        assert list(workspace.root.glob("tool-*")) == []


def test_a_plan_is_described_by_its_bytes(world):
    read = world.read()
    assert read.planned == PlannedFile(
        sha256=hashlib.sha256(PLAN).hexdigest(),
        tool="terraform",
        tool_version="1.11.4",
        workspace="default",
        path="/tmp/fixed",
        lock_sha256=hashlib.sha256(LOCK).hexdigest(),
    )
    assert read.changes == Changes(operation="planned", add=1)
    assert [resource.address for resource in read.text.resources] == ["aws_sns_topic.a"]
    assert "***" in read.text.resources[0].text
    assert SECRET not in repr(read)
    assert read.note is None


def test_the_json_of_a_plan_lies_beside_it(world):
    world.plan = world.plan.model_copy(update={"json_file": "p.json"})
    assert world.read().note is None
    assert json.loads((world.copies / "p.json").read_bytes()) == DOCUMENT
    assert (world.copies / "p.bin").read_bytes() == PLAN


@pytest.mark.parametrize(
    "does",
    ["sys.exit(1)", "sys.stdout.write(document); sys.exit(1)", "if '-json' not in arguments: sys.exit(1)"],
)
def test_there_is_no_json_of_a_plan_that_cannot_be_applied(world, does):
    world.plan = world.plan.model_copy(update={"json_file": "p.json"})
    world.tool_does(does)
    assert world.read().planned.problem is not None
    assert sorted(path.name for path in world.copies.iterdir()) == [LOCK_NAME, "p.bin"]


LOOKS_AROUND = f"""
allowed = {{"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "TF_CLI_CONFIG_FILE", "TF_IN_AUTOMATION", "TF_INPUT"}}
allowed |= {{"CHECKPOINT_DISABLE", "TF_DATA_DIR"}}
place = os.environ["HOME"], os.environ["TMPDIR"]
rc = pathlib.Path(os.environ["TF_CLI_CONFIG_FILE"])
lock = pathlib.Path(".terraform.lock.hcl").read_bytes()
if set(os.environ) - allowed: sys.exit(f"Error: {{set(os.environ) - allowed}}")
if rc.read_bytes() or any(map(os.listdir, place)): sys.exit("Error: home")
if lock != {LOCK!r}: sys.exit("Error: lock")
if sorted(os.listdir()) != [".terraform.lock.hcl", "home", "plan", "terraform.rc", "tmp"]: sys.exit("Error: files")
if not os.environ["TF_DATA_DIR"].endswith("/code/.terraform"): sys.exit("Error: data")
"""


def test_the_tool_sees_nothing_of_the_order(world):
    world.tool_does(LOOKS_AROUND)
    (world.copies / LOCK_NAME).write_bytes(ADDED)
    read = world.read()
    assert read.planned.problem is None
    assert read.planned.lock_sha256 == hashlib.sha256(ADDED).hexdigest()


CHECKSUMS = (
    "sys.exit('\\n\\x1b[31mError: x: the cached package for x 1.0 does not match any of the\\nchecksums recorded')"
)


@pytest.mark.parametrize(
    ("does", "document", "problem", "has_changes"),
    [
        ("sys.exit('Error: no')", DOCUMENT, "terraform could not show it: no", False),
        (CHECKSUMS, DOCUMENT, "a provider is not one that .terraform.lock.hcl allows", False),
        (CHECKSUMS, DOCUMENT, "terraform providers lock -platform=linux_", False),
        ("sys.exit('Error: plan files cannot be transferred between different Terraform versions')", DOCUMENT,
         "another version of terraform made it", False),
        ("os.kill(os.getpid(), 9)", DOCUMENT, "terraform was killed by signal 9", False),
        ("time.sleep(600)", DOCUMENT, "terraform did not end in the time that was left", False),
        ("os.close(1); os.close(2); time.sleep(600)", DOCUMENT, "terraform did not end in the time", False),
        ("while True: sys.stdout.write('x' * 65536)", DOCUMENT, "is not JSON", False),
        ("if '-json' not in arguments:\n  while True: sys.stdout.write('x' * 65536)", DOCUMENT,
         "terraform printed more than 1000000 bytes", False),
        ("", "no", "the document is not JSON", False),
        ("", json.dumps(DOCUMENT)[:-1], "the document is not whole", False),
        ("", {"format_version": "1.0", "values": {}}, "the document is not that of a plan", False),
        ("", DOCUMENT | {"errored": True}, "planning failed", True),
        ("if '-json' not in arguments: sys.exit('Error: no text')", DOCUMENT, "could not show it: no text", False),
        ("os.chmod('plan', 0o600); open('plan', 'ab').write(b'x')", DOCUMENT, "its bytes changed while", True),
        (f"sys.exit('Error: {SECRET}')", DOCUMENT, "could not show it: ***", False),
        ("while True: sys.stderr.write('x' * 65536)", DOCUMENT, "did not end in the time", False),
    ],
)  # fmt: skip
def test_what_fails_is_a_problem_and_a_note(world, monkeypatch, does, document, problem, has_changes):
    monkeypatch.setattr(saved_plan, "MAX_SHOWN_BYTES", 1_000_000)
    world.tool_does(does, document=document)
    world.seconds = 3.0 if "sleep" in does or "stderr" in does else 30.0
    read = world.read()
    assert problem in read.planned.problem
    assert len(read.planned.problem) <= 512
    assert read.note == f"the plan cannot be applied: {read.planned.problem}"
    assert (read.changes is not None) == has_changes
    assert read.planned.sha256 == hashlib.sha256(PLAN).hexdigest()
    assert SECRET not in repr(read)


def test_no_process_of_the_tool_is_left(world):
    world.tool_does(
        "import subprocess\n"
        "subprocess.Popen(['setsid', 'sleep', '600'])\n"
        "subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    )
    before = descendants()
    started = time.monotonic()
    read = world.read()
    assert read.planned.problem is None
    assert time.monotonic() - started < world.seconds
    assert descendants() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs commands as another user")
def test_a_tool_of_another_user_reads_the_plan_and_changes_nothing(monkeypatch):
    user = 65534
    with tempfile.TemporaryDirectory() as name, monkeypatch.context() as patched:
        folder = Path(name)
        folder.chmod(0o711)
        patched.setattr(tempfile, "tempdir", name)
        with open_workspace(user) as workspace:
            workspace.hand_over()
            world = World(folder, workspace)
            world.bin.chmod(0o755)
            program = world.bin / "terraform"
            program.write_text(AS_ANOTHER_USER.format(user=user, copies=world.copies, document=json.dumps(DOCUMENT)))
            world.tool = engine_tool("terraform", workspace, f"{world.bin}:/usr/bin:/bin")
            world.copies.chmod(0o700)
            read = world.read()
            assert (read.planned.problem, read.changes) == (None, Changes(operation="planned", add=1))
            assert list(workspace.root.glob("tool-*")) == []
        assert sorted(folder.iterdir()) == [world.bin, world.copies]


@pytest.mark.parametrize("changes", ["append", "replace"])
def test_a_changed_tool_is_not_run(world, changes):
    program = world.bin / "terraform"
    if changes == "append":
        program.write_text(program.read_text() + "\n")
    else:
        program.unlink()
        program.write_text("#!/bin/sh\ntouch ran\n")
        program.chmod(0o755)
    assert world.read().planned.problem == "the commands changed the engine's copy of terraform"


def make_link(path):
    path.unlink()
    path.symlink_to("/etc/passwd")


def edit(**fields):
    return lambda world: setattr(world, "plan", world.plan.model_copy(update=fields))


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (lambda w: (w.copies / LOCK_NAME).unlink(), "providers were changed: the commands removed the lock file"),
        (lambda w: (w.copies / LOCK_NAME).write_bytes(LOCK.replace(b"6.25.0", b"6.26.0")), "has the version 6.26.0"),
        (lambda w: (w.copies / LOCK_NAME).write_bytes(b"x" * 5_000_000), "has more than 4194304 bytes"),
        (edit(workspace="prod"), "it is for the workspace default, not prod"),
        (edit(tool="terragrunt"), "another"),
        (lambda w: (w.copies / "p.bin").write_bytes(b"{}"), "the file is not a saved plan"),
        (lambda w: (w.copies / "p.bin").write_bytes(b""), "the file is not a saved plan"),
        (lambda w: (w.copies / "p.bin").write_bytes(b"\0" * 300_000_000), "the file is not a saved plan"),
        (lambda w: (w.bin / "terraform").unlink(), "it could not be read: No such file or directory"),
        (lambda w: setattr(w, "tool", None), "the engine has no terraform to read it"),
    ],
)
def test_what_is_wrong_with_the_files_is_a_problem(world, prepare, problem):
    prepare(world)
    if world.plan.tool == "terragrunt":
        world.tool, problem = None, "the engine cannot read plans of terragrunt; use `apply: {plan: fresh}`"
    assert problem in world.read().planned.problem


def test_without_a_file_there_is_no_plan(world):
    (world.copies / "p.bin").unlink()
    read = world.read()
    assert (read.planned, read.changes, read.note) == (None, None, "it wrote no plan p.bin")


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({}, "/code/a/.terraform"),
        ({"TF_DATA_DIR": ""}, "/code/a/.terraform"),
        ({"TF_DATA_DIR": "data"}, "/code/a/data"),
        ({"TF_DATA_DIR": "/tmp/data"}, "/tmp/data"),
    ],
)
def test_providers_are_looked_for_where_init_put_them(environment, folder):
    assert data_folder(Path("/code/a"), environment) == Path(folder)


@pytest.mark.parametrize(
    ("not_after", "stop_grace", "function_ends", "seconds"),
    [
        (1000, None, None, 900),
        (100, None, None, 400),
        (100, 60, None, 160),
        (-200, None, None, 100),
        (-400, None, None, 0),
        (1000, None, 300, 255),
        (1000, None, 30, 0),
        (10, 20, 300, 30),
    ],
)
def test_reading_takes_what_the_order_and_the_function_leave(not_after, stop_grace, function_ends, seconds):
    work = SimpleNamespace(not_after=START + timedelta(seconds=not_after), stop_grace=stop_grace)
    ends = START + timedelta(seconds=function_ends) if function_ends is not None else None
    assert reading_seconds(work, START, ends) == seconds


# The order that applies it.

PLANNED = PlannedFile(
    sha256=hashlib.sha256(PLAN).hexdigest(),
    tool="terraform",
    tool_version="1.11.4",
    workspace="default",
    path="/tmp/iac-ci-order/code/a",
    lock_sha256=hashlib.sha256(LOCK).hexdigest(),
)


def wanted(**fields):
    return ManifestSavedPlan(order_name="plan", file="p.bin", planned=PLANNED.model_copy(update=fields))


@pytest.fixture
def place(tmp_path):
    files, folder = tmp_path / "files", tmp_path / "folder"
    files.mkdir()
    folder.mkdir()
    (files / "p.bin").write_bytes(PLAN)
    (files / LOCK_NAME).write_bytes(LOCK)
    return SimpleNamespace(files=files, folder=folder)


AGAIN = "; plan it again with /iac-ci plan"


def stale(**fields):
    def check(place):
        put_plan(wanted(**fields), place.files, place.folder)

    return check


def after(change, **fields):
    def check(place):
        change(place)
        put_plan(wanted(**fields), place.files, place.folder)

    return check


STALE = [
    (stale(sha256="0" * 64), "p.bin is not the plan that was reviewed"),
    (after(lambda p: (p.files / "p.bin").write_bytes(PLAN + b"x")), "p.bin is not the plan that was reviewed"),
    (after(lambda p: (p.files / "p.bin").unlink()), "p.bin is not the plan that was reviewed"),
    (after(lambda p: make_link(p.files / "p.bin")), "p.bin is not the plan that was reviewed"),
    (after(lambda p: (p.files / LOCK_NAME).write_bytes(ADDED)), ".terraform.lock.hcl is not the one"),
    (after(lambda p: (p.files / LOCK_NAME).unlink()), ".terraform.lock.hcl is not the one"),
    (after(lambda p: (p.folder / LOCK_NAME).write_bytes(LOCK), lock_sha256=None), "it was made without"),
    (stale(problem="planning failed"), "it cannot be applied: planning failed"),
    (lambda _: check_version(wanted(), "1.11.5"), "terraform 1.11.4 made it, and the order has 1.11.5"),
    (lambda _: check_place(wanted(), "/tmp/iac-ci-order/code/b"), "the commands would run in /tmp/iac-ci-order/code/b"),
    (lambda _: check_place(wanted(), None), "the commands would run in another folder"),
]


@pytest.mark.parametrize(("check", "words"), STALE)
def test_every_difference_is_stale_in_its_own_words(place, check, words):
    before = sorted(place.folder.iterdir())
    with pytest.raises(PlanStale) as raised:
        check(place)
    assert raised.value.message.startswith("the plan is stale: ")
    assert words in raised.value.message
    assert raised.value.message.endswith(AGAIN)
    assert not (place.folder / "p.bin").exists()
    assert len(before) <= 1


def test_the_way_on_from_a_stale_plan_is_what_made_it(place):
    other = wanted(sha256="0" * 64).model_copy(update={"planner": "/iac-ci preview"})
    with pytest.raises(PlanStale) as raised:
        put_plan(other, place.files, place.folder)
    assert raised.value.message.endswith("; plan it again with /iac-ci preview")


def test_the_plan_and_its_lock_file_take_the_place_of_what_came_with_the_code(place, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (place.folder / "p.bin").symlink_to(outside)
    (place.folder / LOCK_NAME).write_text("of the code")
    put = put_plan(wanted(), place.files, place.folder)
    assert put == (place.folder / "p.bin", place.folder / LOCK_NAME)
    assert [path.read_bytes() for path in put] == [PLAN, LOCK]
    assert [path.stat().st_mode & 0o777 for path in put] == [0o444, 0o444]
    assert not (place.folder / "p.bin").is_symlink()
    assert outside.read_text() == "kept"


def test_a_folder_that_is_in_the_way_fails_the_order(place):
    (place.folder / "p.bin").mkdir()
    with pytest.raises(PackageUnsafe, match=r"p\.bin"):
        put_plan(wanted(), place.files, place.folder)


def test_the_same_folder_and_version_are_not_stale():
    check_version(wanted(), "1.11.4")
    check_version(wanted(tool_version=None), "1.11.5")
    check_place(wanted(), "/tmp/iac-ci-order/code/a")
    check_place(wanted(path=None), None)


def test_a_broker_of_a_version_before_gives_no_plan(tmp_path):
    manifest, begun = SimpleNamespace(saved_plan=wanted()), SimpleNamespace(saved_plan=None)
    with pytest.raises(PackageUnsafe, match="the broker gave no saved plan"):
        fetch_plan(manifest, begun, None, tmp_path)
    assert fetch_plan(SimpleNamespace(saved_plan=None), begun, None, tmp_path) is None


def test_the_tool_tells_its_version(world):
    assert needed_tool("terraform", world.workspace, str(world.bin)).version(world.workspace) == "1.11.4"
    with pytest.raises(PackageUnsafe, match="the worker has no opentofu"):
        needed_tool("opentofu", world.workspace, str(world.bin))
    (world.bin / "tofu").write_text("#!/bin/sh\necho no\n")
    (world.bin / "tofu").chmod(0o755)
    with pytest.raises(PortFailed, match="opentofu did not tell its version"):
        needed_tool("opentofu", world.workspace, f"{world.bin}:/bin").version(world.workspace)


def test_the_fetched_tool_comes_first(world):
    (world.workspace.tools / "terraform").write_text("#!/bin/sh\n")
    assert engine_tool("terraform", world.workspace, str(world.bin)).program == world.workspace.tools / "terraform"
