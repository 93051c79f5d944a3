"""The AWS calls of the pipeline scripts outside Terraform: the account, and objects of the state bucket."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from iac_ci_cli.aws_messages import aws_message

ABSENT: Final = 4
"""Exit code where the bucket or object does not exist."""

_MISSING: Final = {"404", "NoSuchBucket", "NoSuchKey", "NotFound"}


def _storage() -> Any:
    return boto3.client("s3", config=Config(s3={"addressing_style": "path"}))


def account() -> None:
    """Print the account number of the credentials."""
    sys.stdout.write(boto3.client("sts").get_caller_identity()["Account"] + "\n")


def exists(bucket: str) -> None:
    """Exit with 0 if the bucket exists, with 4 if not, and with 1 if S3 answers neither (403 for a missing right)."""
    _storage().head_bucket(Bucket=bucket)


def fetch(bucket: str, key: str, path: str) -> None:
    """Download an object to a file that only its owner can read; exit with 4 if it does not exist."""
    body = _storage().get_object(Bucket=bucket, Key=key)["Body"].read()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    target.write_bytes(body)


def store(bucket: str, key: str, path: str) -> None:
    """Upload an object."""
    _storage().put_object(Bucket=bucket, Key=key, Body=Path(path).read_bytes())


def store_state(bucket: str, key: str, path: str) -> None:
    """Upload a state of Terraform, unless the stored one is not older: another run has written it meanwhile."""
    content = Path(path).read_bytes()
    storage = _storage()
    try:
        stored = storage.get_object(Bucket=bucket, Key=key)["Body"].read()
    except storage.exceptions.NoSuchKey:
        stored = b""
    if stored and stored != content:
        own, other = json.loads(content), json.loads(stored)
        if own["lineage"] != other["lineage"] or own["serial"] <= other["serial"]:
            sys.exit(f"{key} in {bucket} was written by another run meanwhile, and stays")
    storage.put_object(Bucket=bucket, Key=key, Body=content)


def newest(bucket: str, prefix: str) -> None:
    """Print the key of the newest object below a prefix; exit with 4 if there is none."""
    pages = _storage().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = [entry for page in pages for entry in page.get("Contents", [])]
    if not found:
        sys.exit(ABSENT)
    sys.stdout.write(max(found, key=lambda entry: entry["LastModified"])["Key"] + "\n")


def main() -> None:
    """Run the command in the arguments; print an error as one line."""
    commands = {
        "account": account,
        "exists": exists,
        "fetch": fetch,
        "store": store,
        "store-state": store_state,
        "newest": newest,
    }
    try:
        commands[sys.argv[1]](*sys.argv[2:])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _MISSING:
            sys.exit(ABSENT)
        sys.exit(_explained(error))
    except (BotoCoreError, OSError, ValueError) as error:
        # Settings of the environment: a file of credentials that is not there, an endpoint whose port is no number.
        sys.exit(_explained(error))


def _explained(error: Exception) -> str:
    """Return the command line's words for an error of AWS or of its settings, with the next step."""
    message, hint = aws_message(error) or (str(error), "")
    # The scripts have no option for the profile and work on no local cloud.
    hint = hint.replace("--profile or ", "").replace(", or use --local", "")
    return f"{sys.argv[1]}: {message}" + (f"\n{hint}" if hint else "")


if __name__ == "__main__":
    main()
