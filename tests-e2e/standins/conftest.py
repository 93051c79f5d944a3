"""A local cloud whose Lambda and CodeBuild are as unkind as those of AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from offline import surroundings

from iac_ci_local.cloud import LocalCloud
from iac_ci_local.functions import sandbox
from iac_ci_local.functions.settings import FunctionSettings
from iac_ci_local.ministack import Speed

NEW_ACCOUNT = 10
"""Concurrent executions of a new account."""


@pytest.fixture(scope="module")
def unkind(request: pytest.FixtureRequest) -> Iterator[LocalCloud]:
    """A cloud for one file: tests of others run a worker in this process, which ends all that the process started."""
    lacks = sandbox.missing()
    surroundings.note(
        request.config, f"Lambda's stand-in: {'without ' + ', '.join(lacks) if lacks else 'whole, as root can make it'}"
    )
    functions = FunctionSettings(sandboxed=("worker",), concurrency=NEW_ACCOUNT)
    with LocalCloud(speed=Speed(wait_scale=0.1, retry_seconds=0.1), functions=functions) as running:
        yield running
