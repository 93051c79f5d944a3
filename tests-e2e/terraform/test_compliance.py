"""terraform-compliance over the real plans: every feature is green, and red where the Terraform is broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selection import only_in_full

from terraform.conftest import secrets
from terraform.mutants import MUTANTS, Mutant
from terraform.stage import STAGES, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

FEATURES = Path(__file__).with_name("features")
STEPS = Path(__file__).with_name("steps")

FIRST = {mutant.stage: mutant for mutant in reversed(MUTANTS)}.values()
"""The first mutant of each stage."""


def comply(features: Path, plan: Mapping[str, Any], folder: Path) -> dict[str, dict[str, str]]:
    """Hold a plan against the features of a folder; give by feature and scenario what that came to."""
    (folder / "plan.json").write_text(json.dumps(plan), "utf-8")
    command = [Path(sys.executable).with_name("terraform-compliance"), "--features", features, "--no-ansi"]
    command += ["--planfile", folder / "plan.json", "--basedir", STEPS, "--cucumber-json", folder / "report.json"]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder.parent), capture_output=True, text=True, timeout=1700
    )
    assert (folder / "report.json").is_file(), done.stdout + done.stderr
    report = json.loads((folder / "report.json").read_text("utf-8"))
    found = {
        Path(feature["uri"]).stem: {scenario["name"]: verdict(scenario["steps"]) for scenario in feature["elements"]}
        for feature in report
    }
    green = {result for scenarios in found.values() for result in scenarios.values()} == {"passed"}
    assert (done.returncode == 0) == green, done.stdout + done.stderr
    return found


def environment(folder: Path) -> dict[str, str]:
    """Keep what Python compiles: half of the tool's time is compiling itself, and this suite starts it often."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def verdict(steps: list[dict[str, Any]]) -> str:
    """Distinguish a scenario that fails from one that cannot be judged."""
    results = [step["result"] for step in steps]
    for result in results:
        # A step that finds something wrong leaves no message here; one that breaks leaves the error's.
        if result["status"] == "failed":
            return result["error_message"].strip() or "failed"
    return "passed" if all(result["status"] == "passed" for result in results) else "not judged"


@pytest.mark.parametrize("name", STAGES)
def test_the_plan_complies(name: str, plans: Mapping[str, Any], tmp_path: Path) -> None:
    found = comply(FEATURES / name, plans[name], tmp_path)
    assert found.keys() == {path.stem for path in (FEATURES / name).glob("*.feature")}
    for feature, scenarios in found.items():
        assert scenarios
        assert {name for name, result in scenarios.items() if result != "passed"} == set(), feature


def test_every_feature_is_shown_red() -> None:
    assert {(mutant.stage, mutant.feature) for mutant in MUTANTS} == {
        (path.parent.name, path.stem) for path in FEATURES.rglob("*.feature")
    }


def test_no_feature_passes_by_finding_nothing() -> None:
    """Without the tag, terraform-compliance passes over a scenario whose resource is not in the plan."""
    for path in FEATURES.rglob("*.feature"):
        assert path.read_text("utf-8").startswith("@noskip\nFeature: "), path.name


@pytest.mark.parametrize(
    "mutant",
    only_in_full(MUTANTS, lambda mutant: mutant not in FIRST),
    ids=lambda mutant: f"{mutant.stage}-{mutant.feature}",
)
def test_broken_terraform_breaks_every_scenario(mutant: Mutant, stages: Mapping[str, Stage], tmp_path: Path) -> None:
    stage = stages[mutant.stage].copy(tmp_path / "broken")
    for change in mutant.changes:
        stage.change(*change)
    (tmp_path / "features").mkdir()
    shutil.copy(FEATURES / mutant.stage / f"{mutant.feature}.feature", tmp_path / "features")
    plan = stage.plan("-refresh=false", **secrets(mutant.stage))
    (scenarios,) = comply(tmp_path / "features", plan, tmp_path).values()
    assert scenarios
    assert {name: result for name, result in scenarios.items() if result != "failed"} == {}
