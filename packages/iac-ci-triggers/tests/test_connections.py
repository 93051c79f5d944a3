from __future__ import annotations

import base64
import gzip
import json

import pytest

from iac_ci_common.errors import PortFailed
from iac_ci_triggers.connections import read_connections, repository_key

ACME = {
    "repositories": ["https://github.com/Acme/Infra", "https://github.com/acme/network.git"],
    "webhook_secrets": ["ssm:/iac-ci/iac-ci/webhook-secret-acme"],
    "token_location": "ssm:/iac-ci/jobs/tokens/acme",
}


def read(*entries):
    return read_connections(json.dumps(entries))


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://github.com/acme/infra", True),
        ("https://github.com/ACME/INFRA.git", True),
        ("git@github.com:acme/infra.git", True),
        ("https://github.com/acme/network", True),
        ("https://github.com/acme/infra-other", False),
        ("https://github.com/acme/infra/", True),
        ("https://github.com/acme", False),
        ("https://github.com.evil.example/acme/infra", False),
        ("https://github.com@evil.example/acme/infra", False),
        ("https://evil.example/github.com/acme/infra", False),
        ("https://github.com/acme/../acme/infra", False),
        ("https://github.com/acme/infra?x=1", False),
        ("https://github.com/acme/infra\n", False),
        ("http://github.com/acme/infra", False),
        (None, False),
    ],
)
def test_only_the_listed_repository_is_found(address, found):
    assert (read(ACME).find(address) is not None) is found


def test_the_kelvin_sign_is_no_k():
    connections = read(ACME | {"repositories": ["https://github.com/acme/kit"]})
    assert connections.find("https://github.com/acme/\N{KELVIN SIGN}it") is None
    assert repository_key("https://github.com/acme/\N{KELVIN SIGN}it") is None


def test_no_repository_stands_in_two_connections():
    with pytest.raises(PortFailed, match=r"github.com/acme/infra twice"):
        read(ACME, ACME | {"repositories": ["https://github.com/acme/INFRA"]})


@pytest.mark.parametrize(
    "broken",
    [
        {"repositories": []},
        {"repositories": ["acme/infra"]},
        {"repositories": ["file:///etc"]},
        {"webhook_secrets": []},
        {"webhook_secrets": ["hunter2"]},
        {"token_location": "hunter2"},
        {"extra": 1},
        {"branches": ["release**"]},
        {"branches": ["!main"]},
        {"branches": [""]},
        {"branches": ["main", "refs/heads/release"]},
        {"branches": ["main "]},
        {"schedule_branch": "refs/heads/main"},
        {"schedule_branch": "release/*"},
        {"modules_token_location": "planted"},
        {"trusted_accounts": [49699333]},
        {"trusted_accounts": [""]},
    ],
)
def test_a_broken_list_says_where_and_repeats_no_secret(broken):
    with pytest.raises(PortFailed, match="not valid") as refused:
        read(ACME | broken)
    assert "hunter2" not in str(refused.value)
    assert "[0]" in str(refused.value)


def test_nothing_connected_is_an_empty_list():
    assert read_connections("[]").find("https://github.com/acme/infra") is None


def test_ids_of_trusted_accounts_are_those_of_one_host():
    elsewhere = [*ACME["repositories"], "https://gitlab.com/acme/infra"]
    with pytest.raises(PortFailed, match="one host"):
        read(ACME | {"repositories": elsewhere, "trusted_accounts": ["5"]})
    assert read(ACME | {"trusted_accounts": ["5"]}).find("https://github.com/acme/infra").trusted_accounts == ("5",)


def compressed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def test_requirements_as_the_deploy_stage_writes_them():
    entry = {
        "repositories": ["https://github.com/acme/infra"],
        "webhook_secrets": ["ssm:/x/webhook-secret-a"],
        "token_location": "ssm:/iac-ci/jobs/tokens/a",
        "require": {
            "approved": {"count": 1, "people": [], "teams": ["acme/platform"], "code_owners": False},
            "mergeable": True, "undiverged": False, "checks": [], "not_draft": False, "from": None,
        },
    }  # fmt: skip
    required = read_connections(json.dumps([entry])).find("https://github.com/acme/infra").require
    assert (required.approved.teams, required.mergeable, required.from_) == (["acme/platform"], True, None)
    nothing = {
        "approved": None,
        "mergeable": False,
        "undiverged": False,
        "checks": [],
        "not_draft": False,
        "from": None,
    }
    text = json.dumps([entry | {"require": nothing}])
    assert read_connections(text).find("https://github.com/acme/infra").require.is_empty
    wrong = json.dumps([entry | {"require": {"checks": ["iac-ci/apply"]}}])
    with pytest.raises(PortFailed, match="is a status of the engine"):
        read_connections(wrong)


def test_a_list_that_is_too_long_for_a_parameter_is_read_compressed():
    entry = {"webhook_secrets": ["ssm:/x/webhook-secret-a"], "token_location": "ssm:/iac-ci/jobs/tokens/a"}
    names = [f"https://github.com/acme/infra-{number}" for number in range(500)]
    stored = compressed(json.dumps([{**entry, "repositories": [name]} for name in names]))
    assert len(stored) < 8192
    found = read_connections(stored)
    assert all(found.find(name) is not None for name in names)
    assert found.find("https://github.com/acme/infra-500") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not base64!", "neither JSON nor compressed"),
        ("AAAA", "neither JSON nor compressed"),
        (compressed("[" + " " * 5_000_000 + "]"), "more than 4194304 bytes"),
        (compressed("[]")[:-8], "incomplete"),
        (compressed("[1]"), "not valid"),
    ],
)
def test_a_compressed_list_that_is_damaged_or_huge_is_refused(text, problem):
    with pytest.raises(PortFailed, match=problem):
        read_connections(text)
