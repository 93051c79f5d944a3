"""An AWS account and a code host on loopback, whose whole state can be written down and laid out again.

moto's server holds tables, buckets, parameters and the key. What those services do with the engine (events,
asynchronous calls, executions, builds) is data here, so that a recording holds what was under way too.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import boto3
from botocore.config import Config
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

REGION = "us-east-1"
STACK_FOLDER = Path(__file__).resolve().parents[2] / "terraform" / "deploy" / "stack"
BUCKETS = ("internal", "done", "theirs")
TABLES = {"orders": ["run_id", "order_num"], "events": ["trace_id", "sort_key"], "locks": ["lock_key"]}
PLACE = "http://CLOUD"
"""Stands for this cloud's address in a recording."""

_SESSION = boto3.Session("testing", "testing", region_name=REGION)
_BUILD_SECONDS = 5
_POLL_SECONDS = 60
_INVOKE = re.compile(r"/2015-03-31/functions/([a-z]+)/invocations")
_COMMENTS = re.compile(r"/code-host/repos/acme/infra/issues/(?:7/comments|comments/(\d+))")


class _Quiet(WSGIRequestHandler):
    def log(self, *arguments: Any) -> None:
        pass


class Cloud:
    """The services, and what is under way in them: ``due`` are calls, polls, builds and late writes."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.due: list[dict[str, Any]] = []
        self.executions: dict[str, dict[str, Any] | None] = {}
        self.builds: dict[str, str] = {}
        self.comments: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.done_markers: Counter[str] = Counter()
        self.key_id = ""
        self.hold_results_of: frozenset[str] = frozenset()
        self.on_invoke: Callable[[str], None] = lambda function: None
        self.call_now: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda function, event: {
            "error": "it is missing"
        }
        self._clients: dict[str, Any] = {}
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Cloud]:
        """Serve on loopback; begin with empty services and end with none."""
        thread = Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            self._reset()
            yield self
        finally:
            self._reset()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def _reset(self) -> None:
        for service in ("s3", "dynamodb", "ssm", "kms"):
            get_backend(service).reset()

    def client(self, service: str) -> Any:
        if service not in self._clients:
            config = Config(s3={"addressing_style": "path"}) if service == "s3" else None
            self._clients[service] = _SESSION.client(service, endpoint_url=self.url, config=config)
        return self._clients[service]

    # -- laying out ---------------------------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Make the empty stack."""
        for bucket in BUCKETS:
            self.client("s3").create_bucket(Bucket=bucket)
        for name, names in TABLES.items():
            self.client("dynamodb").create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind} for key, kind in zip(names, ("HASH", "RANGE"), strict=False)
                ],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in names],
            )
        self.key_id = self.client("kms").create_key()["KeyMetadata"]["KeyId"]

    @property
    def key_arn(self) -> str:
        return f"arn:aws:kms:{REGION}:{DEFAULT_ACCOUNT_ID}:key/{self.key_id}"

    def _keys(self) -> Any:
        return get_backend("kms")[DEFAULT_ACCOUNT_ID][REGION].keys

    def items(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table as DynamoDB holds it, in order of its keys."""
        found: list[dict[str, Any]] = self.client("dynamodb").scan(TableName=table)["Items"]
        return sorted(found, key=lambda item: [item[key]["S"] for key in TABLES[table]])

    def objects(self, bucket: str) -> dict[str, bytes]:
        storage = self.client("s3")
        keys = [entry["Key"] for entry in storage.list_objects_v2(Bucket=bucket).get("Contents", [])]
        return {key: storage.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def snapshot(self) -> dict[str, Any]:
        """Everything that is there and under way, as JSON."""
        parameters = self.client("ssm").get_parameters_by_path(Path="/", Recursive=True, WithDecryption=True)
        whole = {
            "now": self.now.isoformat(),
            "tables": {table: self.items(table) for table in TABLES},
            "objects": {
                bucket: {key: base64.b64encode(body).decode() for key, body in self.objects(bucket).items()}
                for bucket in BUCKETS
            },
            "parameters": {one["Name"]: one["Value"] for one in parameters["Parameters"]},
            "key": {
                "id": self.key_id,
                "material": base64.b64encode(self._keys()[self.key_id].key_material).decode(),
            },
            "due": self.due,
            "executions": self.executions,
            "builds": self.builds,
            "comments": self.comments,
            "statuses": self.statuses,
        }
        result: dict[str, Any] = json.loads(json.dumps(whole).replace(self.url, PLACE))
        return result

    def restore(self, recorded: dict[str, Any]) -> None:
        """Lay a recording out."""
        self.lay_out()
        whole = json.loads(json.dumps(recorded).replace(PLACE, self.url))
        keys = self._keys()
        key = keys.pop(self.key_id)
        self.key_id = key.id = whole["key"]["id"]
        key.arn = self.key_arn
        key.key_material = base64.b64decode(whole["key"]["material"])
        keys[key.id] = key
        for name, value in whole["parameters"].items():
            self.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString")
        for table, items in whole["tables"].items():
            for item in items:
                self.client("dynamodb").put_item(TableName=table, Item=item)
        for bucket, bodies in whole["objects"].items():
            for name, body in bodies.items():
                self.client("s3").put_object(Bucket=bucket, Key=name, Body=base64.b64decode(body))
        # What laying out wrote makes no events.
        self.done_markers.clear()
        self.now = datetime.fromisoformat(whole["now"])
        for name in ("due", "executions", "builds", "comments", "statuses"):
            setattr(self, name, whole[name])

    # -- what is under way --------------------------------------------------------------------------------------------

    def after(self, seconds: float, kind: str, **what: Any) -> None:
        self.due.append({"at": (self.now + timedelta(seconds=seconds)).isoformat(), "kind": kind, **what})

    def next_due(self, until: datetime) -> dict[str, Any] | None:
        """Take what comes next, and let the clock go on to it."""
        if not self.due:
            return None
        index = min(range(len(self.due)), key=lambda number: datetime.fromisoformat(self.due[number]["at"]))
        at = datetime.fromisoformat(self.due[index]["at"])
        if at > until:
            return None
        self.now = max(self.now, at)
        return self.due.pop(index)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if path.startswith("/code-host/"):
            return self._code_host(method, path, environ, start_response)
        if (invoked := _INVOKE.fullmatch(path)) is not None:
            if environ.get("HTTP_X_AMZ_INVOCATION_TYPE") == "RequestResponse":
                return self._answered_at_once(invoked[1], _json(environ), start_response)
            self.on_invoke(invoked[1])
            self.after(0.1, "call", function=invoked[1], event=_json(environ), tries=0)
            return _answer(start_response, 202, None)
        if target.startswith("AWSStepFunctions."):
            return self._execution(target.rpartition(".")[2], _json(environ), start_response)
        if target.startswith("CodeBuild_"):
            return self._build(target.rpartition(".")[2], _json(environ), start_response)
        written = unquote(path) if method == "PUT" else ""
        body = b""
        if written.endswith("/result.json"):
            body = _body(environ)
            if any(f"/{num}/" in written for num in self.hold_results_of):
                self.after(90, "put", key=written.removeprefix("/internal/"), body=base64.b64encode(body).decode())
                return _answer(start_response, 200, None)
        seen: list[str] = []

        def started(status: str, headers: Any, *rest: Any) -> Any:
            seen.append(status)
            return start_response(status, headers, *rest)

        said = list(self._moto(environ, started))
        if written and seen[0].startswith("2"):
            self._written(written)
        return said

    def _answered_at_once(self, function: str, event: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        said = self.call_now(function, event)
        if "error" not in said:
            return _answer(start_response, 200, said["answer"])
        failed = [("Content-Type", "application/json"), ("X-Amz-Function-Error", "Unhandled")]
        start_response("200 OK", failed)
        return [json.dumps({"errorMessage": said["error"]}).encode()]

    def _written(self, path: str) -> None:
        bucket, _, key = path.removeprefix("/").partition("/")
        if bucket == "done":
            self.done_markers[key] += 1
        if bucket == "internal" and key.startswith("tmp/callbacks/runs/") and key.endswith("result.json"):
            event = {"Records": [{"s3": {"object": {"key": key}}}]}
            self.after(0.2, "call", function="orchestrator", event=event, tries=0)

    def _execution(self, action: str, asked: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if action == "DescribeExecution":
            name = asked["executionArn"].rpartition(":")[2]
            if name not in self.executions:
                return _answer(start_response, 400, {"__type": "ExecutionDoesNotExist", "message": "there is none"})
            status = "SUCCEEDED" if self.executions[name] is None else "RUNNING"
            return _answer(start_response, 200, {"executionArn": asked["executionArn"], "status": status})
        if self.executions.get(asked["name"], asked) is None:
            return _answer(start_response, 400, {"__type": "ExecutionAlreadyExists", "message": "it has ended"})
        if asked["name"] not in self.executions:
            self.executions[asked["name"]] = json.loads(asked["input"])
            self.after(_POLL_SECONDS, "poll", name=asked["name"])
        return _answer(start_response, 200, {"executionArn": asked["name"], "startDate": self.now.timestamp()})

    def _build(self, action: str, asked: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if action == "StartBuild":
            build_id = f"worker:{asked['idempotencyToken']}"
            if build_id not in self.builds:
                self.builds[build_id] = "IN_PROGRESS"
                given = {variable["name"]: variable["value"] for variable in asked["environmentVariablesOverride"]}
                if "IAC_CI_WORK" in given:
                    # The text itself, so that a recording can be read, and addresses in it are found.
                    work = base64.b64decode(given["IAC_CI_WORK"]).decode()
                    self.after(_BUILD_SECONDS, "build", build_id=build_id, work=work)
                else:
                    self.after(_BUILD_SECONDS, "build", build_id=build_id, variables=given)
            return _answer(start_response, 200, {"build": {"id": build_id}})
        if action == "BatchGetBuilds":
            known = [build_id for build_id in asked["ids"] if build_id in self.builds]
            found = [{"id": build_id, "buildStatus": self.builds[build_id]} for build_id in known]
            return _answer(start_response, 200, {"builds": found})
        self.builds[asked["id"]] = "STOPPED"
        return _answer(start_response, 200, {})

    def _code_host(self, method: str, path: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if path == "/code-host/user":
            return _answer(start_response, 200, {"id": 1, "login": "iac-ci"})
        if "/statuses/" in path:
            self.statuses.append(_json(environ))
            return _answer(start_response, 201, {})
        found = _COMMENTS.fullmatch(path)
        if found is None:
            return _answer(start_response, 404, {"message": f"no {path}"})
        if method == "GET":
            return _answer(start_response, 200, self.comments)
        if method == "POST":
            number = len(self.comments) + 1
            self.comments.append(
                {
                    "id": number,
                    "user": {"id": 1, "login": "iac-ci"},
                    "issue_url": "https://git.example/issues/7",
                    "html_url": f"https://git.example/comments/{number}",
                    "created_at": "2026-01-01T12:00:00Z",
                    "updated_at": "2026-01-01T12:00:00Z",
                    **_json(environ),
                }
            )
            return _answer(start_response, 201, self.comments[-1])
        comment = self.comments[int(found[1]) - 1]
        comment |= _json(environ)
        return _answer(start_response, 200, comment)


def _body(environ: dict[str, Any]) -> bytes:
    """Read a request's body, and leave it to be read again."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _json(environ: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_body(environ))
    return found


def _answer(start_response: Any, status: int, content: Any) -> Iterable[bytes]:
    start_response(f"{status} -", [("Content-Type", "application/json")])
    return [b"" if content is None else json.dumps(content).encode()]
