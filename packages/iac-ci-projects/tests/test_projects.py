"""Projects of small commits: what is found, what each reads, and what comes first."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_projects import (
    Rule,
    Tool,
    TooManyProjects,
    discovery,
    files_to_read,
    find_projects,
    terragrunt_files,
    without_circles,
)
from iac_ci_projects.hcl import blocks
from iac_ci_projects.terraform_files import MAX_FILE_BYTES

ROOTS = Rule(("live/**/main.tf",))
UNITS = Rule(("units/**/terragrunt.hcl", "!units/terragrunt.hcl"), tool=Tool.TERRAGRUNT)
CALL = 'module "m" {{ source = "{}" }}\n'.format
BACKEND = 'terraform {{ backend "s3" {{\n bucket = "states"\n key = "{}"\n}} }}\n'.format
READS = (
    'data "terraform_remote_state" "r" {{\n backend = "s3"\n config = {{ bucket = "states", key = "{}" }}\n}}\n'.format
)


def tree(files, links=None, submodules=()):
    """Return a tree whose files are read as the engine reads them."""
    links = links or {}
    contents = {path: text.encode() for path, text in (files | links).items()}
    entries = {path: Entry(EntryKind.FILE, len(contents[path])) for path in files}
    entries |= {path: Entry(EntryKind.LINK) for path in links} | {
        path: Entry(EntryKind.SUBMODULE) for path in submodules
    }
    chosen = files_to_read(entries)
    return Tree(entries, {path: contents[path] for path in chosen if path in contents})


def found(files, *rules, removed=(), **more):
    made = find_projects(rules or (ROOTS,), tree(files, **more), removed)
    return {project.folder: project for project in made.projects}


def test_each_folder_with_a_file_is_a_project():
    projects = found({"live/a/main.tf": "", "live/b/c/main.tf": "", "live/d/other.tf": "", "main.tf": ""})
    assert list(projects) == ["live/a", "live/b/c"]


def test_one_folder_is_named_and_the_root_is_one():
    assert list(found({"main.tf": "", "a/x.tf": ""}, Rule(folder=""), Rule(folder="a"), Rule(folder="b"))) == ["", "a"]


def test_a_folder_knows_all_rules_that_find_it():
    project = found({"live/a/main.tf": ""}, Rule(folder="live/a"), ROOTS)["live/a"]
    assert project.rules == (0, 1)


@pytest.mark.parametrize(
    ("removed", "deleted"),
    [
        (["live/b/main.tf"], ["live/b"]),
        (["live/b/main.tf", "live/b/other.tf"], ["live/b"]),
        (["live/b/other.tf"], []),
        (["live/a/main.tf"], []),
        ([], []),
    ],
)
def test_a_deleted_project_is_told_from_none(removed, deleted):
    projects = found({"live/a/main.tf": ""}, removed=removed)
    assert [folder for folder, project in projects.items() if project.is_deleted] == deleted


def test_a_named_folder_is_deleted_with_all_its_files():
    assert found({"x": ""}, Rule(folder="a"), removed=["a/b/c.tf"])["a"].is_deleted


def test_modules_are_followed():
    files = {
        "live/a/main.tf": CALL("../../modules/one") + CALL("hashicorp/consul/aws") + CALL("git::https://x/y"),
        "modules/one/main.tf": CALL("./inner"),
        "modules/one/inner/x.tf": CALL("../../two"),
        "modules/two/x.tf.json": json.dumps({"module": {"m": {"source": "../three"}}}),
        "modules/three/x.tf": CALL("../one"),
    }
    project = found(files)["live/a"]
    assert set(project.folders) == {"modules/one", "modules/one/inner", "modules/two", "modules/three"}
    assert (project.may_read_more, project.remarks) == (False, ())


@pytest.mark.parametrize(
    ("files", "remark"),
    [
        ({"live/a/main.tf": CALL("${var.where}/one")}, "live/a/main.tf: the source of the module m is no plain text"),
        ({"live/a/main.tf": CALL("../../../x")}, "live/a/main.tf: the module m is outside of the repository"),
        ({"live/a/main.tf": 'module "m" {\n source = "'}, "live/a/main.tf: line 2 has a string that nothing closes"),
        ({"live/a/main.tf": "", "live/a/big.tf": "module" + " " * MAX_FILE_BYTES}, "live/a/big.tf: has more than 1048576 bytes"),  # noqa: E501
        ({"live/a/main.tf": "", "live/a/x.tf.json": '{"module": ' * 50_000}, "live/a/x.tf.json: is not readable"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_may_be_anything(files, remark):
    project = found(files)["live/a"]
    assert project.may_read_more
    assert project.remarks == (remark,)


def test_files_that_can_matter_are_chosen():
    entries = {
        "a.tf": Entry(), "a.tfvars": Entry(), "b.tofu.json": Entry(), "c.hcl": Entry(), ".hidden.tf": Entry(),
        "README.md": Entry(), "link": Entry(EntryKind.LINK), "sub": Entry(EntryKind.SUBMODULE), ".iac-ci-ignore": Entry(),  # noqa: E501
    }  # fmt: skip
    assert files_to_read(entries) == ["a.tf", "b.tofu.json", "c.hcl", "link", ".iac-ci-ignore"]


def test_states_that_are_read_come_first():
    files = {
        "live/net/main.tf": BACKEND("net"),
        "live/app/main.tf": BACKEND("app") + CALL("../../modules/reader") + READS("${var.key}"),
        "live/none/main.tf": READS("elsewhere"),
        "modules/reader/main.tf": READS("net"),
    }
    projects = found(files)
    assert projects["live/app"].after == ("live/net",)
    assert projects["live/none"].after == projects["live/net"].after == ()
    # The order may lack one, but no file that the project reads is unknown.
    assert not projects["live/app"].may_read_more
    assert projects["live/app"].remarks == ("live/app/main.tf: the state that r reads is no plain text",)


@pytest.mark.parametrize(
    ("own", "read"),
    [
        ('backend "local" { path = "x.tfstate" }', 'backend = "local"\n config = { path = "../net/x.tfstate" }'),
        ('backend "local" {}', 'backend = "local"\n config = { path = "${path.module}/../net/terraform.tfstate" }'),
        ('backend "gcs" {\n bucket = "b"\n prefix = "p"\n}', 'backend = "gcs"\n config = { bucket = "b", prefix = "p" }'),  # noqa: E501
        ('cloud {\n organization = "o"\n workspaces { name = "w" }\n}', 'backend = "remote"\n config = { organization = "o", workspaces = { name = "w" } }'),  # noqa: E501
        ('cloud {\n organization = "o"\n workspaces { name = "w" }\n}', 'backend = "remote"\n config = { hostname = "app.terraform.io", organization = "o", workspaces = { name = "w" } }'),  # noqa: E501
        ('backend "kubernetes" {\n secret_suffix = "s"\n namespace = "default"\n}', 'backend = "kubernetes"\n config = { secret_suffix = "s" }'),  # noqa: E501
        ('backend "pg" { conn_str = "c" }', 'backend = "pg"\n config = { conn_str = "c", schema_name = "terraform_remote_state" }'),  # noqa: E501
        ('backend "gcs" { bucket = "b" }', 'backend = "gcs"\n config = { bucket = "b", prefix = "" }'),
        ('backend "oss" { bucket = "b" }', 'backend = "oss"\n config = { bucket = "b", key = "terraform.tfstate" }'),
        ('required_version = "1"', 'backend = "local"\n config = { path = "../net/terraform.tfstate" }'),
    ],
)  # fmt: skip
def test_states_of_other_backends_are_recognized(own, read):
    files = {
        "live/net/main.tf": f"terraform {{\n {own}\n}}\n",
        "live/app/main.tf": f'data "terraform_remote_state" "r" {{\n {read}\n}}\n',
    }
    assert found(files)["live/app"].after == ("live/net",)


@pytest.mark.parametrize(
    ("own", "read"),
    [
        ('backend "kubernetes" {\n secret_suffix = "s"\n namespace = "x"\n}', 'backend = "kubernetes"\n config = { secret_suffix = "s" }'),  # noqa: E501
        ('backend "kubernetes" {\n secret_suffix = "s"\n namespace = var.x\n}', 'backend = "kubernetes"\n config = { secret_suffix = "s" }'),  # noqa: E501
        ('backend "pg" {}', 'backend = "pg"\n config = { schema_name = "terraform_remote_state" }'),
        ('backend "s3" {}', 'backend = "local"\n config = { path = "../net/terraform.tfstate" }'),
    ],
)  # fmt: skip
def test_other_states_and_unreadable_ones_are_no_ones(own, read):
    files = {
        "live/net/main.tf": f"terraform {{\n {own}\n}}\n",
        "live/app/main.tf": f'data "terraform_remote_state" "r" {{\n {read}\n}}\n',
    }
    assert found(files)["live/app"].after == ()


@pytest.mark.parametrize(
    ("text", "folders", "more"),
    [
        ('{"module": {"a": {"source": "../a"}}, "module": {"b": {"source": "../b"}}}', {"live/a", "live/b"}, False),
        ('{"module": [{"a": {"source": "../a"}}], "module": {"a": [{"source": "../b"}]}}', {"live/a", "live/b"}, False),
        ('{"module": {"a": {"source": "../a"}, "a": {"source": "../b"}}}', {"live/a", "live/b"}, False),
        (r'{"mod\u0075le": {"a": {"sour\u0063e": "../\u0061"}}}', {"live/a"}, False),
        ('{"module": {"a": {"source": "../a", "source": "../b"}}}', set(), True),
    ],
)
def test_names_in_json_may_stand_twice_and_have_escapes(text, folders, more):
    project = found({"live/x/main.tf": "", "live/x/m.tf.json": text, "live/a/y.tf": "", "live/b/y.tf": ""})["live/x"]
    assert set(project.folders) == folders
    assert project.may_read_more is more


@pytest.mark.parametrize(
    "read",
    [
        'locals { key = "net" }\n' + READS("${local.key}"),
        'locals {\n key = "${local.part}et"\n part = "n"\n}\n' + READS("${local.key}"),
        READS("net").replace(" config = {", " config = { # } the network\n").replace('" }', '" /* } */\n}'),
    ],
)
def test_states_are_recognized_through_local_values_and_comments(read):
    projects = found({"live/net/main.tf": BACKEND("net"), "live/app/main.tf": read})
    assert projects["live/app"].after == ("live/net",)


def test_local_values_are_read_in_other_files_of_the_folder_and_in_json():
    own = {"terraform": {"cloud": {"organization": "o", "workspaces": {"name": "net"}}}}
    config = {"organization": "${local.org}", "workspaces": {"name": "net"}}
    read = {"data": {"terraform_remote_state": {"net": {"backend": "remote", "config": config}}}}
    projects = found(
        {
            "live/net/main.tf": "",
            "live/net/cloud.tf.json": json.dumps(own),
            "live/app/main.tf": 'locals { "no" }\n',
            "live/app/net.tf.json": json.dumps(read),
            "live/app/names.tf.json": json.dumps({"locals": {"org": "o"}}),
        }
    )
    assert projects["live/app"].after == ("live/net",)


def test_local_values_that_double_each_other_are_read_in_time():
    lines = [f'x{number} = "${{local.x{number - 1}}}${{local.x{number - 1}}}"' for number in range(1, 15_000)]
    text = 'locals {\nx0 = "x"\n' + "\n".join(lines) + "\n}\n" + READS("${local.x14999}")
    assert len(text) < MAX_FILE_BYTES
    assert found({"live/a/main.tf": text})["live/a"].after == ()


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("a_override.tf", Tool.TERRAFORM),
        ("override.tf", Tool.OPENTOFU),
        ("a_override.tf.json", Tool.TERRAFORM),
        ("override.tofu", Tool.OPENTOFU),
        ("a_override.tofu.json", Tool.OPENTOFU),
    ],
)
def test_the_backend_of_an_override_file_counts(name, tool):
    key = {"terraform": {"backend": {"s3": {"bucket": "states", "key": "new"}}}}
    override = json.dumps(key) if name.endswith(".json") else BACKEND("new")
    files = {"live/net/main.tf": BACKEND("old"), f"live/net/{name}": override}
    readers = {"live/app/main.tf": READS("new"), "live/old/main.tf": READS("old")}
    projects = found(files | readers, Rule(ROOTS.find, tool=tool))
    assert (projects["live/app"].after, projects["live/old"].after) == (("live/net",), ())


OF_JSON = json.dumps({"terraform": {"backend": {"s3": {"bucket": "states", "key": "json"}}}})


@pytest.mark.parametrize(
    ("tool", "files", "key"),
    [
        (Tool.TERRAFORM, {"backend.tf": BACKEND("tf"), "backend.tofu": BACKEND("tofu")}, "tf"),
        (Tool.OPENTOFU, {"backend.tf": BACKEND("tf"), "backend.tofu": BACKEND("tofu")}, "tofu"),
        (Tool.OPENTOFU, {"x.tofu.tf": BACKEND("tf"), "x.tofu.tofu": BACKEND("tofu")}, "tofu"),
        (Tool.OPENTOFU, {"backend.tf": BACKEND("tf"), "backend.tofu": ""}, None),
        (Tool.OPENTOFU, {"backend.tf": BACKEND("tf"), "other.tofu": ""}, "tf"),
        (Tool.OPENTOFU, {"backend.tf": BACKEND("tf"), "backend.tofu.json": "{}"}, "tf"),
        (Tool.OPENTOFU, {"backend.tf.json": OF_JSON, "backend.tofu.json": "{}"}, None),
        (Tool.OPENTOFU, {"override.tf": BACKEND("tf"), "override.tofu": "", "a.tofu": BACKEND("tofu")}, "tofu"),
        (Tool.TERRAFORM, {"backend.tf.json": OF_JSON, "backend.tofu.json": "{}"}, "json"),
        (Tool.TERRAFORM, {"backend.tofu": BACKEND("tofu")}, None),
        (Tool.TERRAFORM, {"backend.tf": BACKEND("tf"), "override.tofu": BACKEND("tofu")}, "tf"),
    ],
)
def test_the_files_of_a_project_are_those_that_its_tool_reads(tool, files, key):
    """OpenTofu reads ``a.tofu`` in place of ``a.tf``, and Terraform reads no such file."""
    own = {f"live/net/{name}": text for name, text in ({"main.tf": ""} | files).items()}
    readers = {f"live/{name}/main.tf": READS(name) for name in ("tf", "tofu", "json")}
    projects = found(own | readers, Rule(ROOTS.find, tool=tool))
    assert {name for name in ("tf", "tofu", "json") if projects[f"live/{name}"].after} == ({key} if key else set())


@pytest.mark.parametrize(
    ("tool", "modules", "after"),
    [
        (Tool.TERRAFORM, ["modules/tf"], ("live/tf",)),
        (Tool.OPENTOFU, ["modules/one", "modules/tofu"], ("live/tofu",)),
    ],
)
def test_modules_and_local_values_are_those_that_the_tool_reads(tool, modules, after):
    files = {
        "live/a/main.tf": CALL("../../modules/tf") + READS("${local.key}"),
        "live/a/names.tf": 'locals {\n key = "tf"\n}\n',
        "modules/tf/x.tf": "", "modules/one/x.tf": "", "modules/one/x.tofu": CALL("../tofu"), "modules/tofu/x.tofu": "",
        "live/tf/main.tf": BACKEND("tf"), "live/tofu/main.tf": BACKEND("tofu"),
    }  # fmt: skip
    of_tofu = {"live/a/main.tofu": CALL("../../modules/one") + READS("${local.key}")}
    of_tofu["live/a/names.tofu"] = 'locals {\n key = "tofu"\n}\n'
    project = found(files | of_tofu, Rule(ROOTS.find, tool=tool))["live/a"]
    assert (sorted(project.folders), project.after) == (modules, after)


def test_a_project_of_terragrunt_reads_its_module_as_opentofu_does():
    """Terragrunt may call either tool; a module with such files is one for OpenTofu."""
    files = {"units/a/terragrunt.hcl": 'terraform {\n source = "../../modules/one"\n}\n'}
    files |= {"modules/one/x.tf": CALL("../tf"), "modules/one/x.tofu": CALL("../tofu")}
    assert set(found(files, UNITS)["units/a"].folders) == {"modules/one", "modules/tofu"}


def test_copies_that_the_tools_fetch_are_no_projects():
    files = {"live/.terraform/modules/m/main.tf": "", "live/a/.terragrunt-cache/x/y/main.tf": "", "live/b/main.tf": ""}
    assert list(found(files)) == ["live/b"]


LOCALS = 'locals {\n e = local.f\n f = "b"\n}\ndependency "n" {\n config_path = "../${local.e}"\n}\n'
EXTRA = 'terraform {{\n extra_arguments "v" {{\n {} = {}\n}}\n}}\n'.format


@pytest.mark.parametrize(
    ("text", "after", "files", "more"),
    [
        (LOCALS, "units/b", "", False),
        (EXTRA("required_var_files", '["../common.tfvars"]'), "", "units/common.tfvars", False),
        (EXTRA("optional_var_files", '["${get_repo_root()}/all.tfvars"]'), "", "all.tfvars", False),
        (EXTRA("optional_var_files", '[get_env("FILE")]'), "", "", True),
        (EXTRA("optional_var_files", 'split(",", get_env("FILES"))'), "", "", True),
    ],
)
def test_a_terragrunt_unit_reads_by_local_values_and_files_of_variables(text, after, files, more):
    project = found({"units/a/terragrunt.hcl": text, "units/b/terragrunt.hcl": ""}, UNITS)["units/a"]
    assert project.after == ((after,) if after else ())
    assert project.files == ((files,) if files else ())
    assert project.may_read_more is more


INCLUDE = 'include "root" {\n path = find_in_parent_folders("root.hcl")\n}\n'
BOTH = INCLUDE + 'include "common" {\n path = "../../common/c.hcl"\n}\n'
SOURCE = 'terraform {{\n source = "{}"\n}}\n'.format


@pytest.mark.parametrize(
    ("text", "module"),
    [
        (SOURCE("${get_parent_terragrunt_dir()}/m"), "units/a/m"),
        (INCLUDE + SOURCE("${get_parent_terragrunt_dir()}/m"), "m"),
        (BOTH + SOURCE('${get_parent_terragrunt_dir("common")}/m'), "common/m"),
        (BOTH + SOURCE('${get_parent_terragrunt_dir("root")}/m'), "m"),
        (BOTH + SOURCE("${get_parent_terragrunt_dir()}/m"), None),
        (BOTH + SOURCE('${get_parent_terragrunt_dir("other")}/m'), None),
        (SOURCE("../../m/${path_relative_to_include()}"), "m"),
        (INCLUDE + SOURCE("../../m/${path_relative_to_include()}"), "m/units/a"),
        (BOTH + SOURCE('../../m/x/${path_relative_to_include("common")}'), "m/units/a"),
        (BOTH + SOURCE("../../m/${path_relative_to_include()}"), None),
        (INCLUDE + SOURCE("${get_terragrunt_dir()}/${path_relative_from_include()}/m"), "m"),
        (BOTH + SOURCE('${get_terragrunt_dir()}/${path_relative_from_include("common")}/m'), "common/m"),
        ('include {\n path = get_env("X")\n}\n' + SOURCE("${get_parent_terragrunt_dir()}/m"), None),
        ('terraform {\n source = file("x")\n}\n', None),
    ],
)
def test_a_terragrunt_unit_knows_the_files_that_it_includes(text, module):
    files = {"units/a/terragrunt.hcl": text, "root.hcl": "", "common/c.hcl": ""}
    project = found(files, UNITS)["units/a"]
    assert project.folders == (() if module is None else (module,))
    assert project.may_read_more is (module is None)


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("m", {"units/a/m"}),
        ("m//b?ref=1", {"units/a/m/b"}),
        ("m/b", {"units/a/m/b"}),
        ("acme/net/aws", set()),
        ("git::https://example.com/m", set()),
        ("", set()),
    ],
)
def test_a_source_of_terragrunt_is_a_path_where_there_is_such_a_folder(source, modules):
    files = {"units/a/terragrunt.hcl": SOURCE(source), "units/a/m/x.tf": "", "units/a/m/b/x.tf": ""}
    project = found(files, UNITS)["units/a"]
    assert set(project.folders) == modules
    assert not project.may_read_more


def test_a_file_that_a_unit_includes_reads_from_its_own_folder_what_terraforms_function_reads():
    common = """
        locals {
          a = file("a.txt")
          b = sops_decrypt_file("b.yaml")
          c = file("${get_terragrunt_dir()}/c.txt")
          d = read_terragrunt_config(find_in_parent_folders("region.hcl"))
          e = file("${get_parent_terragrunt_dir()}/${path_relative_to_include()}/e")
        }
    """
    files = {"units/a/terragrunt.hcl": BOTH, "root.hcl": "", "common/c.hcl": common, "units/region.hcl": ""}
    project = found(files, UNITS)["units/a"]
    read = {"common/a.txt", "units/a/b.yaml", "units/a/c.txt", "units/region.hcl", "units/a/e"}
    assert set(project.files) == {"root.hcl", "common/c.hcl", *read}
    assert not project.may_read_more


@pytest.mark.parametrize(
    ("files", "remark"),
    [
        ({"units/a/terragrunt.hcl.json": "{}"}, "units/a/terragrunt.hcl.json"),
        (
            {"units/a/terragrunt.hcl": "include {\n path = find_in_parent_folders()\n}\n", "terragrunt.hcl.json": "{}"},
            "terragrunt.hcl.json",
        ),
        ({"units/a/terragrunt.hcl": "", "units/a/terragrunt.hcl.json": "{}"}, ""),
    ],
)
def test_json_of_terragrunt_may_be_anything(files, remark):
    project = found(files, Rule(folder="units/a", tool=Tool.TERRAGRUNT))["units/a"]
    assert project.remarks == ((f"{remark}: JSON of Terragrunt is not read",) if remark else ())
    assert project.may_read_more is bool(remark)


def test_a_terragrunt_unit_names_what_it_reads():
    files = {
        "root.hcl": 'remote_state { backend = "s3" }\n',
        "units/region.hcl": "locals { region = 1 }\n",
        "units/app/terragrunt.hcl": """
            include "root" {
              path = find_in_parent_folders("root.hcl")
            }
            locals {
              region = read_terragrunt_config(find_in_parent_folders("region.hcl"))
              base   = "${get_repo_root()}/modules"
            }
            terraform {
              source = "${local.base}//app?ref=1"
            }
            dependency "net" {
              config_path = "../net"
            }
            dependencies {
              paths = ["../dns", "${get_terragrunt_dir()}/../kms"]
            }
        """,
        "units/net/terragrunt.hcl": 'terraform {\n  source = "tfr:///terraform-aws-modules/vpc/aws?version=5"\n}\n',
        "units/dns/terragrunt.hcl": "",
        "units/kms/terragrunt.hcl": "",
        "modules/app/main.tf": CALL("../part"),
        "modules/part/main.tf": "",
    }
    projects = found(files, UNITS)
    assert set(projects) == {"units/app", "units/net", "units/dns", "units/kms"}
    app = projects["units/app"]
    assert set(app.files) == {"root.hcl", "units/region.hcl"}
    assert set(app.folders) >= {"modules/app", "modules/part"}
    assert app.after == ("units/net", "units/dns", "units/kms")
    assert (app.may_read_more, app.remarks) == (False, ())
    assert not projects["units/net"].may_read_more


def test_a_file_that_many_units_include_is_read_once(monkeypatch):
    """Anybody who opens a pull request may make it large."""
    texts = []

    def counted(text, *more):
        texts.append(text)
        return blocks(text, *more)

    monkeypatch.setattr(terragrunt_files, "blocks", counted)
    include = 'include "root" {{\n path = find_in_parent_folders("root.hcl")\n}}\n# unit {}\n'
    units = {f"units/u{number}/terragrunt.hcl": include.format(number) for number in range(100)}
    root = "# file(1,\n" * 300 + 'inputs = {\n x = file("x")\n}\n'
    projects = found(units | {"root.hcl": root}, UNITS)
    assert len(projects) == 100
    assert texts.count(root) == 1
    assert all(project.may_read_more for project in projects.values())


def test_what_terragrunt_alone_knows_may_be_anything():
    files = {
        "units/a/terragrunt.hcl": 'terraform { source = include.root.locals.source }\ninputs = { a = file("${local.x}") }\n'  # noqa: E501
    }
    project = found(files, UNITS)["units/a"]
    assert project.may_read_more
    assert project.remarks == (
        "units/a/terragrunt.hcl: the path of terraform is no plain text of a path in the repository",
        "units/a/terragrunt.hcl: line 2 reads a file whose path is no plain text",
    )


def test_links_inside_of_the_repository_are_followed():
    files = {
        "live/a/main.tf": CALL("./modules/one"),
        "modules/one/x.tf": "",
        "modules/common.tf": CALL("../../modules/two"),
    }
    links = {
        "live/a/common.tf": "../../modules/common.tf",
        "live/a/modules": "../../modules",
        "live/b": "a",
        "live/a/self": "self",
    }
    project = found(files, links=links)["live/a"]
    assert "modules/one" in project.folders
    assert "modules/two" in project.folders
    assert "modules/common.tf" in project.files


@pytest.mark.parametrize(
    ("links", "files", "folders"),
    [
        ({"live/a/common.auto.tfvars": "../../common.auto.tfvars"}, {"common.auto.tfvars"}, set()),
        ({"live/a/t/x.tpl": "../../../texts/x.tpl"}, {"texts/x.tpl"}, set()),
        ({"live/a/t": "../../texts"}, set(), {"texts"}),
        ({"live/a/t": "../../texts", "texts/y": "../common.auto.tfvars"}, {"common.auto.tfvars"}, {"texts"}),
        # Where a link on the way leads elsewhere, only the link itself changes.
        ({"live/a/x.tf": "../../current/x.tf", "current": "v1"}, {"current", "v1/x.tf"}, set()),
        ({"live/a/v": "../../current/v", "current": "texts"}, {"current"}, {"texts/v"}),
        ({"modules/m/x.auto.tfvars": "../../common.auto.tfvars"}, {"common.auto.tfvars"}, {"modules/m"}),
        ({"live/a/x.tfvars": "../../sub/x.tfvars"}, {"sub"}, set()),
        # A folder of modules counts where a source leads to it, and another project's links are its own.
        ({"live/a/modules": "../../modules"}, set(), set()),
        ({"live/a/b/x.tfvars": "../../../common.auto.tfvars"}, set(), set()),
        ({"live/a/x": "/etc/passwd", "live/a/y": "../../../y", "live/a/z": "z", "live/a/w": "none"}, {"live/a/none"}, set()),  # noqa: E501
    ],
)  # fmt: skip
def test_what_links_in_a_project_stand_for_is_watched(links, files, folders):
    there = ("live/a/b/main.tf", "modules/m/x.tf", "texts/x.tpl", "texts/v/x.tpl", "v1/x.tf", "common.auto.tfvars")
    calls = CALL("../../modules/m") if "modules/m" in folders else ""
    project = found(dict.fromkeys(there, "") | {"live/a/main.tf": calls}, links=links, submodules=["sub"])["live/a"]
    assert (set(project.files), set(project.folders)) == (files, folders)


def test_a_link_on_the_way_to_a_module_or_an_included_file_is_watched():
    links = {"current": "v1", "units/root.hcl": "../texts/root.hcl"}
    files = {"live/a/main.tf": CALL("../../current/net"), "v1/net/x.tf": "", "texts/root.hcl": ""}
    files["units/a/terragrunt.hcl"] = 'include "root" { path = find_in_parent_folders("root.hcl") }'
    projects = found(files, ROOTS, UNITS, links=links)
    assert "current" in projects["live/a"].files
    assert {"units/root.hcl", "texts/root.hcl"} <= set(projects["units/a"].files)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/x", "loop.tf"])
def test_links_out_of_the_repository_are_not_followed(target):
    project = found({"live/a/main.tf": ""}, links={"live/a/loop.tf": target})["live/a"]
    assert project.remarks == ("live/a/loop.tf: the link leads out of the repository",)


@pytest.mark.parametrize("source", ["../../parts", "../../parts/vpc", "../../parts//vpc"])
def test_what_is_in_a_submodule_is_watched_by_the_path_of_the_submodule(source):
    files = {"live/a/main.tf": CALL(source)}
    assert "parts" in found(files, submodules=["parts"])["live/a"].files


def test_a_submodule_is_watched_by_its_own_path():
    project = found({"live/a/main.tf": CALL("../../modules/x")}, submodules=["modules/x"])["live/a"]
    assert project.files == ("modules/x",)


@pytest.mark.parametrize(
    "folder", ["live/a\nb", "live/a\x1bb", "live/a\\b", "live/{{ sha }}", "live/\udcff", "live/" + "a" * 1100]
)
def test_folders_that_no_order_can_have_are_left_out(folder):
    made = find_projects(
        [ROOTS], Tree({f"{folder}/main.tf": Entry(), "live/ok/main.tf": Entry()}, {"live/ok/main.tf": b""})
    )
    assert [project.folder for project in made.projects] == ["live/ok"]
    assert [path for path, _ in made.left_out] == [folder]


@pytest.mark.parametrize(
    "folder", ["live/a b", "live/it's", 'live/"x"', "live/$(touch x)", "live/-rf", "live/*", "live/ü"]
)
def test_odd_folders_are_projects(folder):
    assert list(found({f"{folder}/main.tf": ""})) == [folder]


def test_what_is_left_out_of_the_code_is_no_project():
    assert list(found({"live/a/main.tf": "", "live/b/main.tf": "", ".iac-ci-ignore": "live/b\n"})) == ["live/a"]


def test_there_is_a_most_of_projects():
    files = {f"live/{number}/main.tf": "" for number in range(discovery.MAX_PROJECTS)}
    assert len(found(files)) == discovery.MAX_PROJECTS
    with pytest.raises(TooManyProjects, match="finds 501 folders"):
        found(files | {"live/x/main.tf": ""})


def test_there_is_a_most_of_bytes():
    entries = {f"{number}.tf": Entry(EntryKind.FILE, MAX_FILE_BYTES) for number in range(33)}
    with pytest.raises(TooManyProjects, match="bytes of configuration files"):
        files_to_read(entries)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.from_regex(r"(live|m)/[a-c](/[a-c])?/(main\.tf|terragrunt\.hcl|x\.tf\.json)", fullmatch=True),
        st.text(alphabet='module"s= {}\n./abc${}<', max_size=80),
        max_size=8,
    ),
    st.dictionaries(
        st.from_regex(r"(live|m)/[a-d]", fullmatch=True), st.from_regex(r"(\.\./){0,4}[a-d./]{0,6}", fullmatch=True)
    ),
)
def test_any_commit_is_read(files, links):
    rules = [ROOTS, Rule(("**/terragrunt.hcl",), tool=Tool.TERRAGRUNT)]
    links = {path: target for path, target in links.items() if not any(name.startswith(f"{path}/") for name in files)}
    first = find_projects(rules, tree(files, links), ["live/z/main.tf"])
    assert first == find_projects(rules, tree(files, links), ["live/z/main.tf"])
    for project in first.projects:
        assert not any(path.startswith(("/", "..")) for path in (*project.folders, *project.files))


def test_circles_that_were_read_are_left_out():
    read = {"a": ["b"], "b": ["a", "c"], "c": [], "d": ["a"]}
    kept, left_out = without_circles(read, dict.fromkeys(read, ()))
    assert kept == {"a": [], "b": ["c"], "c": [], "d": ["a"]}
    assert left_out == {"a": ["b"], "b": ["a"]}


def test_what_people_write_stays():
    kept, left_out = without_circles({"a": ["b"], "b": []}, {"a": [], "b": ["a"]})
    assert kept == {"a": [], "b": ["a"]}
    assert left_out == {"a": ["b"]}


def test_a_long_chain_needs_no_recursion():
    read = {str(number): [str(number + 1)] for number in range(5000)} | {"5000": ["0"]}
    assert without_circles(read, dict.fromkeys(read, ()))[0] == {node: [] for node in read}
