"""An unpacked archive looks for open runs with the AWS CLI, and its instructions remove a bucket of any size."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from hashlib import sha256
from pathlib import Path

import jmespath
import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("packing", ROOT / "pipelines/packing.py")
packing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(packing)

RUN = "20260101T000000-0123456789ab"


@pytest.fixture
def archive(tmp_path):
    """An unpacked archive without stages, and a folder for PATH whose Terraform must not be reached."""
    folder, programs = tmp_path / "archive", tmp_path / "bin"
    (folder / "deploy").mkdir(parents=True)
    programs.mkdir()
    (folder / "teardown").write_bytes((ROOT / "pipelines" / "teardown").read_bytes())
    (folder / "deploy/terraform.tfvars.json").write_text(json.dumps({"region": "eu-west-1", "stack": "acme"}, indent=2))
    names = ["teardown", "deploy/terraform.tfvars.json"]
    sums = [f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "MANIFEST.sha256").write_text("".join(sums))
    program(programs / "terraform", "echo terraform was called >&2; exit 9")

    def run(*arguments, stdin=subprocess.DEVNULL):
        return subprocess.run(
            ["bash", folder / "teardown", *arguments],
            env={"PATH": f"{programs}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=600,
            stdin=stdin,
        )

    return run, programs


def program(path, text):
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def test_open_runs_are_listed_and_nothing_is_changed(archive):
    run, programs = archive
    program(programs / "aws", f'printf "%s\\n" "$*" >{programs}/asked; printf "{RUN}\\t{RUN[:-1]}c\\n"')
    done = run("--yes")
    assert done.returncode == 5
    assert [line.strip() for line in done.stderr.splitlines() if line.startswith("  2026")] == [RUN, f"{RUN[:-1]}c"]
    assert "Nothing was changed." in done.stderr
    assert "terraform was called" not in done.stderr
    asked = (programs / "asked").read_text()
    assert asked.startswith("dynamodb scan --region eu-west-1 --table-name acme-orders --consistent-read")


@pytest.mark.parametrize("answer", ["printf '\\n'", "printf 'None\\n'", "echo ResourceNotFoundException >&2; exit 254"])
def test_without_open_runs_the_teardown_begins(archive, answer):
    run, programs = archive
    program(programs / "aws", answer)
    assert "'terraform init' failed in deploy" in run("--yes").stderr


def test_what_is_not_known_is_not_taken_for_no_runs(archive):
    run, programs = archive
    done = run("--yes")
    assert (done.returncode, "it is not known whether runs are open" in done.stderr) == (5, True)
    program(programs / "aws", "echo AccessDeniedException >&2; exit 254")
    done = run("--yes")
    assert (done.returncode, "AWS did not list the open runs" in done.stderr) == (5, True)
    assert "'terraform init' failed in deploy" in run("--yes", "--with-open-runs").stderr
    assert "'terraform init' failed in deploy" in run("--plan").stderr


def test_the_end_of_the_input_is_no_answer(archive):
    """Ctrl-D at the question says what it means, as any answer but yes does."""
    run, programs = archive
    program(programs / "terraform", "exit 0")
    (programs.parent / "archive/ecr").mkdir()
    keyboard, terminal = os.openpty()
    os.write(keyboard, b"\x04")
    done = run("--with-open-runs", stdin=terminal)
    os.close(keyboard)
    os.close(terminal)
    assert done.returncode == 2
    assert "Type yes to continue: Nothing was changed." in done.stderr


def test_the_instructions_remove_a_state_bucket_of_any_size(tmp_path):
    """The block of TEARDOWN.md, with a program for `aws` that takes at most a thousand keys, as S3 does."""
    block = re.search(
        r"\n\n((?:      .*\n)+)\n- The KMS key", packing.TEARDOWN.format(stack="a", region="r", bucket="b")
    )
    versions = [{"Key": f"k{number}", "VersionId": "v"} for number in range(2345)]
    (tmp_path / "versions.json").write_text(json.dumps(versions))
    program(tmp_path / "aws", f'exec "{ROOT}/.venv/bin/python" "{tmp_path}/aws.py" "$@"')
    (tmp_path / "aws.py").write_text(
        f"""
import json, sys
import jmespath
path = {str(tmp_path / "versions.json")!r}
versions = json.load(open(path))
words = sys.argv[1:]
option = dict(zip(words, words[1:]))
if words[1] == "list-object-versions":
    page = versions[: int(option["--max-items"])]
    # Without markers the field is missing.
    answer = {{"Versions": page}} if page else {{}}
    print(json.dumps(jmespath.search(option["--query"], answer), indent=4))
elif words[1] == "delete-objects":
    gone = json.loads(option["--delete"])["Objects"]
    assert len(gone) <= 1000, "MalformedXML"
    json.dump([entry for entry in versions if entry not in gone], open(path, "w"))
else:
    assert words == ["s3", "rb", "s3://b"], words
    assert versions == [], "BucketNotEmpty"
    print("removed")
"""
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-e", "-c", block[1]], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "removed"), done.stderr
    assert jmespath.search("length(@)", json.loads((tmp_path / "versions.json").read_text())) == 0
