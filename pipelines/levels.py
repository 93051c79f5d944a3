"""Checks before a deployment that this version can end the open runs.

A version gets a higher ``stack_level`` (``IAC_CI_STACK_LEVEL`` of init-job in terraform/deploy/stack/functions.json) if
the previous version cannot end its open runs. Accepted jobs and rows of runs have the level of their acceptance. The
stack's outputs and the function that accepts jobs have the deployed level: a deployment that stopped half way may have
changed one and not the other, and the higher counts. If it is higher than this version's, the check scans the orders
table (one read unit per 4 KB) and lists the accepted jobs.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_LEVEL: Final = 1
"""Level of jobs and rows without a level."""

REFUSED: Final = 5
"""Exit code if this version may be unable to end open runs."""

FUNCTIONS: Final = Path(__file__).resolve().parents[1] / "terraform" / "deploy" / "stack" / "functions.json"
_LEVEL: Final = "IAC_CI_STACK_LEVEL"
_ENDED: Final = ("succeeded", "failed", "timed_out", "cancelled")
"""States of a run that has ended; a state that only a later version knows is none of them."""

_KEPT: Final = timedelta(days=1)
"""How long a run's rows outlive its deadline; afterwards the rows are gone and only the accepted job may be left."""

_JOBS: Final = "tmp/jobs/"
_JOB: Final = "/job.json"
_MAX_LISTED: Final = 100


class OpenRun(NamedTuple):
    """A run that has not ended."""

    run_id: str
    level: int
    state: str
    accepted_at: str
    deadline: str


def own_level() -> int:
    """Return the level of this checkout's version."""
    functions = json.loads(FUNCTIONS.read_text("utf-8"))["functions"]
    return int(functions["init-job"]["environment"][_LEVEL])


def deployed(stack: str) -> dict[str, Any] | None:
    """Return the outputs of the deployed stack; None if there is no stack."""
    try:
        answer = boto3.client("ssm").get_parameter(Name=f"/iac-ci/{stack}/outputs")
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ParameterNotFound":
            return None
        raise
    found: dict[str, Any] = json.loads(answer["Parameter"]["Value"])
    return found


def deployed_level(stack: str, outputs: dict[str, Any]) -> int:
    """Return the highest level at which the stack may have accepted jobs."""
    functions = boto3.client("lambda")
    try:
        answer = functions.get_function_configuration(FunctionName=f"{stack}-init-job")
    except functions.exceptions.ResourceNotFoundException:
        answer = {}
    of_function = answer.get("Environment", {}).get("Variables", {}).get(_LEVEL, FIRST_LEVEL)
    return max(int(outputs.get("stack_level", FIRST_LEVEL)), int(of_function))


def open_runs(outputs: dict[str, Any], above: int) -> list[OpenRun]:
    """Return the open runs with a level above ``above``, oldest first.

    Runs whose rows have expired are left out, because no version can end them.
    """
    prepared, found = _prepared(outputs["orders_table"])
    found += _unprepared(outputs["internal_bucket"], prepared)
    now = datetime.now(UTC)
    return sorted(run for run in found if run.level > above and datetime.fromisoformat(run.deadline) + _KEPT > now)


def _prepared(table: str) -> tuple[set[str], list[OpenRun]]:
    """Return the ids of all runs with rows, and the open runs."""
    pages = (
        boto3.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=table,
            FilterExpression="order_num = :run",
            ProjectionExpression="run_id, stack_level, #status, accepted_at, deadline",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":run": {"S": "0000"}},
            ConsistentRead=True,
        )
    )
    known: set[str] = set()
    found: list[OpenRun] = []
    for row in (row for page in pages for row in page["Items"]):
        run_id, state = row["run_id"]["S"], row["status"]["S"]
        known.add(run_id)
        if state not in _ENDED:
            level = int(row["stack_level"]["N"]) if "stack_level" in row else FIRST_LEVEL
            found.append(OpenRun(run_id, level, state, row["accepted_at"]["S"], row["deadline"]["S"]))
    return known, found


def _unprepared(bucket: str, prepared: set[str]) -> Iterator[OpenRun]:
    """Return the accepted jobs without rows."""
    storage = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    for page in storage.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=_JOBS):
        for key in (entry["Key"] for entry in page.get("Contents", [])):
            run_id = key.removeprefix(_JOBS).removesuffix(_JOB)
            if not key.endswith(_JOB) or run_id in prepared:
                continue
            try:
                job = json.loads(storage.get_object(Bucket=bucket, Key=key)["Body"].read())
            except storage.exceptions.NoSuchKey:
                # It expired since it was listed.
                continue
            level = int(job.get("stack_level", FIRST_LEVEL))
            yield OpenRun(run_id, level, "accepted", job["accepted_at"], job["deadline"])


def check(stack: str) -> None:
    """Return if this version may be deployed; otherwise print the runs and exit with ``REFUSED``."""
    outputs = deployed(stack)
    own = own_level()
    if outputs is None:
        return
    level = deployed_level(stack, outputs)
    if level <= own:
        return
    found = open_runs(outputs, own)
    if not found:
        sys.stdout.write(f"The stack changes from level {level} to {own}: no open run needs the higher level.\n")
        return
    listed = [
        f"  {run.run_id}  {run.state}, level {run.level}, since {run.accepted_at}, ends by {run.deadline}"
        for run in found[:_MAX_LISTED]
    ]
    more = [f"  and {len(found) - _MAX_LISTED} more"] if len(found) > _MAX_LISTED else []
    runs = "1 run is" if len(found) == 1 else f"{len(found)} runs are"
    lines = [
        f"deploy: the stack {stack} is at level {level}, and this version ends runs up to level {own}.",
        f"{runs} open that may never end under it:",
        *listed,
        *more,
        "Wait until they have ended, cancel them with `iac-ci cancel`, or deploy a version of the higher level.",
        "Nothing was changed; it is safe to run this again.",
    ]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.exit(REFUSED)


def main() -> None:
    """Check the stack in the argument; print an error of AWS or in stored data as one line."""
    try:
        check(sys.argv[1])
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(f"deploy: the open runs could not be read: {error}. Nothing was changed.\n")
        sys.exit(1)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        sys.stderr.write(
            f"deploy: the stack's outputs or one of its runs cannot be read ({type(error).__name__}: {error!s:.200}), "
            "so it is not known which runs are open. Nothing was changed; deploy the version that the stack has, and "
            "repair or remove what it cannot read.\n"
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
