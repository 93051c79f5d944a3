"""A local cloud for each test module that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import LocalAws, Speed


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(speed=Speed(wait_scale=0.05, retry_seconds=0.1)) as running:
        yield running


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws(speed=Speed(wait_scale=0.01, retry_seconds=0.1)) as running:
        yield running
