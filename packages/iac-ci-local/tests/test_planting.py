"""Example secrets are read from beside the job and planted in a local cloud only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iac_ci_common.errors import InputProblems
from iac_ci_common.locations import parse_location
from iac_ci_local.ministack import LocalAws
from iac_ci_local.planting import SECRETS_FILE, plant, read_secrets


def test_no_file_is_no_secrets(tmp_path: Path) -> None:
    assert read_secrets(tmp_path / "job.json") == {}


def test_the_file_and_the_given_ones_are_read(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text(json.dumps({"ssm:/a/b": "one", "secretsmanager:c": {"key": "two"}}))
    found = read_secrets(tmp_path / "job.json", ["ssm:/a/b=three=four"])
    assert found == {
        parse_location("ssm:/a/b"): "three=four",
        parse_location("secretsmanager:c"): '{"key": "two"}',
    }


def test_every_problem_is_named_and_no_value_shown(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text(json.dumps({"vault:x": "value-one", "secretsmanager:c#key": "value-two"}))
    with pytest.raises(InputProblems) as refused:
        read_secrets(tmp_path / "job.json", ["value-three"])
    assert len(refused.value.problems) == 3
    assert "value-" not in str(refused.value)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / SECRETS_FILE).write_text(text)
    with pytest.raises(InputProblems):
        read_secrets(tmp_path / "job.json")


@pytest.mark.local_cloud
def test_planting_twice_keeps_the_second(aws: LocalAws) -> None:
    parameter, secret = parse_location("ssm:/a/b"), parse_location("secretsmanager:c/d")
    plant(aws, {parameter: "one", secret: "one"})
    plant(aws, {parameter: "two", secret: "two"})
    found = aws.client("ssm").get_parameter(Name="/a/b", WithDecryption=True)["Parameter"]
    assert (found["Value"], found["Type"]) == ("two", "SecureString")
    assert aws.client("secretsmanager").get_secret_value(SecretId="c/d")["SecretString"] == "two"
