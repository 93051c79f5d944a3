"""pipelines/deploy goes back to an earlier version only while no open run needs the higher level."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.local_cloud

RUN, ENDED, OLDER, UNPREPARED = (f"20260101T00000{number}-0123456789ab" for number in range(4))


def row(run_id, status, level=None):
    """The row of a run as functions write it; without a level, as those wrote it that knew of none."""
    texts = {
        "run_id": run_id,
        "order_num": "0000",
        "status": status,
        "accepted_at": "2026-01-01T00:00:00Z",
        "deadline": "2026-01-01T01:00:00Z",
    }
    item = {name: {"S": value} for name, value in texts.items()}
    return item | ({"stack_level": {"N": str(level)}} if level else {})


@pytest.fixture(scope="module")
def deployed(operator):
    """A stack that a version of level 2 deployed, with open runs of both levels."""
    aws = operator.aws
    outputs = {"orders_table": "acme-orders", "internal_bucket": "acme-internal", "stack_level": 2}
    aws.client("ssm").put_parameter(Name="/iac-ci/acme/outputs", Value=json.dumps(outputs), Type="String")
    dynamodb, storage = aws.client("dynamodb"), aws.client("s3")
    dynamodb.create_table(
        TableName="acme-orders",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}, {"AttributeName": "order_num", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("run_id", "order_num")],
    )
    for item in (
        row(RUN, "running", 2),
        row(RUN, "queued", 2) | {"order_num": {"S": "0001"}},
        row(ENDED, "succeeded", 2),
        row(OLDER, "running"),
    ):
        dynamodb.put_item(TableName="acme-orders", Item=item)
    storage.create_bucket(Bucket="acme-internal")
    for run_id in (RUN, ENDED, OLDER, UNPREPARED):
        job = {"stack_level": 2, "accepted_at": "2026-01-01T00:00:03Z", "deadline": "2026-01-01T01:00:03Z"}
        storage.put_object(Bucket="acme-internal", Key=f"tmp/jobs/{run_id}/job.json", Body=json.dumps(job).encode())
    yield operator
    aws.client("ssm").delete_parameter(Name="/iac-ci/acme/outputs")


def goes_on(operator) -> str:
    """Let the script plan; give what it said before it turned to Terraform."""
    done = operator.run("deploy", "--plan")
    assert done.returncode != 5
    said, found, _ = done.stderr.partition("── deploy: acme from")
    assert found, done.stderr
    return said


def test_it_refuses_and_lists_the_open_runs_that_need_the_higher_level(deployed):
    done = deployed.run("deploy")
    assert done.returncode == 5, done.stderr
    assert "the stack acme is at level 2, and this version ends runs up to level 1.\n2 runs are open" in done.stderr
    listed = [line.strip() for line in done.stderr.splitlines() if line.startswith("  2026")]
    assert listed == [
        f"{RUN}  running, level 2, since 2026-01-01T00:00:00Z, ends by 2026-01-01T01:00:00Z",
        f"{UNPREPARED}  accepted, level 2, since 2026-01-01T00:00:03Z, ends by 2026-01-01T01:00:03Z",
    ]
    assert "Nothing was changed" in done.stderr
    assert not (deployed.checkout / ".build" / "acme" / "deploy").exists()


def test_it_goes_back_once_they_have_ended(deployed):
    dynamodb = deployed.aws.client("dynamodb")
    for run_id in (RUN, UNPREPARED):
        dynamodb.put_item(TableName="acme-orders", Item=row(run_id, "cancelled", 2))
    said = goes_on(deployed)
    assert "The stack goes back from level 2 to 1: no run is open that needs the higher one." in said


def test_a_version_of_the_same_level_is_deployed_whatever_is_open(deployed):
    outputs = {"orders_table": "acme-orders", "internal_bucket": "acme-internal"}
    deployed.aws.client("ssm").put_parameter(
        Name="/iac-ci/acme/outputs", Value=json.dumps(outputs), Type="String", Overwrite=True
    )
    deployed.aws.client("dynamodb").put_item(TableName="acme-orders", Item=row(RUN, "running", 2))
    assert "level" not in goes_on(deployed)
