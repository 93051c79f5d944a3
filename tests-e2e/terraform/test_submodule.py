"""A module in a submodule: a commit that was applied from a full clone changes nothing when the engine fetches it.

With an empty folder in its place, which Terraform takes for a valid module, three resources would be destroyed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from iac_ci_common.left_out import LeftOut
from iac_ci_common.packing import pack, unpack
from iac_ci_local.terraform_tool import terraform_on_path, write_terraform
from iac_ci_vcs.git import GitRepositories

MODULE = 'resource "terraform_data" "kept" {\n  count = 3\n  input = count.index\n}\n'
ROOT = 'module "network" {\n  source = "./modules/network"\n}\n'


def run(folder: Path, *words: str, **named: str) -> str:
    environment = {**os.environ, "TF_IN_AUTOMATION": "1", **named}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "protocol.file.allow=always"]
    return run(folder, "git", *identity, *words).strip()


def test_three_resources_of_a_submodule_are_kept(tmp_path):
    (tmp_path / "bin").mkdir()
    terraform = terraform_on_path() or str(write_terraform(tmp_path / "bin"))
    module, top = tmp_path / "module", tmp_path / "top"
    for folder, text in ((module, MODULE), (top, ROOT)):
        folder.mkdir()
        (folder / "main.tf").write_text(text)
        git(folder, "init", "--quiet")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", "one")
    git(top, "submodule", "--quiet", "add", str(module), "modules/network")
    git(top, "config", "--file", ".gitmodules", "submodule.modules/network.url", f"file://{module}")
    git(top, "commit", "--quiet", "-am", "module")
    run(top, terraform, "init", "-input=false")
    assert "3 added, 0 changed, 0 destroyed" in run(top, terraform, "apply", "-auto-approve", "-no-color")

    tree, code = tmp_path / "tree", tmp_path / "code"
    tree.mkdir()
    code.mkdir()
    commit = git(top, "rev-parse", "HEAD")
    GitRepositories(allow_file=True).checkout(f"file://{top}", commit, str(tree), token=None, ssh_key=None)
    pack(tree, tmp_path / "code.zip", paths=LeftOut.of(tree).files(tree))
    unpack(tmp_path / "code.zip", code)
    shutil.copy(top / "terraform.tfstate", code)
    run(code, terraform, "init", "-input=false")
    assert "0 added, 0 changed, 0 destroyed" in run(code, terraform, "apply", "-auto-approve", "-no-color")
    kept = run(code, terraform, "state", "list").split()
    assert kept == [f"module.network.terraform_data.kept[{number}]" for number in range(3)]
