"""The level of a stack is that of the jobs that it accepts, also after a deployment that stopped half way."""

from __future__ import annotations

import sys
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "pipelines"))
import levels  # noqa: E402


@pytest.mark.parametrize(
    ("outputs", "function", "level"),
    [
        ({"stack_level": 7}, {"IAC_CI_STACK_LEVEL": "7"}, 7),
        # A deployment that had changed the function, and not the outputs yet; and the other way round.
        ({"stack_level": 7}, {"IAC_CI_STACK_LEVEL": "8"}, 8),
        ({"stack_level": 8}, {"IAC_CI_STACK_LEVEL": "7"}, 8),
        ({}, {"IAC_CI_STACK_LEVEL": "2"}, 2),
        # Versions before there were levels, and a function that is gone.
        ({}, {}, 1),
        ({"stack_level": 7}, None, 7),
    ],
)
def test_the_higher_level_of_outputs_and_function_counts(monkeypatch, outputs, function, level):
    client = boto3.client("lambda", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="s")
    monkeypatch.setattr(levels.boto3, "client", lambda _: client)
    with Stubber(client) as stub:
        if function is None:
            stub.add_client_error("get_function_configuration", "ResourceNotFoundException")
        else:
            answer = {"Environment": {"Variables": function}} if function else {}
            stub.add_response("get_function_configuration", answer, {"FunctionName": "acme-init-job"})
        assert levels.deployed_level("acme", outputs) == level
