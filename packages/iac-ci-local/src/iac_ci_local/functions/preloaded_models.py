"""Reads what clients of AWS services are made of, so that forks of this process find it in memory.

Only the fork server imports this module; what it reads depends on no account, no credentials and no region.
"""

from __future__ import annotations

from typing import Final

import botocore.session

from iac_ci_local import service_models

SERVICES: Final = (
    "codebuild",
    "dynamodb",
    "events",
    "kms",
    "lambda",
    "s3",
    "secretsmanager",
    "ssm",
    "stepfunctions",
    "sts",
)
"""The services that functions call."""

service_models.share()
_session: Final = botocore.session.get_session()
for _service in SERVICES:
    _session.create_client(_service, region_name="us-east-1")
