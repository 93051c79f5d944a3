"""Holds every AWS request of a process to botocore's service models in full, and records it.

botocore itself checks types, required members and most minimums; the services also check enumerations, patterns and
maximums. Each request is one line of JSON in a file of the process in the folder that ``FOLDER_VARIABLE`` names.

This module needs the standard library only: functions of the local cloud import it by its folder.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "IAC_CI_HELD_REQUESTS"
"""The environment variable with the folder of the records; without it nothing is held."""

_CLASSES = {
    "L": "A-Za-z\u00aa-\u02ff\u0370-\u1fff\u3040-\ufdff",
    "Z": "\u0020\u00a0\u2000-\u200a",
    "N": "0-9\u00b2-\u00be",
    "M": "\u0300-\u036f",
    "S": "$+<=>^`|~",
    "P": "!-#%-*,-/:-;?-@\\[-\\]_{}",
    "Alpha": "A-Za-z",
    "Alnum": "A-Za-z0-9",
    "Digit": "0-9",
    "ASCII": "\\x00-\\x7f",
    "Print": "\\x20-\\x7e",
    "Graph": "\\x21-\\x7e",
}
"""Classes of characters that Python's patterns do not have."""


def problems(shape: Any, value: Any, path: str = "") -> list[str]:
    """Return where a value breaks its shape: enumeration, pattern, minimum, maximum."""
    metadata = shape.metadata
    found: list[str] = []
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        for name, member in value.items():
            if name in shape.members and member is not None:
                found += problems(shape.members[name], member, f"{path}.{name}")
    elif kind == "list" and isinstance(value, list | tuple):
        found += _range(metadata, len(value), path, "entries")
        for number, member in enumerate(value):
            found += problems(shape.member, member, f"{path}[{number}]")
    elif kind == "map" and isinstance(value, dict):
        found += _range(metadata, len(value), path, "entries")
        for name, member in value.items():
            found += problems(shape.key, name, f"{path} key")
            found += problems(shape.value, member, f"{path}.{name}")
    elif kind == "string" and isinstance(value, str):
        found += _range(metadata, len(value), path, "characters")
        if metadata.get("enum") and value not in metadata["enum"]:
            found.append(f"{path}: {value!r:.80} is none of {len(metadata['enum'])} values")
        pattern = _pattern(metadata.get("pattern"))
        if pattern is not None and pattern.search(value) is None:
            found.append(f"{path}: {value!r:.80} does not match {pattern.pattern:.80}")
    elif kind == "blob" and isinstance(value, str | bytes | bytearray):
        found += _range(metadata, len(value.encode() if isinstance(value, str) else value), path, "bytes")
    elif kind in {"integer", "long", "float", "double"} and isinstance(value, int | float):
        found += _range(metadata, value, path, "as a number")
    return found


def _range(metadata: Any, size: float, path: str, unit: str) -> list[str]:
    if "min" in metadata and size < metadata["min"]:
        return [f"{path}: {size} {unit} are less than {metadata['min']}"]
    if "max" in metadata and size > metadata["max"]:
        return [f"{path}: {size} {unit} are more than {metadata['max']}"]
    return []


@cache
def _pattern(text: str | None) -> re.Pattern[str] | None:
    """Return a service's pattern, which must match a whole value; None if Python cannot read it."""
    if not text:
        return None
    readable = re.sub(r"\\p\{(\w+)\}", lambda match: _CLASSES.get(match[1], match[0]), text)
    # Inside a class of characters this is a range list; alone it needs brackets.
    readable = re.sub(r"\\p(\w)", lambda match: _CLASSES.get(match[1], match[0]), readable)
    try:
        return re.compile(rf"\A(?:{readable})\Z")
    except re.error:
        return None


def actions(service: str, operation: str, request: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Return the IAM actions that a request needs: each with its resource, and the partition key in DynamoDB."""
    match service:
        case "s3":
            return _s3(operation, request)
        case "dynamodb":
            return list(_dynamodb(operation, request))
        case "lambda":
            name = "InvokeFunction" if operation == "Invoke" else operation
            return [(f"lambda:{name}", f"function:{request.get('FunctionName', '')}", None)]
        case "ssm":
            names = request.get("Names") or [request.get("Name", "")]
            return [(f"ssm:{operation}", f"parameter{name if name[:1] == '/' else '/' + name}", None) for name in names]
        case "secretsmanager":
            return [(f"secretsmanager:{operation}", f"secret:{request.get('SecretId', '')}", None)]
        case "stepfunctions":
            arn = request.get("stateMachineArn") or request.get("executionArn") or ""
            return [(f"states:{operation}", arn.split(":", 5)[-1], None)]
        case "events" if operation == "PutEvents":
            buses = {entry.get("EventBusName", "default") for entry in request["Entries"]}
            return [("events:PutEvents", f"event-bus/{name}", None) for name in sorted(buses)]
        case "codebuild":
            builds = [*request.get("ids", ()), request.get("id", ""), request.get("projectName", "")]
            projects = {name.partition(":")[0] for name in builds if name}
            return [(f"codebuild:{operation}", f"project/{name}", None) for name in sorted(projects)]
        case "sts":
            role = request.get("RoleArn", "")
            more = {"Tags": "TagSession", "SourceIdentity": "SetSourceIdentity"}
            names = [operation, *(action for field, action in more.items() if request.get(field))]
            return [(f"sts:{name}", role, None) for name in names]
        case "kms":
            return [(f"kms:{operation}", request.get("KeyId", ""), None)]
        case _:
            return [(f"{service}:{operation}", "", None)]


_S3_ACTIONS = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket"}


def _s3(operation: str, request: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    bucket = request.get("Bucket", "")
    if operation == "DeleteObjects":
        keys = [entry["Key"] for entry in request["Delete"]["Objects"]]
        return [("s3:DeleteObject", f"{bucket}/{key}", None) for key in keys]
    action = f"s3:{_S3_ACTIONS.get(operation, operation)}"
    if "Key" not in request:
        return [(action, bucket, None)]
    needed: list[tuple[str, str, str | None]] = [(action, f"{bucket}/{request['Key']}", None)]
    if action == "s3:GetObject":
        # Without it, S3 answers 403 for an object that is missing.
        needed.append(("s3:ListBucket", bucket, None))
    return needed


def _dynamodb(operation: str, request: dict[str, Any]) -> Any:
    if operation == "TransactWriteItems":
        for entry in request["TransactItems"]:
            ((kind, inner),) = entry.items()
            name = {"ConditionCheck": "ConditionCheckItem"}.get(kind, f"{kind}Item")
            yield f"dynamodb:{name}", f"table/{inner.get('TableName')}", _partition_key(inner)
    elif operation == "BatchGetItem":
        for table, inner in request["RequestItems"].items():
            for key in inner["Keys"]:
                yield "dynamodb:BatchGetItem", f"table/{table}", _partition_key({"Key": key})
    else:
        yield f"dynamodb:{operation}", f"table/{request.get('TableName', '')}", _partition_key(request)


def _partition_key(request: dict[str, Any]) -> str | None:
    """Return the partition key of a row in the table of locks, the only one whose keys a policy names."""
    row = request.get("Key") or request.get("Item") or {}
    return row.get("lock_key", {}).get("S")


def hold(service: str, operation: str, shape: Any, request: Any) -> dict[str, Any]:
    """Return the record of a request."""
    found = problems(shape, request) if shape is not None and isinstance(request, dict) else []
    caller = os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or os.environ.get("CODEBUILD_BUILD_ID", "").partition(":")[0]
    return {
        "test": os.environ.get("PYTEST_CURRENT_TEST", ""),
        "kind": "build" if "CODEBUILD_BUILD_ID" in os.environ else "function" if caller else "test",
        "caller": caller,
        "request": f"{service}:{operation}",
        "needs": actions(service, operation, request) if caller else [],
        "problems": found,
    }


def record(entry: dict[str, Any]) -> None:
    """Write a record; a process that does not see the folder, as in a sandbox, or may not write to it, records nothing.

    An error here would be one of the request: it would never be sent.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    line = (json.dumps(entry) + "\n").encode()
    try:
        descriptor = os.open(Path(folder) / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        return
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def install(client_module: Any) -> None:
    """Hold each request of botocore's clients, presigned ones too."""
    emit = client_module.BaseClient._emit_api_params

    def held(self: Any, api_params: Any, operation_model: Any, context: Any) -> Any:
        request = emit(self, api_params, operation_model, context)
        record(
            hold(operation_model.service_model.service_name, operation_model.name, operation_model.input_shape, request)
        )
        return request

    client_module.BaseClient._emit_api_params = held


class _Finder(importlib.abc.MetaPathFinder):
    """Installs when ``botocore.client`` is imported, so that processes without AWS import nothing more."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "botocore.client":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_install(module: Any) -> None:
            execute(module)
            install(module)

        spec.loader.exec_module = execute_and_install  # type: ignore[method-assign]
        return spec


def install_with_botocore() -> None:
    """Install now, or when botocore is imported; do nothing without the folder."""
    if not os.environ.get(FOLDER_VARIABLE):
        return
    if "botocore.client" in sys.modules:
        install(sys.modules["botocore.client"])
    else:
        sys.meta_path.insert(0, _Finder())
