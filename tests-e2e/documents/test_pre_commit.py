"""The hook for pre-commit checks a repository's configuration as pre-commit would call it."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
import yaml

from documents.blocks import ROOT

(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
VALID = (ROOT / "examples" / "pull-request" / "base" / ".iac-ci.yml").read_bytes()


@pytest.mark.parametrize(
    ("files", "exit_code", "text"),
    [
        ({".iac-ci.yml": VALID}, 0, ""),
        ({".iac-ci.yml": VALID + b"unknown: 1\n"}, 2, "unknown field"),
        ({".iac-ci.yml": VALID, "module/.iac-ci.yml": b"version: 2\n"}, 2, "module/.iac-ci.yml"),
        ({"iac-ci.yml": b"no: 1\n", "x.iac-ci.yml": b"no: 1\n", ".iac-ci.yml.bak": b"no: 1\n"}, 0, ""),
    ],
)
def test_the_hook_reports_every_problem_of_the_files_that_it_names(tmp_path, files, exit_code, text):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    chosen = [name for name in files if re.search(HOOK["files"], name)]
    if not chosen:
        assert exit_code == 0
        return
    done = subprocess.run(
        [*shlex.split(HOOK["entry"]), *chosen], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, text in done.stderr) == (exit_code, True), done.stderr
