"""Serves moto on loopback with what it leaves out: functions that run, their retries, the state machine, the webhook.

Runs as a script. moto itself delivers S3's events and keeps everything else. Its backends are not safe for threads, so
it answers one request at a time; functions run outside of that.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from moto.awslambda.utils import get_backend
from moto.core.config import default_user_config
from moto.s3 import notifications
from moto.server import DomainDispatcherApplication, create_backend_app
from moto.stepfunctions.models import StepFunctionBackend
from werkzeug.serving import WSGIRequestHandler, make_server

ACCOUNT: Final = os.environ["MOTO_ACCOUNT_ID"]
REGION: Final = os.environ["MINISTACK_REGION"]
PORT: Final = int(os.environ["GATEWAY_PORT"])
WAIT_SCALE: Final = float(os.environ["SFN_WAIT_SCALE"])
RETRY_SECONDS: Final = float(os.environ["LAMBDA_ASYNC_RETRY_BASE_SECONDS"])
FOLDER: Final = Path(os.environ["TMPDIR"])

_INVOKE: Final = re.compile(
    r"/2015-03-31/functions/(?:[^/]*:function:|[^/]*%3Afunction%3A)?([A-Za-z0-9_-]+)/invocations"
)
_RECURSION: Final = re.compile(r"/2024-08-31/functions/[^/]+/recursion-config")
_WEBHOOK: Final = re.compile(r"/_aws/execute-api/[A-Za-z0-9-]+/[A-Za-z0-9_-]+(/[A-Za-z0-9_/-]*)")

one_at_a_time = threading.RLock()


class FunctionFailed(Exception):
    """A function raised an error, ended or took too long; the message is the payload of the answer."""


class Functions:
    """The processes of all functions, each used again while it is idle."""

    def __init__(self) -> None:
        self._idle: dict[str, list[tuple[subprocess.Popen[str], Any]]] = defaultdict(list)
        self._lock = threading.Lock()

    def call(self, name: str, event: Any, identifier: str) -> Any:
        """Invoke a function and return its result; raise ``FunctionFailed``."""
        with one_at_a_time:
            function = get_backend(ACCOUNT, REGION).get_function(name)
        with self._lock:
            process, answers = self._idle[name].pop() if self._idle[name] else self._start(name, function)
        timer = threading.Timer(function.timeout, process.kill)
        timer.start()
        try:
            request = {"event": event, "id": identifier, "arn": function.function_arn, "timeout": function.timeout}
            process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            process.kill()
            raise FunctionFailed(json.dumps({"errorMessage": "the process ended", "errorType": "Runtime.ExitError"}))
        with self._lock:
            self._idle[name].append((process, answers))
        answer = json.loads(line)
        if "error" in answer:
            raise FunctionFailed(json.dumps(answer["error"]))
        return answer["result"]

    def call_later(self, name: str, event: Any) -> None:
        """Invoke a function asynchronously, with its retries and its destination for failures."""
        threading.Thread(target=self._with_retries, args=(name, event), daemon=True).start()

    def _start(self, name: str, function: Any) -> tuple[subprocess.Popen[str], Any]:
        folder = FOLDER / "functions" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            zipfile.ZipFile(io.BytesIO(function.code_bytes)).extractall(folder)
        read, write = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("moto_function.py")), str(folder), str(write)],
            env={
                **{key: os.environ[key] for key in os.environ if not key.startswith("MOTO_")},
                **function.environment_vars,
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_SECRET_ACCESS_KEY": "local",
            },
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=(write,),
        )
        os.close(write)
        return process, os.fdopen(read)

    def _with_retries(self, name: str, event: Any) -> None:
        settings = _event_settings(name)
        identifier = str(uuid.uuid4())
        for attempt in range(settings.get("MaximumRetryAttempts", 2) + 1):
            try:
                self.call(name, event, identifier)
            except FunctionFailed as error:
                failure = json.loads(str(error))
                time.sleep(RETRY_SECONDS * (attempt + 1))
            else:
                return
        target = settings.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
        if ":function:" in target:
            record = {
                "version": "1.0",
                "requestContext": {
                    "requestId": identifier,
                    "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}:$LATEST",
                    "condition": "RetriesExhausted",
                    "approximateInvokeCount": attempt + 1,
                },
                "requestPayload": event,
                "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
                "responsePayload": failure,
            }
            self.call_later(target.rpartition(":")[2], record)


def _event_settings(name: str) -> dict[str, Any]:
    with one_at_a_time:
        try:
            settings: dict[str, Any] = get_backend(ACCOUNT, REGION).get_function_event_invoke_config(name)
        except Exception:  # noqa: BLE001 - a function without a configuration has AWS's defaults
            return {}
        return settings


def watch(functions: Functions, execution: Any, definition: dict[str, Any]) -> None:
    """Run an execution of the watchdog: wait, check, and again until the check says that it has ended."""
    states = definition["States"]
    function = states["Check"]["Resource"].rpartition(":")[2]
    data = json.loads(execution.execution_input)
    while execution.status == "RUNNING":
        time.sleep(states["Wait"]["Seconds"] * WAIT_SCALE)
        try:
            given = {"run_id": data["run_id"], "order_num": data["order_num"], "state": data}
            data = data | {"answer": functions.call(function, given, str(uuid.uuid4()))}
        except FunctionFailed:
            continue
        if data["answer"]["ended"]:
            execution.status = "SUCCEEDED"


class Application:
    """moto, with functions and the webhook before it."""

    def __init__(self) -> None:
        default_user_config["lambda"]["use_docker"] = False
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.functions = Functions()
        self._seen: set[str] = set()
        start = StepFunctionBackend.start_execution

        def start_and_watch(backend: Any, *arguments: Any, **named: Any) -> Any:
            execution = start(backend, *arguments, **named)
            if execution.execution_arn not in self._seen:
                self._seen.add(execution.execution_arn)
                machine = backend.describe_state_machine(execution.state_machine_arn)
                definition = json.loads(machine.definition)
                threading.Thread(target=watch, args=(self.functions, execution, definition), daemon=True).start()
            return execution

        def deliver(account: str, event: Any, arn: str, region: str) -> None:
            if event.get("Event") != "s3:TestEvent":
                self.functions.call_later(arn.rpartition(":")[2], event)

        StepFunctionBackend.start_execution = start_and_watch  # type: ignore[method-assign]
        notifications._invoke_awslambda = deliver

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request."""
        path = environ["PATH_INFO"]
        if path == "/_ministack/ready":
            return _answer(start_response, "200 OK", b"{}")
        if _RECURSION.fullmatch(path):
            return _answer(start_response, "200 OK", b'{"RecursiveLoop": "Allow"}')
        if path.startswith("/restapis"):
            # The webhook is answered here, so its definition is of no use.
            return _answer(start_response, "201 Created", b'{"id": "webhook", "item": [{"id": "root"}]}')
        if match := _INVOKE.fullmatch(path):
            return self._invoke(match[1], environ, start_response)
        if match := _WEBHOOK.fullmatch(path):
            return self._webhook(match[1], environ, start_response)
        body = _body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        with one_at_a_time:
            return [b"".join(self.moto(environ, start_response))]

    def _invoke(self, name: str, environ: dict[str, Any], start_response: Any) -> Any:
        event = json.loads(_body(environ) or b"{}")
        if environ.get("HTTP_X_AMZ_INVOCATION_TYPE") == "Event":
            self.functions.call_later(name, event)
            return _answer(start_response, "202 Accepted", b"")
        try:
            result = self.functions.call(name, event, str(uuid.uuid4()))
        except FunctionFailed as error:
            return _answer(start_response, "200 OK", str(error).encode(), ("X-Amz-Function-Error", "Unhandled"))
        return _answer(start_response, "200 OK", json.dumps(result).encode())

    def _webhook(self, path: str, environ: dict[str, Any], start_response: Any) -> Any:
        headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
        event = {
            "resource": path, "path": path, "httpMethod": environ["REQUEST_METHOD"], "headers": headers,
            "body": _body(environ).decode(), "isBase64Encoded": False,
            "requestContext": {"requestId": str(uuid.uuid4())},
        }  # fmt: skip
        with one_at_a_time:
            names = [function.function_name for function in get_backend(ACCOUNT, REGION).list_functions()]
        try:
            result = self.functions.call(next(name for name in names if name.endswith("-init-job")), event, "webhook")
        except FunctionFailed as error:
            return _answer(start_response, "502 Bad Gateway", str(error).encode())
        return _answer(start_response, f"{result['statusCode']} Answer", result["body"].encode())


def _body(environ: dict[str, Any]) -> bytes:
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", ""):
        content: bytes = environ["wsgi.input"].read()
        return content
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


def _answer(start_response: Any, status: str, body: bytes, *headers: tuple[str, str]) -> list[bytes]:
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers])
    return [body]


class _Quiet(WSGIRequestHandler):
    def log_request(self, *arguments: Any) -> None:
        pass


if __name__ == "__main__":
    make_server("127.0.0.1", PORT, Application(), threaded=True, request_handler=_Quiet).serve_forever()
