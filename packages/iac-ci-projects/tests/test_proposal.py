from __future__ import annotations

import pytest

from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_projects import Rule, Tool, find_projects, propose

BACKEND = 'terraform { backend "s3" {} }\n'
CALL = 'module "m" {{ source = "{}" }}\n'.format


def tree(files):
    contents = {path: text.encode() for path, text in files.items()}
    return Tree({path: Entry(EntryKind.FILE, len(text)) for path, text in contents.items()}, contents)


@pytest.mark.parametrize(
    ("files", "rules"),
    [
        ({"README.md": ""}, ()),
        ({"main.tf": ""}, (Rule(folder=""),)),
        (
            {"live/a/backend.tf": BACKEND, "live/a/main.tf": "", "live/b/backend.tf": BACKEND, "modules/x/main.tf": ""},
            (Rule(("live/**/backend.tf",)),),
        ),
        # Without a backend, what no other folder calls.
        (
            {"a/main.tf": CALL("../modules/x"), "b/main.tf": CALL("../modules/x"), "modules/x/main.tf": ""},
            (Rule(("**/main.tf", "!modules/**")),),
        ),
        # Nothing marks exactly these folders.
        ({"a/x.tf": BACKEND, "b/y.tf": BACKEND, "c/x.tf": ""}, (Rule(folder="a"), Rule(folder="b"))),
        (
            {
                "terragrunt.hcl": "",
                "live/a/terragrunt.hcl": 'include "root" { path = find_in_parent_folders() }\n',
                "live/b/terragrunt.hcl": 'include "root" { path = find_in_parent_folders() }\n',
            },
            (Rule(("live/**/terragrunt.hcl",), tool=Tool.TERRAGRUNT),),
        ),
        # The file that units include is above them.
        (
            {
                "live/terragrunt.hcl": "",
                "live/a/terragrunt.hcl": 'include "root" { path = find_in_parent_folders() }\n',
                "live/b/terragrunt.hcl": 'include "root" { path = find_in_parent_folders() }\n',
                "units/x/terragrunt.hcl": "",
            },
            (Rule(("**/terragrunt.hcl", "!live/terragrunt.hcl"), tool=Tool.TERRAGRUNT),),
        ),
        ({"a/main.tf": BACKEND, "b\nc/main.tf": BACKEND, "-d/main.tf": BACKEND}, (Rule(("**/main.tf",)),)),
        ({"a/main.tofu": BACKEND, "b/main.tofu": BACKEND}, (Rule(("**/main.tofu",), tool=Tool.OPENTOFU),)),
        (
            {"a/main.tf": BACKEND, "b/main.tf": BACKEND, "c/x.tofu": BACKEND},
            (Rule(("**/main.tf",)), Rule(folder="c", tool=Tool.OPENTOFU)),
        ),
        ({"a/infra.tf": BACKEND, "b/infra.tf": BACKEND}, (Rule(("**/infra.tf",)),)),
    ],
)
def test_rules_are_proposed_that_find_exactly_the_projects(files, rules):
    proposal = propose(tree(files))
    assert proposal.rules == rules
    assert tuple(project.folder for project in find_projects(rules, tree(files)).projects) == proposal.folders


def test_folders_that_are_left_out_are_named():
    files = {
        "a/main.tf": BACKEND + CALL("../m"),
        "b\nc/main.tf": BACKEND,
        "m/main.tf": "",
        "other/main.tf": "",
        "z\n/terragrunt.hcl": "",
    }
    bytes_or_signs = "the path of the folder has control characters, a backslash, {{ or bytes that are not UTF-8"
    assert propose(tree(files)).left_out == (
        ("b\nc", bytes_or_signs),
        ("other", "no backend, unlike others"),
        ("z\n", bytes_or_signs),
    )
    assert propose(tree({"a/main.tf": "", "m/main.tf": ""})).left_out == ()


def test_files_of_variables_are_named_that_no_tool_reads_by_itself():
    files = {
        "a/main.tf": BACKEND,
        "a/dev.tfvars": "",
        "a/x.auto.tfvars": "",
        "a/terraform.tfvars": "",
        "a/e/p.tfvars": "",
    }
    assert propose(tree(files)).var_files == (("a", ("dev.tfvars", "e/p.tfvars")),)
