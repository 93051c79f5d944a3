"""Two functions that only pass a run on: the minimum for any engine of this design.

``relay`` replaces the orchestrator, ``work`` the worker. This file is uploaded unchanged.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any


@cache
def client(service: str) -> Any:
    import boto3
    from botocore.config import Config

    make: Any = boto3.client
    return make(service, config=Config(s3={"addressing_style": "path"}))


def relay(event: dict[str, Any], context: object) -> None:
    del context
    for record in event["Records"]:
        client("lambda").invoke(
            FunctionName=os.environ["BARE_WORKER"], InvocationType="Event", Payload=json.dumps(record["s3"])
        )


def work(s3: dict[str, Any], context: object) -> None:
    del context
    lane, left = s3["object"]["key"].removesuffix(".json").rsplit("/", 1)
    if int(left):
        client("s3").put_object(Bucket=s3["bucket"]["name"], Key=f"{lane}/{int(left) - 1:04d}.json", Body=b"{}")
    else:
        client("s3").put_object(Bucket=s3["bucket"]["name"], Key=f"{lane}/ended", Body=b"{}")
