from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iac_ci_cli.connection import StackClient, aws_connection, local_connection
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed

HERE = Path(__file__).parent
STACK_FILES = HERE.parents[1] / "terraform" / "deploy" / "stack"
THE_SCRIPT_TOO = "tests-e2e/pipelines/test_smoke_script.py::test_a_stack_that_works_passes"
"""The test that runs every test of this folder, by the script that people use."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the tests of this folder once, in the run that has the test of their script too."""
    if THE_SCRIPT_TOO not in [item.nodeid for item in items]:
        return
    again = [item for item in items if item.path.is_relative_to(HERE)]
    config.hook.pytest_deselected(items=again)
    items[:] = [item for item in items if not item.path.is_relative_to(HERE)]


@dataclass
class Deployed:
    """The stack that is looked at."""

    name: str
    connection: StackClient
    on_aws: bool

    def client(self, service: str) -> Any:
        return self.connection.client(service)

    def function(self, short: str) -> str:
        return f"{self.name}-{short}"

    def invoke(self, short: str, event: object) -> dict[str, Any]:
        """Call a function and wait for its answer."""
        answer = self.client("lambda").invoke(FunctionName=self.function(short), Payload=json.dumps(event).encode())
        return {"failed": "FunctionError" in answer, "answer": json.loads(answer["Payload"].read() or b"null")}


def stack_file(name: str) -> dict[str, Any]:
    """Read one of the files that say what is deployed."""
    found: dict[str, Any] = json.loads((STACK_FILES / name).read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def stack(deployed_stack: str | None) -> Iterator[Deployed]:
    if deployed_stack is not None:
        # A stack can be reached by its name behind another endpoint too; there it has no image.
        on_aws = "AWS_ENDPOINT_URL" not in os.environ
        yield Deployed(deployed_stack, aws_connection(deployed_stack), on_aws=on_aws)
        return
    with LocalCloud(speed=Speed(wait_scale=0.1, retry_seconds=0.1)) as cloud:
        yield Deployed(cloud.stack_name, local_connection(cloud.state()), on_aws=False)


@pytest.fixture
def only_on_aws(stack: Deployed) -> None:
    if not stack.on_aws:
        pytest.skip("the local cloud runs the functions without an image and without an image's repository")
