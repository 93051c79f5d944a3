"""The webhook endpoint is as its OpenAPI description says, and the committed description is the endpoint's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from iac_ci_init import openapi

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.timeout(1200)
def test_every_drawn_request_is_answered_as_described():
    """In a process of its own, because every process of pytest-xdist would draw the requests."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests-e2e/webhook_requests.py"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "3 passed" in done.stdout


def test_the_committed_description_is_the_endpoints():
    assert (ROOT / "docs" / "schemas" / "openapi.json").read_text("utf-8") == openapi.text()
