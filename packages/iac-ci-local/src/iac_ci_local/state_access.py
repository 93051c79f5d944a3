"""Creates credentials for the state bucket of a local cloud, for Terraform's S3 backend in example jobs.

On AWS an order reaches a target account by ``assume_role``. A local cloud has only one account, so an IAM user replaces
the role.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iac_ci_local.cloud import LocalCloud

STATE_NAMES: Final = frozenset({"state_bucket", "state_access_key", "state_secret_key"})
"""The placeholders that ``local-secrets.json`` may contain."""


def make_state_access(cloud: LocalCloud) -> dict[str, str]:
    """Create a user that may read, write and lock states; return the value of each placeholder."""
    names = cloud.stack.names
    bucket = names.bucket("state")
    user = names.resource("local-state")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]},
            {
                "Effect": "Allow",
                "Action": ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
                "Resource": [f"arn:aws:s3:::{bucket}/*"],
            },
        ],
    }
    iam = cloud.aws.client("iam")
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="states", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return {
        "state_bucket": bucket,
        "state_access_key": key["AccessKeyId"],
        "state_secret_key": key["SecretAccessKey"],
    }
