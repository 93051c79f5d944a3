"""Which of the rights that a deployment needs the caller does not have, by IAM's simulation."""

from __future__ import annotations

from typing import Any, Final

import boto3
from botocore.exceptions import ClientError

NEEDED: Final = {
    "s3:CreateBucket": "arn:{partition}:s3:::{stack}-internal-{account}-{region}",
    "s3:PutObject": "arn:{partition}:s3:::{stack}-state-{account}-{region}/deploy/terraform.tfstate",
    "dynamodb:CreateTable": "arn:{partition}:dynamodb:{region}:{account}:table/{stack}-orders",
    "lambda:CreateFunction": "arn:{partition}:lambda:{region}:{account}:function:{stack}-worker",
    "lambda:UpdateFunctionCode": "arn:{partition}:lambda:{region}:{account}:function:{stack}-worker",
    "states:CreateStateMachine": "arn:{partition}:states:{region}:{account}:stateMachine:{stack}-watchdog",
    "codebuild:CreateProject": "arn:{partition}:codebuild:{region}:{account}:project/{stack}-worker",
    "sqs:CreateQueue": "arn:{partition}:sqs:{region}:{account}:{stack}-dead-letters",
    "sns:CreateTopic": "arn:{partition}:sns:{region}:{account}:{stack}-alarms",
    "events:PutRule": "arn:{partition}:events:{region}:{account}:rule/{stack}-tick",
    "events:CreateEventBus": "arn:{partition}:events:{region}:{account}:event-bus/{stack}-runs",
    "cloudwatch:PutMetricAlarm": "arn:{partition}:cloudwatch:{region}:{account}:alarm:{stack}-stuck-runs",
    "logs:CreateLogGroup": "arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{stack}-worker",
    "ssm:PutParameter": "arn:{partition}:ssm:{region}:{account}:parameter/iac-ci/{stack}/outputs",
    "ecr:CreateRepository": "arn:{partition}:ecr:{region}:{account}:repository/{stack}",
    "ecr:PutImage": "arn:{partition}:ecr:{region}:{account}:repository/{stack}",
    "ecr:GetAuthorizationToken": "*",
    "kms:CreateKey": "*",
    "apigateway:POST": "arn:{partition}:apigateway:{region}::/restapis",
    "iam:CreateRole": "arn:{partition}:iam::{account}:role/{stack}-worker",
    "iam:PutRolePolicy": "arn:{partition}:iam::{account}:role/{stack}-worker",
    "iam:PassRole": "arn:{partition}:iam::{account}:role/{stack}-worker",
    "iam:CreatePolicy": "arn:{partition}:iam::{account}:policy/{stack}-target-roles-01",
}
"""One call for each kind of resource, and the resource that it is about."""


def needed(stack: str, region: str, account: str, partition: str) -> dict[str, str]:
    """Return the resource of each action for one stack."""
    names = {"stack": stack, "region": region, "account": account, "partition": partition}
    return {action: resource.format(**names) for action, resource in NEEDED.items()}


def missing_rights(stack: str, region: str, *, boundary: str | None = None, key: str | None = None) -> tuple[str, ...]:
    """Return the actions that IAM's simulation refuses the caller, sorted; none for the account's root.

    ``boundary`` is the permissions boundary of the stack's roles: a caller may be allowed to create roles with that one
    only. With a ``key`` of the operator's, none is created. The simulation knows the caller's own policies and
    boundary, and the organisation's (AWS IAM User Guide, "Testing IAM policies"). Raises boto3's errors, also where the
    caller may not simulate.
    """
    identity = boto3.client("sts", region_name=region).get_caller_identity()
    arn, account = identity["Arn"], identity["Account"]
    if arn.endswith(":root"):
        return ()
    iam = boto3.client("iam", region_name=region)
    source = _policy_source(iam, arn)
    refused = []
    for action, resource in needed(stack, region, account, arn.split(":")[1]).items():
        if key is not None and action == "kms:CreateKey":
            continue
        answer = iam.simulate_principal_policy(
            PolicySourceArn=source,
            ActionNames=[action],
            ResourceArns=[resource],
            ContextEntries=_context(action, region, boundary),
        )
        if any(result["EvalDecision"] != "allowed" for result in answer["EvaluationResults"]):
            refused.append(action)
    return tuple(sorted(refused))


def _policy_source(iam: Any, arn: str) -> str:
    """Return the ARN of the user or role whose policies count; a session's ARN lacks its role's path."""
    if ":assumed-role/" not in arn:
        return arn
    name = arn.split("/")[1]
    try:
        found: str = iam.get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as error:
        # The shipped policy reads the roles of stacks only. Most roles have no path.
        if error.response.get("Error", {}).get("Code") != "AccessDenied":
            raise
        return f"arn:{arn.split(':')[1]}:iam::{arn.split(':')[4]}:role/{name}"
    return found


def _context(action: str, region: str, boundary: str | None) -> list[dict[str, Any]]:
    """Return what conditions of the caller's policies may ask about the call."""
    values = {}
    if not action.startswith("iam:"):
        values["aws:RequestedRegion"] = region
    if action == "iam:PassRole":
        values["iam:PassedToService"] = "lambda.amazonaws.com"
    if action in {"iam:CreateRole", "iam:PutRolePolicy"} and boundary is not None:
        values["iam:PermissionsBoundary"] = boundary
    return [
        {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for name, value in values.items()
    ]
