"""CodeBuild of the local cloud: runs each build's worker as a process.

MiniStack implements CodeBuild's metadata only, so the functions get this endpoint as ``AWS_ENDPOINT_URL_CODEBUILD``. It
implements the three operations that the engine uses (AWS CodeBuild API Reference, "StartBuild", "BatchGetBuilds",
"StopBuild"). A build runs ``iac-ci-worker run`` as a process group, with credentials of the role ``worker-build`` only.

A build is a command of this user, so the server requires a token: it is the path of the endpoint, which only the
processes of this cloud know. It also refuses every Host header except its own address.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from iac_ci_local.loopback import is_own_host, is_token

_TARGET_PREFIX: Final = "CodeBuild_20161006."
_STOP_SECONDS: Final = 15.0
_MAX_BODY_BYTES: Final = 1024 * 1024

TOKEN_VARIABLE: Final = "IAC_CI_BUILDS_TOKEN"  # noqa: S105 - a variable's name
"""The environment variable with the server's token: arguments of processes are visible to other users."""


class BuildRefused(Exception):
    """A request that CodeBuild refuses; ``kind`` is the name of the error in the answer."""

    def __init__(self, kind: str, message: str) -> None:
        """Store the error's name and its message."""
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True)
class Build:
    """One build and its process."""

    identifier: str
    arn: str
    project: str
    started: float
    token: str | None
    process: subprocess.Popen[bytes] | None = None
    status: str = "IN_PROGRESS"
    ended: float | None = None

    def description(self) -> dict[str, Any]:
        """Return the build in CodeBuild's format; times are seconds since 1970."""
        description: dict[str, Any] = {
            "id": self.identifier,
            "arn": self.arn,
            "projectName": self.project,
            "startTime": self.started,
            "buildStatus": self.status,
            "buildComplete": self.ended is not None,
            "currentPhase": "BUILD" if self.ended is None else "COMPLETED",
        }
        if self.ended is not None:
            description["endTime"] = self.ended
        return description


@dataclass(slots=True)
class Builds:
    """The defined projects and the started builds. Thread-safe."""

    folder: Path
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    _builds: dict[str, Build] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def project(self, request: dict[str, Any]) -> dict[str, Any]:
        """Define a project; only the local cloud itself sends this request."""
        with self._lock:
            self.projects[request["name"]] = request
        return {}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start a build, once per idempotency token; raise ``BuildRefused`` for an unknown project."""
        project = self.projects.get(request.get("projectName", ""))
        if project is None:
            raise BuildRefused("ResourceNotFoundException", f"project {request.get('projectName')!r} does not exist")
        token = request.get("idempotencyToken")
        with self._lock:
            if token:
                for known in self._builds.values():
                    if known.token == token:
                        return {"build": known.description()}
            identifier = f"{project['name']}:{uuid.uuid4()}"
            build = Build(identifier, f"{project['arn_prefix']}{identifier}", project["name"], time.time(), token)
            self._builds[identifier] = build
        minutes = request.get("timeoutInMinutesOverride") or project["timeout_minutes"]
        variables = {entry["name"]: entry["value"] for entry in request.get("environmentVariablesOverride", [])}
        threading.Thread(target=self._run, args=(build, project, variables, minutes * 60), daemon=True).start()
        return {"build": build.description()}

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the builds with the requested ids, and the ids of unknown ones."""
        wanted = request.get("ids", [])
        with self._lock:
            found = [self._builds[identifier].description() for identifier in wanted if identifier in self._builds]
            missing = [identifier for identifier in wanted if identifier not in self._builds]
        return {"builds": found, "buildsNotFound": missing}

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """Stop a build; an ended build does not change. Raise ``BuildRefused`` for an unknown one."""
        with self._lock:
            build = self._builds.get(request.get("id", ""))
        if build is None:
            raise BuildRefused("ResourceNotFoundException", f"build {request.get('id')!r} does not exist")
        if build.ended is None:
            build.status = "STOPPED"
            self._end(build)
        return {"build": build.description()}

    def _run(self, build: Build, project: dict[str, Any], variables: dict[str, str], seconds: float) -> None:
        home = self.folder / "builds" / build.identifier.partition(":")[2]
        try:
            home.mkdir(parents=True)
            environment = self._environment(build, project, home) | variables
            with (home / "build.log").open("wb") as log:
                build.process = subprocess.Popen(  # noqa: S603
                    project["command"],
                    env=environment,
                    cwd=home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                if build.status == "STOPPED":  # stopped before the process existed
                    self._end(build)
                try:
                    code = build.process.wait(timeout=seconds)
                except subprocess.TimeoutExpired:
                    build.status = "TIMED_OUT"
                    self._end(build)
                    code = build.process.wait()
            if build.status == "IN_PROGRESS":
                build.status = "SUCCEEDED" if code == 0 else "FAILED"
            if code != 0:
                sys.stderr.write((home / "build.log").read_text("utf-8", "replace")[-4000:])
                sys.stderr.flush()
        except Exception as error:  # noqa: BLE001 - any error here is a fault of the build
            sys.stderr.write(f"build {build.identifier} could not start: {error!r}\n")
            sys.stderr.flush()
            build.status = "FAULT"
        finally:
            build.ended = time.time()
            shutil.rmtree(home, ignore_errors=True)

    def _environment(self, build: Build, project: dict[str, Any], home: Path) -> dict[str, str]:
        import boto3

        # As on AWS, each build gets new credentials of the service role.
        session = boto3.client("sts").assume_role(RoleArn=project["role_arn"], RoleSessionName="AWSCodeBuild")
        credentials = session["Credentials"]
        temporary = home / "tmp"
        temporary.mkdir()
        return {
            **project["environment"],
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "AWS_REGION": os.environ["AWS_DEFAULT_REGION"],
            "AWS_DEFAULT_REGION": os.environ["AWS_DEFAULT_REGION"],
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
            "CODEBUILD_BUILD_ID": build.identifier,
            "CODEBUILD_BUILD_ARN": build.arn,
        }

    @staticmethod
    def _end(build: Build) -> None:
        """Send SIGTERM to the build's process group, and SIGKILL after 15 seconds."""
        process = build.process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _unknown(_: dict[str, Any]) -> dict[str, Any]:
    raise BuildRefused("InvalidInputException", "the local cloud does not support this operation")


def request_handler(builds: Builds, token: str) -> type[BaseHTTPRequestHandler]:
    """Return the handler class of a server for ``builds`` that accepts requests to ``/<token>`` only."""
    operations = {
        "StartBuild": builds.start,
        "BatchGetBuilds": builds.get,
        "StopBuild": builds.stop,
        "LocalDefineProject": builds.project,
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_POST(self) -> None:  # the name that http.server calls
            if not self._is_allowed():
                # The body is not read, so the connection cannot be used again.
                self.close_connection = True
                self._answer(403, {"__type": "AccessDeniedException", "message": "wrong token or host name"})
                return
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
                self.close_connection = True
                self._answer(413, {"__type": "InvalidInputException", "message": f"at most {_MAX_BODY_BYTES} bytes"})
                return
            body = self.rfile.read(int(length))
            operation = operations.get(self.headers.get("X-Amz-Target", "").removeprefix(_TARGET_PREFIX), _unknown)
            try:
                self._answer(200, operation(json.loads(body)))
            except BuildRefused as refused:
                self._answer(400, {"__type": refused.kind, "message": str(refused)})
            except (KeyError, TypeError, ValueError) as error:
                self._answer(400, {"__type": "InvalidInputException", "message": repr(error)})

        def _is_allowed(self) -> bool:
            port: int = self.server.server_address[1]  # type: ignore[index,assignment]
            return is_own_host(self.headers.get("Host", ""), port) and is_token(self.path.strip("/"), token)

        def _answer(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Write nothing: the log is for errors."""

    return Handler


def main() -> None:
    """Serve on the listening socket with the descriptor in the first argument; the second is the working folder."""
    token = os.environ.pop(TOKEN_VARIABLE)
    listening = socket.socket(fileno=int(sys.argv[1]))
    server = ThreadingHTTPServer(
        listening.getsockname(), request_handler(Builds(Path(sys.argv[2])), token), bind_and_activate=False
    )
    server.socket.close()
    server.socket = listening
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
