"""Identifies an HTTP request to AWS: service, operation and caller. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

_TARGETS: Final = {
    "DynamoDB": "dynamodb",
    "AWSStepFunctions": "stepfunctions",
    "AmazonSSM": "ssm",
    "TrentService": "kms",
    "AWSEvents": "events",
    "secretsmanager": "secretsmanager",
    "Logs": "logs",
    "AmazonSQS": "sqs",
}
_APPLICATION: Final = re.compile(r"\bapp/([\w-]+)")
PRESIGNED: Final = "worker"
"""The caller of presigned URLs: they do not name it, and only workers use them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS call. ``caller`` is a function's short name, or ``outside``."""

    caller: str
    service: str
    operation: str


def name(method: str, path: str, query: str, headers: Mapping[str, str]) -> Call | None:
    """Return the call of a request; None for the webhook and the local cloud's own endpoints.

    The caller is the application id in the SDK's ``User-Agent`` (AWS SDKs Reference Guide, "Application ID").
    """
    if path.startswith(("/_ministack", "/_aws/execute-api", "/_bench")):
        return None
    arguments = parse_qs(query, keep_blank_values=True)
    application = _APPLICATION.search(headers.get("user-agent", ""))
    caller = application.group(1) if application else "outside"
    if "X-Amz-Signature" in arguments:
        caller = PRESIGNED
    target = headers.get("x-amz-target", "")
    if target:
        service, _, operation = target.partition(".")
        return Call(caller, _TARGETS.get(service.split("_")[0], service), operation)
    if path.startswith("/2015-03-31/functions/") and path.endswith("/invocations"):
        return Call(caller, "lambda", "Invoke")
    if re.match(r"/20\d\d-\d\d-\d\d/", path):
        return Call(caller, "lambda", f"{method} {path.split('/')[2]}")
    if "content-type" in headers and "x-www-form-urlencoded" in headers["content-type"]:
        return Call(caller, "query", "Query")
    return Call(caller, "s3", _s3(method, path, arguments))


def _s3(method: str, path: str, arguments: Mapping[str, list[str]]) -> str:
    has_key = "/" in path.strip("/")
    if method == "GET":
        return "GetObject" if has_key else "ListObjectsV2"
    if method == "POST" and "delete" in arguments:
        return "DeleteObjects"
    return (
        {"PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(method, method)
        if has_key
        else (f"{method} bucket")
    )


def rows(call: Call, request: bytes, answer: bytes) -> tuple[list[int], list[int]]:
    """Return the sizes in bytes of the rows that a DynamoDB call wrote and read, as far as its bodies show them.

    Of an update, the bodies show only the key and the changed attributes.
    """
    if call.service != "dynamodb":
        return [], []
    asked: dict[str, Any] = json.loads(request or b"{}")
    got: dict[str, Any] = json.loads(answer or b"{}")
    if call.operation == "TransactWriteItems":
        return [_written(next(iter(entry.values()))) for entry in asked["TransactItems"]], []
    if call.operation in {"PutItem", "UpdateItem"}:
        return [_row(got["Attributes"]) if got.get("Attributes") else _written(asked)], []
    if call.operation == "Query":
        return [], [_row(row) for row in got.get("Items", [])]
    if call.operation == "BatchGetItem":
        return [], [_row(row) for rows in got.get("Responses", {}).values() for row in rows]
    if call.operation == "GetItem":
        return [], [_row(got["Item"])] if "Item" in got else []
    return [], []


def leaves_lock(call: Call, request: bytes) -> bool:
    """Return whether a DynamoDB call asks to remove the owner of a run's lock, be it refused or not."""
    if call.service != "dynamodb" or call.operation not in {"UpdateItem", "TransactWriteItems"}:
        return False
    asked: dict[str, Any] = json.loads(request or b"{}")
    writes = [entry.get("Update", {}) for entry in asked["TransactItems"]] if "TransactItems" in asked else [asked]
    return any("REMOVE #owner" in write.get("UpdateExpression", "") for write in writes)


def _written(entry: Mapping[str, Any]) -> int:
    if "Item" in entry:
        return _row(entry["Item"])
    return _row({**entry.get("Key", {}), **entry.get("ExpressionAttributeValues", {})})


def _row(row: Mapping[str, Any]) -> int:
    """Return a row's estimated size in bytes (Amazon DynamoDB Developer Guide, "Item sizes and formats")."""
    return sum(len(name) + len(json.dumps(next(iter(value.values())))) for name, value in row.items())
