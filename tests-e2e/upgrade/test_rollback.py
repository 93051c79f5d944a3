"""What this version has begun, the newest recorded version ends: a rollback to the version before, really played."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tomllib
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

import pytest

from upgrade.cloud import Cloud
from upgrade.playing import ROOT, Player, Version
from upgrade.promises import broken_promises
from upgrade.record import RECORDINGS, record
from upgrade.stories import ALL_WELL, STORIES, Story

OPEN_POINTS = ["accepted", "queued", "dispatching", "running"]

STRICT = "0001-first"
"""This version refused unknown fields of objects, so that it cannot read a job that a later one accepted: it ends what
is prepared. Every version after it reads them."""

UNOPENED = Story(
    STORIES["queued"].reach,
    ALL_WELL | {"on-lambda": "failed", "in-a-build": "failed", "after-all": "skipped"},
    "failed",
)
"""The version before has a lower stack level, so that pipelines/deploy refuses it while such runs are open. If it is
installed all the same, it cannot open packages whose secrets the broker unseals: their orders fail before their first
command, and everything else ends as it should."""

EXPECTED = {"queued": UNOPENED, "dispatching": UNOPENED}

BEFORE = max(
    path.parent.name
    for path in RECORDINGS.glob("*/version.json")
    if json.loads(path.read_text("utf-8"))["commit"] is not None
)


@pytest.fixture(scope="module")
def version_before(tmp_path_factory) -> tuple[str, ...]:
    """Folders with the code of the newest recorded version, and with what names its entry points."""
    commit = json.loads((RECORDINGS / BEFORE / "version.json").read_text("utf-8"))["commit"]
    packed = subprocess.run(["git", "archive", commit, "packages"], cwd=ROOT, capture_output=True, timeout=60)
    if packed.returncode:
        pytest.skip(f"the history does not reach back to {commit}, the version before: a shallow clone")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return (str(_metadata(folder)), *sorted(str(path) for path in folder.glob("packages/*/src")))


def _metadata(folder: Path) -> Path:
    """Lay out the old packages' entry points, before those of the installed ones; new packages have none."""
    place = folder / "metadata"
    entry_points = {
        name: {}
        for found in distributions()
        if (name := found.metadata["Name"]).startswith("iac-ci-")
    }  # fmt: skip
    for path in folder.glob("packages/*/pyproject.toml"):
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        entry_points[project["name"]] = project.get("entry-points", {})
    for name, groups in entry_points.items():
        about = place / f"{name.replace('-', '_')}-0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
        lines = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
                 for group, points in groups.items()]  # fmt: skip
        (about / "entry_points.txt").write_text("\n".join(lines))
    return place


@pytest.mark.parametrize("name", [name for name in OPEN_POINTS if (BEFORE, name) != (STRICT, "accepted")])
def test_the_version_before_ends_what_this_one_has_begun(name, version_before, tmp_path):
    begun = record(name)
    with Cloud(datetime.now(UTC)).running() as cloud:
        cloud.restore(json.loads(json.dumps(begun)))
        with Version(cloud, tmp_path, version_before).running() as version:
            version.starts.write_text("".join(f"{name}\n" for name in begun["starts"]))
            player = Player(cloud, version)
            player.play()
        broken = list(broken_promises(cloud, EXPECTED.get(name, STORIES[name]), version.starts))
        assert not broken, (broken, player.errors, version.log()[-3000:])
