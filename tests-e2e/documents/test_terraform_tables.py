"""The READMEs of the Terraform stages list what the stages have."""

from __future__ import annotations

import re
import shutil

import pytest
from docs.terraform_tables import MARK, STAGES, document

from documents.blocks import ROOT


@pytest.mark.parametrize("stage", STAGES)
def test_the_tables_are_what_the_stage_has(stage):
    readme = ROOT / "terraform" / stage / "README.md"
    assert readme.read_text("utf-8") == document(readme), "run python -m docs.terraform_tables"


@pytest.mark.parametrize("stage", STAGES)
def test_every_variable_output_and_resource_is_listed_once(stage):
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "terraform" / stage).glob("*.tf"))
    tables = (ROOT / "terraform" / stage / "README.md").read_text("utf-8").partition(MARK)[2]
    for kind in ("variable", "output"):
        names = re.findall(rf'^{kind} "(\w+)"', text, re.MULTILINE)
        assert names
        assert all(len(re.findall(rf"^\| `{name}` \|", tables, re.MULTILINE)) >= 1 for name in names)
    for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE):
        assert tables.count(f"`{kind}.{name}`") == 1


def test_a_new_variable_is_noticed(tmp_path):
    stage = tmp_path / "ecr"
    shutil.copytree(ROOT / "terraform/ecr", stage, ignore=shutil.ignore_patterns(".terraform*"))
    (stage / "more.tf").write_text('variable "more" {\n  description = "A | b."\n  type = string\n}\n', "utf-8")
    assert "| `more` | A \\| b. | `string` | **required** |" in document(stage / "README.md")
    (stage / "README.md").write_text("# Without the mark\n", "utf-8")
    with pytest.raises(ValueError, match="lacks the line"):
        document(stage / "README.md")
