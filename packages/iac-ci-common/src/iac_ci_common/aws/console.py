"""URLs in the AWS console, for people who have the rights to open them."""

from __future__ import annotations

import os
from urllib.parse import quote

from iac_ci_common import keys


def object_address(region: str, bucket: str, key: str) -> str:
    """Return the URL of an object's page in the console."""
    domain = "amazonaws.cn" if region.startswith("cn-") else "aws.amazon.com"
    return f"https://{region}.console.{domain}/s3/object/{quote(bucket)}?region={quote(region)}&prefix={quote(key)}"


def log_address(bucket: str, run_id: str, order_num: str, attempt: int = 1) -> str | None:
    """Return the URL of the page of the whole log of an order's attempt; None with an endpoint other than AWS."""
    region = os.environ.get("AWS_REGION")
    if not region or "AWS_ENDPOINT_URL" in os.environ:
        return None
    return object_address(region, bucket, keys.log(run_id, order_num, attempt))
