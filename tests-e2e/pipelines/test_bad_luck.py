"""What failed half way, or was left by another account or region, is neither lost nor taken for something else."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal as signals
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "pipelines"))
import state  # noqa: E402

BUCKET = "acme-state-123456789012-eu-west-1"
OTHER = "acme-state-123456789012-eu-north-1"

UV = f"""
for last; do :; done
case "$*" in
  *"-m zipfile"*) exec "{ROOT}/.venv/bin/python" -m zipfile -e "${{@: -2:1}}" "$last" ;;
  *"python -c "*) ;;
  *"state.py account") echo 123456789012 ;;
  *"state.py exists "*) exit $EXISTS ;;
  *"state.py newest "*) echo archive/iac-ci-teardown-1.zip ;;
  *"state.py fetch "*) [ -f "$STORED" ] || exit 4; cp "$STORED" "$last" ;;
  *"state.py store "* | *"state.py store-state "*) [ "$STORE" = 0 ] || exit "$STORE"; cp "$last" "$STORED" ;;
  *"open_runs.py check"*) ;;
  *packing.py*) touch "$last" ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""
TERRAFORM = """
echo "$*" >>"$CALLS"
echo "${TF_WORKSPACE:-} ${TF_DATA_DIR:-}" >>"$CALLS.variables"
case "$*" in
  "version -json") printf '{"terraform_version": "1.11.4"}' ;;
  *" init "*) ;;
  *" plan "*) cat "${1#-chdir=}/terraform.tfstate" >"$SEEN" 2>/dev/null; $AT_PLAN; exit $PLANNED ;;
  *" apply "*)
    $AT_APPLY
    echo ended >"$CALLS.applied"
    printf '{"serial": 2}' >"${1#-chdir=}/terraform.tfstate"
    [ -z "$LEFT" ] || printf '%s' "$LEFT" >"${1#-chdir=}/errored.tfstate"
    exit $APPLIED
    ;;
  *" state push "*) [ "$PUSHED" = 0 ] || exit "$PUSHED"; cp "$4" "$SEEN" ;;
  *" destroy "*) [ -z "$ERRORED" ] || { touch "${1#-chdir=}/errored.tfstate"; exit 1; } ;;
  *" state list") printf "$LISTED"; [ -z "$LIST_ERROR" ] || { echo "$LIST_ERROR" >&2; exit 1; } ;;
esac
"""


def end_at_a_hang_up() -> None:
    """Undo what ``nohup`` has set, if it has started the tests: a program that ignores a signal starts others so."""
    signals.signal(signals.SIGHUP, signals.SIG_DFL)


class Desk:
    """A checkout with programs in place of uv and Terraform."""

    def __init__(self, folder):
        self.folder = folder
        self.checkout = folder / "check out"
        for name in ("pipelines", "terraform"):
            shutil.copytree(
                ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns(".terraform*", "__pycache__")
            )
        self.work = self.checkout / ".build/acme"
        for name, text in {"uv": UV, "terraform": TERRAFORM}.items():
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/usr/bin/env bash\n{text}")
            program.chmod(0o755)
        self.stored, self.seen, self.calls = folder / "stored", folder / "seen", folder / "calls"
        self.calls.touch()
        self.applied = folder / "calls.applied"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()

    def signals(self, name):
        """Make the program ``end``, with which Terraform's stand-in sends the script that runs it a signal."""
        program = self.folder / "bin/end"
        program.write_text(f'#!/bin/sh\nkill -{name} "$(ps -o ppid= -p $PPID)"\n')
        program.chmod(0o755)

    def run(self, script, *arguments, path="", folder=None, **environment):
        given = {
            "EXISTS": "0",
            "PLANNED": "2",
            "APPLIED": "0",
            "LISTED": "",
            "LIST_ERROR": "",
            "AT_PLAN": ":",
            "AT_APPLY": ":",
            "ERRORED": "",
            "LEFT": "",
            "PUSHED": "0",
        }
        given |= {"STORE": "0", "STORED": str(self.stored), "SEEN": str(self.seen), "CALLS": str(self.calls)}
        given |= {"IAC_CI_STACK": "acme", "AWS_REGION": "eu-west-1", "TMPDIR": str(self.temporary)}
        return subprocess.run(
            ["bash", script, *arguments],
            env={"PATH": f"{self.folder}/bin:{path or '/usr/bin:/bin'}"} | given | environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
            stdin=subprocess.DEVNULL,
            preexec_fn=end_at_a_hang_up,
        )

    def script(self, name, *arguments, **environment):
        return self.run(self.checkout / "pipelines" / name, *arguments, **environment)

    def archive(self, bucket):
        """Make an archive of a stack with this state bucket."""
        files = {"teardown": (ROOT / "pipelines/teardown").read_bytes(), "TEARDOWN.md": b"## What stays\n"}
        for stage in ("ecr", "deploy"):
            files[f"{stage}/backend.hcl"] = f'bucket       = "{bucket}"\n'.encode()
        sums = "".join(f"{sha256(body).hexdigest()}  {name}\n" for name, body in files.items())
        path = self.folder / "archive.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, body in (files | {"MANIFEST.sha256": sums.encode()}).items():
                archive.writestr(name, body)
        return path


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("applied", "store", "code", "message"),
    [
        ("0", "0", 0, "was changed as planned"),
        ("1", "0", 1, "Terraform failed"),
        ("0", "1", 1, "could not be stored"),
        ("1", "1", 1, "could not be stored"),
        ("0", "4", 1, "could not be stored"),
    ],
)
def test_bootstrap_stores_also_what_a_failed_apply_has_created(desk, applied, store, code, message):
    desk.stored.write_text('{"serial": 1}')
    done = desk.script("bootstrap", APPLIED=applied, STORE=store)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert ("could not be stored" in done.stderr) == (store != "0")
    assert desk.stored.read_text() == ('{"serial": 2}' if store == "0" else '{"serial": 1}')


def test_bootstrap_stores_nothing_of_a_plan_and_of_a_bucket_that_was_not_created(desk):
    assert desk.script("bootstrap", "--plan", EXISTS="4").returncode == 0
    done = desk.script("bootstrap", EXISTS="4", APPLIED="1", STORE="4")
    assert (done.returncode, "could not be stored" in done.stderr) == (1, False)
    assert not desk.stored.exists()


def test_a_plan_leaves_the_files_of_what_was_deployed(desk):
    def files():
        return {path: path.read_bytes() for path in (desk.work / "ecr").rglob("*") if path.is_file()}

    assert desk.script("ecr").returncode == 0
    (desk.work / "ecr/.terraform.lock.hcl").write_text("locked")
    deployed = files()
    (desk.checkout / "terraform/ecr/more.tf").write_text("# of the next version")
    for exists in ("0", "4"):
        assert desk.script("ecr", "--plan", EXISTS=exists).returncode == 0
        assert files() == deployed
    planned = desk.work / "planned/ecr"
    assert (planned / "more.tf").exists()
    assert (planned / ".terraform.lock.hcl").read_text() == "locked", "a plan has the providers of the deployed stage"
    assert desk.script("ecr").returncode == 0
    assert (desk.work / "ecr/more.tf").exists()
    assert desk.calls.read_text().splitlines()[-1] == f"-chdir={desk.work}/ecr output -json"


@pytest.mark.parametrize("exists", ["0", "4"])
@pytest.mark.parametrize(("region", "is_kept"), [("eu-west-1", True), ("eu-north-1", False)])
def test_bootstrap_begins_with_no_state_of_another_region(desk, exists, region, is_kept):
    # Its state was not stored.
    assert desk.script("bootstrap", STORE="1", AWS_REGION=region).returncode == 1
    assert desk.script("bootstrap", EXISTS=exists).returncode == 0
    assert desk.seen.read_text() == ('{"serial": 2}' if is_kept else "")


def test_an_archive_can_be_planned_before_anything_is_deployed(tmp_path, monkeypatch, capsys):
    """The script's folder for generated files does not exist yet."""
    import packing

    monkeypatch.setattr(sys, "argv", ["packing.py", str(tmp_path / "none"), "acme", "eu-west-1", BUCKET])
    packing.main()
    assert capsys.readouterr().out.split() == ["MANIFEST.sha256", "TEARDOWN.md", "teardown"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:port"}, "the AWS settings of this environment are not valid"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "the AWS settings of this environment are not valid"),
        (
            {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nothing/token"},
            "the AWS credentials could not be fetched: /nothing/token: No such file or directory",
        ),
    ],
)
def test_wrong_settings_for_aws_are_explained(tmp_path, settings, problem):
    given = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "HOME": str(tmp_path)} | settings
    if "AWS_ROLE_ARN" not in settings:
        given |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    done = subprocess.run(
        [sys.executable, ROOT / "pipelines/state.py", "account"], env=given, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"account: {problem}\n"), done.stderr


@pytest.mark.parametrize(("bucket", "code"), [(BUCKET, 0), (OTHER, 2)])
def test_the_archive_holds_no_files_of_another_region(desk, bucket, code):
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.com", "-C", desk.checkout]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True, timeout=600)
    for stage in ("bootstrap", "ecr", "deploy"):
        (desk.work / stage).mkdir(parents=True)
        (desk.work / stage / "terraform.tfvars.json").write_text("{}")
        (desk.work / stage / "backend.hcl").write_text(f'bucket       = "{bucket}"\n')
    done = desk.script("archive")
    assert done.returncode == code, done.stderr
    assert desk.stored.exists() == (code == 0)
    assert ("Nothing was changed." in done.stderr) == (code == 2)


def test_the_archive_of_another_stack_is_refused(desk):
    done = desk.script("teardown", "--archive", str(desk.archive(OTHER)), "--yes")
    assert done.returncode == 2, done.stderr
    assert f"another state bucket than {BUCKET}" in done.stderr
    assert "destroy" not in desk.calls.read_text()


def test_a_file_that_is_no_archive_is_refused(desk):
    path = desk.archive(BUCKET)
    path.write_text("an answer of a proxy, for example")
    done = desk.script("teardown", "--archive", str(path), "--yes")
    assert done.returncode == 2, done.stderr
    assert f"{path} cannot be unpacked: File is not a zip file. Nothing was changed." in done.stderr
    assert "Traceback" not in done.stderr


def test_an_archive_that_is_gone_since_it_was_listed_is_told(desk):
    desk.stored.unlink(missing_ok=True)
    done = desk.script("teardown", "--yes")
    assert (done.returncode, "could not be fetched. Nothing was changed." in done.stderr) == (3, True), done.stderr


def test_the_archive_of_this_stack_removes_it(desk):
    done = desk.script("teardown", "--archive", str(desk.archive(BUCKET)), "--plan", PLANNED="0")
    assert done.returncode == 0, done.stderr


SIGNALS = {"HUP": 129, "INT": 130, "TERM": 143}


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_script_that_is_ended_leaves_no_plan_and_applies_nothing(desk, signal):
    """A saved plan contains every variable, also secret ones, and an interrupted plan may end as if it were whole."""
    desk.signals(signal)
    done = desk.script("bootstrap", AT_PLAN="end")
    assert (done.returncode, "bootstrap: interrupted" in done.stderr) == (SIGNALS[signal], True), done.stderr
    assert " plan " in desk.calls.read_text()
    assert " apply " not in desk.calls.read_text()
    assert list(desk.temporary.iterdir()) == []


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_script_that_is_ended_waits_for_its_apply_and_stores_the_state(desk, signal):
    desk.stored.write_text('{"serial": 1}')
    desk.signals(signal)
    done = desk.script("bootstrap", AT_APPLY="end")
    assert done.returncode == SIGNALS[signal], done.stderr
    assert desk.applied.exists()
    assert "was changed as planned" not in done.stderr
    assert desk.stored.read_text() == '{"serial": 2}'
    assert list(desk.temporary.iterdir()) == []


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_teardown_that_is_ended_destroys_nothing_more(desk, signal):
    desk.signals(signal)
    done = desk.script("teardown", "--archive", str(desk.archive(BUCKET)), "--yes", LISTED="aws_x.y", AT_APPLY="end")
    assert (done.returncode, "teardown: interrupted" in done.stderr) == (SIGNALS[signal], True), done.stderr
    assert desk.applied.exists()
    assert " destroy " not in desk.calls.read_text()
    assert list(desk.temporary.iterdir()) == []


def test_terraform_outlives_its_terminal(desk):
    """The hang-up reaches every program of the terminal, and it would leave Terraform's lock."""
    for script, arguments in {"bootstrap": (), "teardown": ("--archive", str(desk.archive(BUCKET)), "--yes")}.items():
        desk.script(script, *arguments, LISTED="aws_x.y", AT_APPLY="eval kill -HUP $$")
        assert desk.applied.exists(), script
        desk.applied.unlink()


@pytest.mark.parametrize("arguments", [["--plan"], ["--yes"]])
@pytest.mark.parametrize("bucket", [BUCKET, OTHER])
def test_nothing_of_an_archive_is_left(desk, bucket, arguments):
    desk.script("teardown", "--archive", str(desk.archive(bucket)), *arguments, PLANNED="0", LISTED="aws_x.y")
    assert list(desk.temporary.iterdir()) == []


@pytest.mark.parametrize("stage", ["deploy", "ecr"])
def test_a_teardown_applies_destroy_contents_to_all_that_has_it_and_then_destroys(desk, stage):
    protected = {
        "{}.{}".format(*re.findall(r'"(\w+)"', block)[:2])
        for path in (ROOT / "terraform" / stage).glob("*.tf")
        for block in path.read_text("utf-8").split("\nresource ")[1:]
        if "var.destroy_contents" in block
    }
    assert protected
    assert desk.script("teardown", "--archive", str(desk.archive(BUCKET)), "--yes", LISTED="aws_x.y").returncode == 0
    calls = [call for call in desk.calls.read_text().splitlines() if f"/{stage} " in call]
    applied, destroyed = (next(call for call in calls if f" {verb} " in call) for verb in ("apply", "destroy"))
    assert calls.index(applied) < calls.index(destroyed)
    assert set(re.findall(r"-target=(\S+)", applied)) == protected
    assert all("-var destroy_contents=true" in call for call in (applied, destroyed))
    assert "-target" not in destroyed


def test_a_state_that_terraform_could_not_store_stays(desk):
    archive = str(desk.archive(BUCKET))
    done = desk.script("teardown", "--archive", archive, "--yes", LISTED="aws_x.y", ERRORED="yes")
    assert done.returncode == 1
    (kept,) = desk.temporary.rglob("errored.tfstate")
    assert str(kept) in done.stderr
    assert "terraform state push" in done.stderr


def test_a_state_that_a_deployment_could_not_store_is_stored_by_the_next(desk):
    """Credentials end during an apply: Terraform leaves the state beside the stage, and the bucket has an old one."""
    left = desk.work / "ecr/errored.tfstate"
    done = desk.script("ecr", APPLIED="1", LEFT="made by the first")
    assert (done.returncode, f"it is in {left}" in done.stderr) == (1, True), done.stderr
    assert "The state has everything" not in done.stderr
    planned = desk.script("ecr", "--plan")
    assert (planned.returncode, left.read_text()) == (0, "made by the first")
    assert "The plan does not know" in planned.stderr
    refused = desk.script("ecr", PUSHED="1")
    assert (refused.returncode, left.read_text()) == (1, "made by the first")
    assert "nothing else was changed" in refused.stderr
    assert desk.calls.read_text().splitlines()[-1] == f"-chdir={desk.work}/ecr state push {left}"
    desk.calls.write_text("")
    done = desk.script("ecr", PLANNED="0")
    assert (done.returncode, left.exists()) == (0, False), done.stderr
    calls = desk.calls.read_text()
    assert calls.index(" state push ") < calls.index(" plan ")


def test_a_state_of_another_region_that_was_not_stored_is_not_stored_here(desk):
    left = desk.work / "ecr/errored.tfstate"
    assert desk.script("ecr", AWS_REGION="eu-north-1", APPLIED="1", LEFT="of the other").returncode == 1
    done = desk.script("ecr")
    assert (done.returncode, left.read_text()) == (2, "of the other")
    assert f"another state bucket than {BUCKET}" in done.stderr
    assert "push" not in desk.calls.read_text()
    assert desk.script("ecr", AWS_REGION="eu-north-1").returncode == 0
    assert not left.exists()


@pytest.mark.parametrize("script", ["bootstrap", "ecr", "teardown"])
def test_the_operators_own_workspace_and_folder_of_data_change_nothing(desk, script):
    """With one folder of data for all stages, a teardown would destroy the stage whose backend came last, twice."""
    folder = desk.folder / "alone"
    with zipfile.ZipFile(desk.archive(BUCKET)) as archive:
        archive.extractall(folder)
    own = {"TF_WORKSPACE": "production", "TF_DATA_DIR": "/shared", "LISTED": "aws_x.y"}
    if script == "teardown":
        done = desk.run(folder / "teardown", "--yes", "--with-open-runs", **own)
    else:
        done = desk.script(script, **own)
    assert done.returncode == 0, done.stderr
    seen = Path(f"{desk.calls}.variables").read_text().splitlines()
    # What only reads the version of Terraform has no stage.
    stages = [line for line, call in zip(seen, desk.calls.read_text().splitlines(), strict=True) if "chdir" in call]
    assert stages
    assert all("production" not in line and "/shared" not in line for line in stages)


@pytest.mark.parametrize(
    ("stored", "is_stored"),
    [
        (None, True),
        ({"lineage": "a", "serial": 1}, True),
        ({"lineage": "a", "serial": 2}, False),
        ({"lineage": "a", "serial": 3}, False),
        ({"lineage": "b", "serial": 1}, False),
        ({"lineage": "a", "serial": 2, "outputs": {}}, True),
    ],
    ids=["none", "older", "another of the same number", "newer", "another person's first", "the same"],
)
def test_a_state_of_bootstrap_replaces_no_state_of_another_run(tmp_path, monkeypatch, stored, is_stored):
    """Bootstrap has no lock: of two at once, the second finds the bucket that the first has created, and fails."""
    own = json.dumps({"lineage": "a", "serial": 2, "outputs": {}})
    path = tmp_path / "terraform.tfstate"
    path.write_text(own)
    storage = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    place = {"Bucket": BUCKET, "Key": "bootstrap/terraform.tfstate"}
    with Stubber(storage) as answers:
        if stored is None:
            answers.add_client_error("get_object", "NoSuchKey", expected_params=place)
        else:
            answers.add_response("get_object", {"Body": io.BytesIO(json.dumps(stored).encode())}, place)
        if is_stored:
            answers.add_response("put_object", {}, {**place, "Body": own.encode()})
        monkeypatch.setattr(state, "_storage", lambda: storage)
        monkeypatch.setattr(sys, "argv", ["state.py", "store-state", BUCKET, place["Key"], str(path)])
        if is_stored:
            state.main()
        else:
            with pytest.raises(SystemExit, match="written by another run"):
                state.main()
        answers.assert_no_pending_responses()


def test_paths_begin_in_the_folder_in_which_the_script_is_called(desk):
    shutil.copy(desk.archive(OTHER), desk.checkout / "archive.zip")
    desk.archive(BUCKET)
    done = desk.script("teardown", "--archive", "archive.zip", "--plan", folder=desk.folder, PLANNED="0")
    assert done.returncode == 0, done.stderr
    variables = desk.folder / "variables.json"
    variables.write_text("{}")
    image = f"registry/acme@sha256:{'a' * 64}"
    done = desk.script("deploy", "--variables", "variables.json", "--image", image, folder=desk.folder)
    assert f"acme eu-west-1 {image} {variables}\n" in done.stderr


@pytest.mark.parametrize(
    ("listed", "error", "code", "destroyed"),
    [
        ("aws_s3_bucket.bucket", "", 0, 2),
        ("", "", 0, 0),
        ("", "No state file was found!", 0, 0),
        ("", "Error: ExpiredToken: the provided token has expired", 1, 0),
    ],
)
def test_a_state_that_cannot_be_read_is_not_taken_for_a_stack_that_is_gone(desk, listed, error, code, destroyed):
    folder = desk.folder / "alone"
    with zipfile.ZipFile(desk.archive(BUCKET)) as archive:
        archive.extractall(folder)
    done = desk.run(folder / "teardown", "--yes", "--with-open-runs", LISTED=listed, LIST_ERROR=error)
    assert done.returncode == code, done.stderr
    assert desk.calls.read_text().count(" destroy ") == destroyed
    assert ("The stack was removed." in done.stderr) == (code == 0)
    assert error.removeprefix("No state file was found!") in done.stderr


def test_the_sums_of_an_archive_are_compared_with_what_macos_has(desk):
    """Only shasum is there."""
    programs = desk.folder / "macos"
    programs.mkdir()
    for name in ("bash", "cat", "dirname", "grep", "sed", "env"):
        (programs / name).symlink_to(Path("/usr/bin") / name)
    shasum = programs / "shasum"
    shasum.write_text('#!/bin/sh\n[ "$1 $2" = "-a 256" ] && shift 2 && exec /usr/bin/sha256sum "$@"\n')
    shasum.chmod(0o755)
    folder = desk.folder / "alone"
    with zipfile.ZipFile(desk.archive(BUCKET)) as archive:
        archive.extractall(folder)
    assert desk.run(folder / "teardown", "--plan", path=str(programs), PLANNED="0").returncode == 0
    os.truncate(folder / "TEARDOWN.md", 3)
    assert "incomplete or was changed" in desk.run(folder / "teardown", "--plan", path=str(programs)).stderr
