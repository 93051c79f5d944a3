"""Addresses in the AWS console, for people: who opens one needs the rights to see what is there."""

from __future__ import annotations

import os
from urllib.parse import quote

from iac_ci_common import keys


def object_address(region: str, bucket: str, key: str) -> str:
    """Return the console's page of an object."""
    domain = "amazonaws.cn" if region.startswith("cn-") else "aws.amazon.com"
    return f"https://{region}.console.{domain}/s3/object/{quote(bucket)}?region={quote(region)}&prefix={quote(key)}"


def log_address(bucket: str, run_id: str, order_num: str) -> str | None:
    """Return the console's page of an order's whole log; None where another endpoint stands for AWS."""
    region = os.environ.get("AWS_REGION")
    if not region or "AWS_ENDPOINT_URL" in os.environ:
        return None
    return object_address(region, bucket, keys.log(run_id, order_num))
