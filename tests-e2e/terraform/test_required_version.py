"""The engine's reading of ``required_version`` agrees with Terraform's own."""

from __future__ import annotations

import os
import subprocess

import pytest
from offline import program

from iac_ci_common.tool_versions import Constraint, Version
from iac_ci_init.root_module import required_versions

_SECONDS = 600

CONSTRAINTS = [
    "{v}", "= {v}", "!= {v}", ">= {v}", "> {v}", "<= {v}", "< {v}", "~> {v}", "v{v}", "~> {two}", "~> {one}",
    "~> {two}.99",
    ">= {two}", "< {two}", "!= {two}", "= {one}", "~> 0.9", ">= 0.12, < {v}", ">=0.12,<=9", "> {v}-rc1", "~> {v}-rc1",
    ">= {one}.0.0-alpha", "< 99.0.0-beta", "=> {v}", "", "{one}.x", ">= {v} < 2", "~>", ">= {v},", "{v}.0", "{v}+build",
]  # fmt: skip


def accepts(folder, constraint):
    """Return whether Terraform takes a root module; None where it refuses the constraint itself."""
    (folder / "main.tf").write_text(f'terraform {{\n  required_version = "{constraint}"\n}}\n')
    done = subprocess.run(
        ["terraform", "init", "-backend=false", "-no-color"],
        cwd=folder, capture_output=True, text=True, timeout=_SECONDS,
        env={"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1", "HOME": str(folder)},
    )  # fmt: skip
    if done.returncode == 0:
        return True
    unsupported = "Unsupported Terraform Core version" in done.stderr
    assert unsupported or "Invalid " in done.stderr, done.stderr
    return False if unsupported else None


@pytest.mark.slow
def test_constraints_are_read_as_terraform_reads_them(tmp_path):
    program.put_on_path()
    own = program.version()["terraform_version"]
    one, two = own.split(".")[0], ".".join(own.split(".")[:2])
    differing = {}
    for template in CONSTRAINTS:
        constraint = template.format(v=own, one=one, two=two)
        theirs = accepts(tmp_path, constraint)
        assert required_versions((tmp_path / "main.tf").read_text()) == [constraint]
        try:
            ours = Constraint.parse(constraint).allows(Version.parse(own))
        except ValueError:
            ours = None
        if ours is not theirs:
            differing[constraint] = (ours, theirs)
    print(f"{len(CONSTRAINTS)} constraints read as Terraform {own} reads them")
    assert differing == {}
