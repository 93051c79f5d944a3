"""Which repositories and registries an order's commands may read: names, keys and variables."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.job import Job
from iac_ci_common.module_repositories import module_keys, repository_host
from iac_ci_common.redaction import Redactor
from iac_ci_common.registries import registry_variable
from iac_ci_common.testing.samples import stored_job

CODE = "https://github.com/acme/infra"


@pytest.mark.parametrize(
    ("repository", "host"),
    [
        (CODE, "github.com"),
        ("https://Git.Example.com:8443/a/b.git", "git.example.com:8443"),
        ("ssh://git@github.com:22/acme/infra", "github.com"),
        ("git@github.com:acme/infra.git", "github.com"),
        ("file:///srv/infra", None),
        (None, None),
    ],
)
def test_names_are_relative_to_the_host_of_the_code(repository, host):
    assert repository_host(repository) == host


def test_each_repository_counts_once_and_keeps_its_letters():
    entries = ["Acme/Modules", "acme/modules.git", "https://GitLab.com/group/sub/name"]
    assert module_keys(entries, CODE) == ("github.com/Acme/Modules", "gitlab.com/group/sub/name")


@pytest.mark.parametrize(
    "entry", ["modules", "../modules", "acme/..", "http://github.com/a/b", "git@github.com:a/b", "a/b c", "-", "a/b\n"]
)
def test_what_names_no_repository_is_refused(entry):
    order = {"cmds": ["true"], "timeout": 60, "git_credentials": [entry]}
    with pytest.raises(ValidationError, match="git_credentials"):
        Job.model_validate({"username": "tests", "orders": [order]})


def test_the_row_of_an_order_has_the_keys_for_the_broker():
    stored = stored_job([{"git_credentials": ["acme/modules"]}], git_repo=CODE, commit_hash="a" * 40)
    (row,) = build_rows(stored, max_parallel=1).orders
    assert row.git_credentials == ("github.com/acme/modules",)


@pytest.mark.parametrize(
    ("host", "variable"),
    [
        ("app.terraform.io", "TF_TOKEN_app_terraform_io"),
        ("my-registry.example.com", "TF_TOKEN_my__registry_example_com"),
        ("xn--caf-dma.fr", "TF_TOKEN_xn____caf__dma_fr"),
    ],
)
def test_a_registrys_token_has_the_variable_of_terraform(host, variable):
    assert registry_variable(host) == variable


@pytest.mark.parametrize(
    "host", ["APP.terraform.io", "https://a.io", "a.io:443", "localhost", "a..io", "-a.io", "a_b.io"]
)
def test_what_is_no_host_of_a_registry_is_refused(host):
    order = {"cmds": ["true"], "timeout": 60, "registries": {host: "ssm:/iac-ci/jobs/a"}}
    with pytest.raises(ValidationError, match="registries"):
        Job.model_validate({"username": "tests", "orders": [order]})


def test_values_that_are_added_later_are_masked_from_then_on():
    redactor = Redactor(["first-planted"])
    before = redactor.feed(b"second-planted first-planted ") + redactor.flush()
    redactor.add(["second-planted"])
    after = redactor.feed(b"second-planted first-planted") + redactor.finish()
    assert (before, after) == (b"second-planted *** ", b"*** ***")
    assert redactor.text("second-planted") == "***"


def test_a_redactor_without_values_masks_what_is_added():
    redactor = Redactor([])
    assert redactor.feed(b"a line\n") == b"a line\n"
    redactor.add(["second-planted"])
    assert redactor.feed(b"second-planted") + redactor.finish() == b"***"
