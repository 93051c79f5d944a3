"""URLs in the AWS console, for people who have the rights to open them."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote

from iac_ci_common import keys

_DOMAINS: Final = {"cn-": "amazonaws.cn", "us-gov-": "amazonaws-us-gov.com", "eusc-": "amazonaws-eusc.eu"}
"""The console's domains in partitions other than ``aws``, by how the names of their regions begin."""


def object_address(region: str, bucket: str, key: str) -> str:
    """Return the URL of an object's page in the console."""
    domain = next((name for prefix, name in _DOMAINS.items() if region.startswith(prefix)), "aws.amazon.com")
    return f"https://{region}.console.{domain}/s3/object/{quote(bucket)}?region={quote(region)}&prefix={quote(key)}"


def log_address(bucket: str, run_id: str, order_num: str, attempt: int = 1) -> str | None:
    """Return the URL of the page of the whole log of an order's attempt; None with an endpoint other than AWS."""
    region = os.environ.get("AWS_REGION")
    if not region or "AWS_ENDPOINT_URL" in os.environ:
        return None
    return object_address(region, bucket, keys.log(run_id, order_num, attempt))
