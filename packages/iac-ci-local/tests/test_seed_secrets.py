"""Example secrets are read from beside the job and planted in a local cloud only."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from iac_ci_common.errors import InputProblems
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.seed_secrets import SECRETS_FILE, read_secrets, seed
from iac_ci_local.state_access import STATE_NAMES


def test_no_file_is_no_secrets(tmp_path: Path) -> None:
    assert read_secrets(tmp_path) == []


def test_the_file_and_the_given_ones_are_read(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text(json.dumps({"ssm:/a/b": "one", "secretsmanager:c": {"key": "two"}}))
    found = read_secrets(tmp_path, ["ssm:/a/b=three=${state_bucket}"])
    assert {str(secret.location): secret.text({}) for secret in found} == {
        "ssm:/a/b": "three=${state_bucket}",
        "secretsmanager:c": '{"key": "two"}',
    }


def test_every_problem_is_named_and_no_value_shown(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text(
        json.dumps({"vault:x": "value-one", "secretsmanager:c#key": "value-two", "ssm:/x": "value-${home}"})
    )
    with pytest.raises(InputProblems) as refused:
        read_secrets(tmp_path, ["value-three"])
    assert len(refused.value.problems) == 4
    assert "home" in str(refused.value)
    assert "value-" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON: the text ends too early at line 1, column 2"),
        ("[]", "is not a JSON object"),
        ('{"ssm:/a": "b",}', "is not JSON: a comma has nothing after it at line 1, column 15"),
        ('{"ssm:/a": "b", "ssm:/a": "c"}', "contains the field 'ssm:/a' more than once in one object"),
        ('{"vault:x": "value"}', "'vault:x' is not a secret's location"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_words_of_ours(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / SECRETS_FILE).write_text(text)
    with pytest.raises(InputProblems) as refused:
        read_secrets(tmp_path)
    (found,) = refused.value.problems
    assert found.what.startswith(problem)


@pytest.mark.local_cloud
def test_planting_twice_keeps_the_second(cloud: LocalCloud, tmp_path: Path) -> None:
    seed(cloud, read_secrets(tmp_path, ["ssm:/a/b=one", "secretsmanager:c/d=one"]))
    seed(cloud, read_secrets(tmp_path, ["ssm:/a/b=two", "secretsmanager:c/d=two"]))
    found = cloud.aws.client("ssm").get_parameter(Name="/a/b", WithDecryption=True)["Parameter"]
    assert (found["Value"], found["Type"]) == ("two", "SecureString")
    assert cloud.aws.client("secretsmanager").get_secret_value(SecretId="c/d")["SecretString"] == "two"


@pytest.mark.local_cloud
def test_a_job_may_be_given_the_key_to_the_state_bucket_and_to_nothing_else(cloud: LocalCloud, tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text(
        json.dumps({"secretsmanager:state": {name: f"${{{name}}}" for name in STATE_NAMES}})
    )
    seed(cloud, read_secrets(tmp_path))
    state = json.loads(cloud.aws.client("secretsmanager").get_secret_value(SecretId="state")["SecretString"])
    s3 = boto3.client(
        "s3",
        endpoint_url=cloud.aws.endpoint,
        region_name="us-east-1",
        aws_access_key_id=state["state_access_key"],
        aws_secret_access_key=state["state_secret_key"],
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.put_object(Bucket=state["state_bucket"], Key="one/terraform.tfstate", Body=b"{}")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket=cloud.stack.names.bucket("internal"))
