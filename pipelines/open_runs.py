"""Looks for open runs before a teardown, and for what is left after it."""

from __future__ import annotations

import sys
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from levels import deployed, open_runs

OPEN: Final = 5
"""Exit code if runs are open."""

_ALL_LEVELS: Final = 0
_MAX_LISTED: Final = 100


def check(stack: str) -> None:
    """Print the open runs of a stack and exit with ``OPEN``; return if there are none, or no stack."""
    outputs = deployed(stack)
    found = open_runs(outputs, _ALL_LEVELS) if outputs is not None else []
    if not found:
        return
    for run in found[:_MAX_LISTED]:
        sys.stderr.write(f"  {run.run_id}  {run.state}, since {run.accepted_at}, ends by {run.deadline}\n")
    if len(found) > _MAX_LISTED:
        sys.stderr.write(f"  and {len(found) - _MAX_LISTED} more\n")
    sys.exit(OPEN)


def left(stack: str) -> None:
    """Print what still has the stack's tag, a thousand in a call at most."""
    pages = (
        boto3.client("resourcegroupstaggingapi")
        .get_paginator("get_resources")
        .paginate(TagFilters=[{"Key": "iac-ci:stack", "Values": [stack]}])
    )
    for arn in sorted(found["ResourceARN"] for page in pages for found in page["ResourceTagMappingList"]):
        sys.stderr.write(f"  {arn}\n")


def main() -> None:
    """Run the command in the arguments; print an error of AWS or in stored data as one line."""
    commands = {"check": check, "left": left}
    try:
        commands[sys.argv[1]](sys.argv[2])
    except (ClientError, BotoCoreError) as error:
        sys.exit(f"teardown: {error}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        kind = type(error).__name__
        sys.exit(f"teardown: the stack's outputs or one of its runs cannot be read ({kind}: {error!s:.200})")


if __name__ == "__main__":
    main()
