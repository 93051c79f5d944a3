"""The whole way in its order: every test goes on where the one before it stopped."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

SECRET = "a-secret-that-must-not-be-found-anywhere"

pytestmark = pytest.mark.local_cloud


@pytest.mark.full  # `.ci/run` plans everything in test_documented_shell.py
def test_everything_can_be_planned_in_an_empty_account(operator):
    said = operator.succeeds("all", "--plan")
    for part in ("bootstrap", "ecr", "build", "deploy", "smoke", "archive"):
        assert f"── {part}: " in said
    assert said.count("planned only, nothing was changed") == 3
    assert "At rest, a month" in said
    assert "There is no image yet" in operator.succeeds("deploy", "--plan", IAC_CI_IMAGE="")
    assert "test_a_job_of_two_orders_ends_succeeded" in said
    assert "Listed only, nothing was stored." in said
    assert operator.bucket not in [entry["Name"] for entry in operator.aws.client("s3").list_buckets()["Buckets"]]


def test_what_needs_the_state_bucket_says_so(operator):
    done = operator.run("ecr")
    assert done.returncode == 4
    assert "Run pipelines/bootstrap first; nothing was changed." in done.stderr


def test_bootstrap_keeps_its_own_state_in_the_bucket(operator):
    operator.make_bucket()
    assert f"The state bucket {operator.bucket} was changed as planned." in operator.succeeds("bootstrap")
    assert "bootstrap/terraform.tfstate" in operator.stored()


def test_another_machine_takes_up_where_this_one_stopped(operator):
    for path in (operator.checkout / ".build").rglob("*.tfstate*"):
        path.unlink()
    assert "is up to date; nothing was changed" in operator.succeeds("bootstrap")


def test_the_stack_is_deployed_from_generated_files_with_its_state_in_the_bucket(operator):
    operator.succeeds("ecr")
    said = operator.succeeds("deploy")
    assert "The stack acme was changed as planned." in said
    assert {"ecr/terraform.tfstate", "deploy/terraform.tfstate"} <= set(operator.stored())
    outputs = json.loads((operator.checkout / ".build/acme/deploy.json").read_text())
    assert outputs["image_uri"]["value"] == operator.environment["IAC_CI_IMAGE"]


def test_states_are_encrypted_as_the_bucket_says(operator):
    # An object with a choice of its own would have the header of SSE-S3 in place of the bucket's KMS.
    for path in (operator.checkout / ".build").rglob("backend.hcl"):
        assert "encrypt" not in path.read_text()
    storage = operator.aws.client("s3")
    chosen = {
        key: storage.head_object(Bucket=operator.bucket, Key=key).get("ServerSideEncryption")
        for key in operator.stored()
        if key.endswith(".tfstate")
    }
    assert len(chosen) == 3
    assert set(chosen.values()) == {None}


def test_no_state_and_no_generated_file_holds_the_webhook_secret(operator):
    operator.succeeds("deploy", TF_VAR_webhook_secret=SECRET)
    storage = operator.aws.client("s3")
    kept = [storage.get_object(Bucket=operator.bucket, Key=key)["Body"].read() for key in operator.stored()]
    kept += [path.read_bytes() for path in (operator.checkout / ".build").rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert not [text for text in kept if SECRET.encode() in text]


def test_deploying_again_changes_nothing_and_another_image_only_what_runs_it(operator):
    # Each time another secret is made up, which is written to nothing while its version stays.
    assert "is up to date; nothing was changed" in operator.succeeds("deploy")
    another = operator.environment["IAC_CI_IMAGE"].replace("aa", "bb")
    said = operator.succeeds("deploy", "--plan", "--image", another)
    changed = set(re.findall(r"# (\S+?)(?:\[.*\])? will be updated in-place", said))
    assert changed == {"aws_lambda_function.function", "aws_codebuild_project.project", "aws_ssm_parameter.outputs"}
    assert "0 to add" in said
    assert "0 to destroy" in said


def test_the_source_tree_stays_as_it_was(operator):
    git = ["git", "-C", operator.checkout, "status", "--porcelain", "--ignored"]
    changed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line for line in changed if ".build/" not in line and "__pycache__" not in line] == []


def test_the_archive_holds_all_that_a_teardown_needs_and_no_state(operator):
    said = operator.succeeds("archive")
    assert "MANIFEST.sha256" in said
    (key,) = [key for key in operator.stored() if key.startswith("archive/iac-ci-teardown-")]
    path = operator.checkout / "kept.zip"
    operator.aws.client("s3").download_file(operator.bucket, key, str(path))
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        sums = dict(reversed(line.split("  ")) for line in archive.read("MANIFEST.sha256").decode().splitlines())
        assert set(sums) == names - {"MANIFEST.sha256"}
        for name, digest in sums.items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest
        told = archive.read("TEARDOWN.md").decode()
        # Another image was planned, and not deployed.
        assert operator.environment["IAC_CI_IMAGE"] in archive.read("deploy/terraform.tfvars.json").decode()
    for stage in ("ecr", "deploy"):
        needed = {"backend.hcl", "terraform.tfvars.json", ".terraform.lock.hcl", "versions.tf"}
        assert {f"{stage}/{name}" for name in needed} <= names
    assert "deploy/stack/functions.json" in names
    assert not [name for name in names if name.startswith(("ecr/", "deploy/")) and "tfstate" in name]
    assert operator.bucket in told


def test_packing_again_gives_the_same_bytes(operator):
    before = (operator.checkout / "kept.zip").read_bytes()
    operator.succeeds("archive")
    (made,) = (operator.checkout / ".build/acme").glob("*.zip")
    assert made.read_bytes() == before


def unpacked(operator, folder: Path) -> Path:
    with zipfile.ZipFile(operator.checkout / "kept.zip") as archive:
        archive.extractall(folder)
    return folder


def teardown(operator, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the archive's own script, with nothing of the checkout within reach."""
    terraform = shutil.which("terraform")
    assert terraform is not None
    environment = operator.environment | {"PATH": f"{Path(terraform).parent}:/usr/local/bin:/usr/bin:/bin"}
    for name in ("IAC_CI_STACK", "IAC_CI_IMAGE", "UV_PROJECT_ENVIRONMENT"):
        environment.pop(name)
    return subprocess.run(
        ["bash", folder / "teardown", *arguments],
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1700,
        stdin=subprocess.DEVNULL,
    )


def test_the_archive_alone_plans_the_teardown(operator, tmp_path):
    done = teardown(operator, unpacked(operator, tmp_path / "alone"), "--plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "aws_lambda_function" in done.stdout
    assert done.stdout.index("aws_lambda_function") < done.stdout.index("aws_ecr_repository")
    assert "nothing was changed" in done.stderr


def test_an_archive_that_was_tampered_with_is_refused(operator, tmp_path):
    folder = unpacked(operator, tmp_path / "tampered")
    with (folder / "deploy" / "buckets.tf").open("a") as file:
        file.write("# more\n")
    done = teardown(operator, folder, "--yes")
    assert done.returncode == 2
    assert "the archive is incomplete or was changed. Nothing was changed" in done.stderr


def test_nobody_takes_a_stack_down_by_accident(operator, tmp_path):
    done = teardown(operator, unpacked(operator, tmp_path / "asked"))
    assert done.returncode == 2
    assert "use --yes" in done.stderr


def test_the_teardown_takes_everything_down_but_the_state_bucket(operator):
    said = operator.succeeds("teardown", "--yes")
    assert "The stack was removed." in said
    assert operator.bucket in said
    assert operator.bucket in [entry["Name"] for entry in operator.aws.client("s3").list_buckets()["Buckets"]]
    again = operator.succeeds("teardown", "--yes")
    assert again.count("does not exist any more.") == 2
