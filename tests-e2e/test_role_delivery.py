"""Commands get their role's credentials from the endpoint, on both targets: the SDK and Terraform's S3 backend."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from standins.test_orders import run

from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed
from iac_ci_local.terraform_tool import terraform_on_path

pytestmark = pytest.mark.local_cloud

BUCKET = "states-of-the-target"
TERRAFORM = f"""terraform {{
  backend "s3" {{
    bucket = "{BUCKET}"
    key = "$IAC_CI_ORDER_NAME.tfstate"
    region = "us-east-1"
    use_path_style = true
    skip_credentials_validation = true
    skip_requesting_account_id = true
    skip_region_validation = true
  }}
}}
output "written" {{ value = "by terraform" }}
"""
IDENTITY = (
    f"{sys.executable} -c 'import boto3; found = boto3.Session().get_credentials(); "
    'print("method", found.method); print(boto3.client("sts").get_caller_identity()["Arn"])\''
)


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(speed=Speed(wait_scale=0.5, retry_seconds=0.1)) as running:
        yield running


@pytest.fixture(scope="module")
def role(cloud: LocalCloud) -> str:
    """Return a role that only reads and writes the bucket of states, and that the broker may assume."""
    iam = cloud.aws.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": cloud.stack.names.role_arn("broker")}, "Action": "sts:AssumeRole"},
    ]}  # fmt: skip
    made = iam.create_role(RoleName="target", AssumeRolePolicyDocument=json.dumps(trust))
    allowed = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]},
        {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"},
    ]}  # fmt: skip
    iam.put_role_policy(RoleName="target", PolicyName="states", PolicyDocument=json.dumps(allowed))
    cloud.aws.client("s3").create_bucket(Bucket=BUCKET)
    arn: str = made["Role"]["Arn"]
    # As the deploy stage's target_role_arns does.
    assume = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn}]}
    broker = cloud.stack.names.role_arn("broker").rpartition("/")[2]
    iam.put_role_policy(RoleName=broker, PolicyName="target", PolicyDocument=json.dumps(assume))
    return arn


@pytest.mark.skipif(not terraform_on_path(), reason="needs the program Terraform")
@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_the_sdk_and_terraform_read_the_endpoint(cloud: LocalCloud, role: str, target: str) -> None:
    order = {
        "order_name": target,
        "execution_target": target,
        "assume_role": role,
        "cmds": [
            "env | grep -E '^AWS_(ACCESS|SECRET|SESSION)' && exit 1; true",
            # The user of a build's commands may not reach this checkout's Python.
            *([IDENTITY] if target == "lambda" else []),
            f"cat > main.tf <<END\n{TERRAFORM}END",
            "terraform init -no-color && terraform apply -auto-approve -no-color",
        ],
    }
    ((status, log),) = run(cloud, order).values()
    assert status is OrderState.SUCCEEDED, log
    if target == "lambda":
        assert "method container-role" in log
        assert ":assumed-role/target/" in log
    states = cloud.aws.client("s3").get_object(Bucket=BUCKET, Key=f"{target}.tfstate")["Body"].read()
    assert b"by terraform" in states
    print(f"{target}: {'the SDK and ' * (target == 'lambda')}Terraform's S3 backend read the role's credentials")


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_credentials_are_variables_only_where_the_order_says_so(cloud: LocalCloud, role: str, target: str) -> None:
    show = 'echo "with ${AWS_CONTAINER_CREDENTIALS_FULL_URI-}nothing"; [ -n "$AWS_SESSION_TOKEN" ]'
    order = {"order_name": "old", "execution_target": target, "assume_role": role, "cmds": [show]}
    ((status, log),) = run(cloud, {**order, "credentials": "environment"}).values()
    assert (status, "with nothing" in log) == (OrderState.SUCCEEDED, True)
