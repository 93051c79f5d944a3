"""pipelines/deploy goes back to an earlier version only while no open run needs the higher level."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.local_cloud

ROOT = Path(__file__).resolve().parents[2]

RUN, ENDED, OLDER, UNPREPARED, PAUSED, FORGOTTEN, ABANDONED = (
    f"20260101T00000{number}-0123456789ab" for number in range(7)
)
ACCEPTED, DEADLINE = "2026-01-01T00:00:00Z", "2126-01-01T01:00:00Z"
LONG_AGO = "2026-01-01T01:00:00Z"

FUNCTIONS = json.loads((ROOT / "terraform" / "deploy" / "stack" / "functions.json").read_text("utf-8"))
THIS = int(FUNCTIONS["functions"]["init-job"]["environment"]["IAC_CI_STACK_LEVEL"])
LATER = THIS + 1
"""The level of a version after this one."""


def row(run_id, status, level=None, deadline=DEADLINE):
    """The row of a run as functions write it; without a level, as those wrote it that knew of none."""
    texts = {
        "run_id": run_id,
        "order_num": "0000",
        "status": status,
        "accepted_at": ACCEPTED,
        "deadline": deadline,
    }
    item = {name: {"S": value} for name, value in texts.items()}
    return item | ({"stack_level": {"N": str(level)}} if level else {})


@pytest.fixture(scope="module")
def deployed(operator):
    """A stack that a version of a later level deployed, with open runs of both levels."""
    aws = operator.aws
    outputs = {"orders_table": "acme-orders", "internal_bucket": "acme-internal", "stack_level": LATER}
    aws.client("ssm").put_parameter(Name="/iac-ci/acme/outputs", Value=json.dumps(outputs), Type="String")
    dynamodb, storage = aws.client("dynamodb"), aws.client("s3")
    dynamodb.create_table(
        TableName="acme-orders",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}, {"AttributeName": "order_num", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("run_id", "order_num")],
    )
    for item in (
        row(RUN, "running", LATER),
        row(RUN, "queued", LATER) | {"order_num": {"S": "0001"}},
        row(ENDED, "succeeded", LATER),
        row(OLDER, "running"),
        # A state that only the later version knows, and a row that DynamoDB has not yet deleted.
        row(PAUSED, "paused", LATER),
        row(ABANDONED, "running", LATER, LONG_AGO),
    ):
        dynamodb.put_item(TableName="acme-orders", Item=item)
    storage.create_bucket(Bucket="acme-internal")
    for run_id in (RUN, ENDED, OLDER, UNPREPARED, FORGOTTEN):
        # S3 deletes at midnight: the job of a run that ended may outlive the run's rows.
        deadline = LONG_AGO if run_id == FORGOTTEN else DEADLINE
        job = {"stack_level": LATER, "accepted_at": ACCEPTED, "deadline": deadline}
        storage.put_object(Bucket="acme-internal", Key=f"tmp/jobs/{run_id}/job.json", Body=json.dumps(job).encode())
    storage.put_object(Bucket="acme-internal", Key=f"tmp/jobs/{RUN}/other.json", Body=b"[]")
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
    assert f"the stack acme is at level {LATER}, and this version ends runs up to level {THIS}." in done.stderr
    assert "\n3 runs are open" in done.stderr
    listed = [line.strip() for line in done.stderr.splitlines() if line.startswith("  2026")]
    assert listed == [
        f"{RUN}  running, level {LATER}, since {ACCEPTED}, ends by {DEADLINE}",
        f"{UNPREPARED}  accepted, level {LATER}, since {ACCEPTED}, ends by {DEADLINE}",
        f"{PAUSED}  paused, level {LATER}, since {ACCEPTED}, ends by {DEADLINE}",
    ]
    assert "Nothing was changed" in done.stderr
    assert not (deployed.checkout / ".build" / "acme" / "deploy").exists()


def test_a_teardown_refuses_while_any_run_is_open(deployed):
    done = deployed.run("teardown", "--yes")
    assert done.returncode == 5, done.stderr
    listed = [line.split()[0] for line in done.stderr.splitlines() if line.startswith("  2026")]
    assert sorted(listed) == sorted([RUN, OLDER, UNPREPARED, PAUSED])
    assert "or use --with-open-runs. Nothing was changed." in done.stderr
    # Asked not to look, it goes on to the archive, which is not there.
    done = deployed.run("teardown", "--yes", "--with-open-runs")
    assert done.returncode == 4, done.stderr


def test_it_refuses_where_a_run_cannot_be_read(deployed):
    storage = deployed.aws.client("s3")
    place = {"Bucket": "acme-internal", "Key": f"tmp/jobs/{FORGOTTEN}/job.json"}
    sound = storage.get_object(**place)["Body"].read()
    storage.put_object(**place, Body=b'{"stack_level": "two"}')
    done, removed = deployed.run("deploy"), deployed.run("teardown", "--yes")
    storage.put_object(**place, Body=sound)
    assert (done.returncode, removed.returncode) == (1, 3)
    for said in (done.stderr, removed.stderr):
        assert "cannot be read (ValueError" in said
        assert "Nothing was changed" in said
        assert "Traceback" not in said


@pytest.mark.full
def test_it_goes_back_once_they_have_ended(deployed):
    dynamodb = deployed.aws.client("dynamodb")
    for run_id in (RUN, UNPREPARED, PAUSED):
        dynamodb.put_item(TableName="acme-orders", Item=row(run_id, "cancelled", LATER))
    said = goes_on(deployed)
    assert f"The stack changes from level {LATER} to {THIS}: no open run needs the higher level." in said


@pytest.mark.full
def test_a_version_of_the_same_level_is_deployed_whatever_is_open(deployed):
    outputs = {"orders_table": "acme-orders", "internal_bucket": "acme-internal"}
    deployed.aws.client("ssm").put_parameter(
        Name="/iac-ci/acme/outputs", Value=json.dumps(outputs), Type="String", Overwrite=True
    )
    deployed.aws.client("dynamodb").put_item(TableName="acme-orders", Item=row(RUN, "running", LATER))
    assert "level" not in goes_on(deployed)
