from __future__ import annotations

from iac_ci_common.aws.console import log_address
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
