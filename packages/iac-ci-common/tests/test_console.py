from __future__ import annotations

import pytest

from iac_ci_common.aws.console import log_address, object_address
from iac_ci_common.testing.samples import RUN_ID


def test_a_log_is_found_in_the_console_of_its_region(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert log_address("logs", RUN_ID, "0001") == (
        "https://eu-central-1.console.aws.amazon.com/s3/object/logs?region=eu-central-1"
        f"&prefix=tmp/logs/{RUN_ID}/0001.log"
    )


def test_there_is_no_console_elsewhere(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert log_address("logs", RUN_ID, "0001") is None


@pytest.mark.parametrize(
    ("region", "domain"),
    [
        ("eu-central-1", "aws.amazon.com"),
        ("us-west-2", "aws.amazon.com"),
        ("us-gov-west-1", "amazonaws-us-gov.com"),
        ("eusc-de-east-1", "amazonaws-eusc.eu"),
    ],
)
def test_each_partition_has_a_console_of_its_own(region, domain):
    assert object_address(region, "logs", "a").startswith(f"https://{region}.console.{domain}/s3/object/logs?")
