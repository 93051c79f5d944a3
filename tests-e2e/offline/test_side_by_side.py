"""Runs side by side on one machine leave each other alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from offline.place import ROOT

MODULE = 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'


def checkout(folder: Path) -> Path:
    """Lay out what the stand-in needs of a checkout, with this one's environment."""
    shutil.copytree(ROOT / "tests-e2e/offline", folder / "tests-e2e/offline")
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    shutil.copy(ROOT / "Dockerfile", folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What two runs of one user share: the home folder, and so every cache in it."""
    (tmp_path / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "XDG_"))}
    return kept | {"HOME": str(tmp_path / "home"), "CHECKPOINT_DISABLE": "1"}


def configurations(places: list[Path], environment: dict[str, str]) -> list[str]:
    """Ask for the stand-in everywhere at once; return the paths of the configurations."""
    command = [".ci/terraform", "--stand-in"]
    started = [
        subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for place in places
    ]
    answers = [(one.communicate(timeout=900), one.returncode) for one in started]
    assert [code for _, code in answers] == [0] * len(places), answers
    return [printed.strip() for (printed, _), _ in answers]


def test_runs_that_begin_at_once_find_one_whole_stand_in_in_each_checkout(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    one, other = checkout(tmp_path / "one"), checkout(tmp_path / "other")
    found = configurations([one, other] * 4, environment)
    assert len(set(found)) == 2
    for place in (one, other):
        (laid_out,) = (place / ".tools/offline").iterdir()
        assert {path for path in found if Path(path).is_relative_to(place)} == {str(laid_out / "terraformrc")}
        assert len(list(laid_out.rglob("terraform-provider-aws_*"))) == 1
    assert list((tmp_path / "home").iterdir()) == []


def test_what_one_run_initialised_stays_right_whatever_another_lays_out(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """A folder that two runs shared made the first one fail: "doesn't match any of the checksums"."""
    one, other = checkout(tmp_path / "one"), checkout(tmp_path / "other")
    (tmp_path / "module").mkdir()
    (tmp_path / "module/main.tf").write_text(MODULE)

    def terraform(*arguments: str, configuration: str) -> None:
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=tmp_path / "module",
            env=environment | {"TF_CLI_CONFIG_FILE": configuration},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    (first,) = configurations([one], environment)
    terraform("init", configuration=first)
    configurations([other], environment)
    terraform("validate", configuration=first)
    # Its own second run, with the lock file of the first.
    (again,) = configurations([one], environment)
    terraform("init", configuration=again)
    terraform("validate", configuration=again)


START = """
import os, sys
from pathlib import Path
from offline import engine
os.geteuid = lambda: 0
engine.PLACE = Path(sys.argv[1])
print(engine.start()["DOCKER_HOST"])
"""
DOCKERD = """#!/bin/sh
echo started >>"$PLACE/starts"
sleep 1
touch "$PLACE/answers"
exec sleep 600
"""
DOCKER = """#!/bin/sh
[ -e "$PLACE/answers" ]
"""


def test_two_that_want_an_engine_at_once_start_one(tmp_path: Path, environment: dict[str, str]) -> None:
    """With programs in the place of the engine and its client: the client answers once the engine is up."""
    place = tmp_path / "engine"
    place.mkdir()
    for name, text in (("dockerd", DOCKERD), ("docker", DOCKER)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment |= {"PLACE": str(place), "PYTHONPATH": str(ROOT / "tests-e2e")}
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-c", START, str(place)]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        found = {one.communicate(timeout=900)[0].strip() for one in started}
        assert [one.returncode for one in started] == [0] * 4
        assert found == {f"unix://{place}/docker.sock"}
        assert (place / "starts").read_text() == "started\n"
    finally:
        subprocess.run(["kill", (place / "started").read_text()])
