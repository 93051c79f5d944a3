"""An AWS on loopback for the scripts' states and archives, and Terraform with the stand-in for its provider."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from offline import program
from offline.provider.start import SERVER

from iac_ci_local.ministack import LocalAws

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "sha256:" + "a" * 64


@dataclass
class Operator:
    """Somebody with a checkout of their own, credentials and Terraform."""

    checkout: Path
    environment: dict[str, str]
    aws: LocalAws

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a pipeline script; give its code and what it said."""
        return subprocess.run(
            [self.checkout / "pipelines" / script, *arguments],
            cwd=self.checkout,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=1700,
            stdin=subprocess.DEVNULL,
        )

    def succeeds(self, script: str, *arguments: str, **environment: str) -> str:
        """Run a script that must end well; give everything it said."""
        done = self.run(script, *arguments, **environment)
        assert done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @property
    def bucket(self) -> str:
        return f"acme-state-{self.aws.account}-{self.aws.session['region_name']}"

    def stored(self) -> list[str]:
        """List the state bucket."""
        return [entry["Key"] for entry in self.aws.client("s3").list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def make_bucket(self) -> None:
        """Make the state bucket, where the provider is a stand-in that makes nothing."""
        region = self.aws.session["region_name"]
        place: dict[str, Any] = (
            {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        self.aws.client("s3").create_bucket(Bucket=self.bucket, **place)


def copy_of_the_checkout(folder: Path) -> Path:
    """Copy what the scripts read; the environment of uv is this checkout's."""
    folder.mkdir()
    unneeded = shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__")
    for name in ("bench", "pipelines", "terraform", "tests-e2e/aws", "tests-e2e/offline", "tests-e2e/smoke"):
        shutil.copytree(ROOT / name, folder / name, ignore=unneeded)
    for name in (
        "pyproject.toml",
        ".gitignore",
        "tests-e2e/conftest.py",
        "tests-e2e/selection.py",
        "tests-e2e/sequence.py",
        "tests-e2e/slowest.py",
    ):
        shutil.copy(ROOT / name, folder / name)
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.com", "-C", str(folder)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True, timeout=600)
    return folder


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@pytest.fixture(scope="module")
def operator(aws: LocalAws, stand_in_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Somebody who deploys ``acme`` from a fresh checkout."""
    names = ("PATH", "HOME", "LANG", SERVER, *program.SHORT_LIVED)
    kept = {name: os.environ[name] for name in names if name in os.environ}
    environment = kept | {
        "IAC_CI_STACK": "acme",
        "AWS_REGION": aws.session["region_name"],
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_ACCESS_KEY_ID": aws.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.secret_key,
        "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"),
        "IAC_CI_IMAGE": f"{aws.account}.dkr.ecr.us-east-1.amazonaws.com/acme@{DIGEST}",
        "TF_CLI_CONFIG_FILE": stand_in_provider,
        "IAC_CI_UNPINNED": "yes",
    }
    return Operator(copy_of_the_checkout(tmp_path_factory.mktemp("operator") / "checkout"), environment, aws)
