"""Lets a version's functions work on a cloud until nothing is left to do."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from upgrade.cloud import REGION, Cloud

ROOT = Path(__file__).resolve().parents[2]
RETRIES = {"init": (60, 120), "orchestrator": (60, 120), "watchdog": (60, 120), "worker": ()}
"""Waits before Lambda calls a function again whose asynchronous call failed."""

MAX_STEPS = 120
"""A run of a few orders is long over by then: more would be a circle."""

CURRENT = tuple(sorted(str(path) for path in ROOT.glob("packages/*/src")))


class _Process:
    """A process that answers one call after another."""

    def __init__(self, begin: Callable[[], subprocess.Popen[str]], cloud: Cloud) -> None:
        self._begin, self._cloud = begin, cloud
        self._process: subprocess.Popen[str] | None = None

    def stop(self) -> None:
        """End the process as Lambda does: at once."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def call(self, function: str, event: Any) -> dict[str, Any]:
        process = self._process = self._process or self._begin()
        assert process.stdin is not None
        assert process.stdout is not None
        call = {"function": function, "event": event, "now": self._cloud.now.isoformat()}
        process.stdin.write(json.dumps(call) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            process.wait()
            self._process = None
            return {"error": "the process died"}
        answer: dict[str, Any] = json.loads(line)
        return answer


class Version:
    """The functions of one version in a process of their own."""

    def __init__(self, cloud: Cloud, folder: Path, sources: tuple[str, ...] = CURRENT) -> None:
        self._cloud, self._folder, self._sources = cloud, folder, sources
        self.starts = folder / "starts"
        self.starts.touch()
        self._calling = _Process(self._begin, cloud)
        self._answering = _Process(self._begin, cloud)

    def _begin(self) -> subprocess.Popen[str]:
        with (self._folder / "log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("functions.py"))],
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _environment(self) -> dict[str, str]:
        host = {"git.example": {"kind": "github", "api_url": f"{self._cloud.url}/code-host"}}
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "PYTHONPATH": os.pathsep.join(self._sources),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ENDPOINT_URL": self._cloud.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "IAC_CI_STACK": "acme",
            "IAC_CI_LOG_LEVEL": "WARNING",
            "IAC_CI_INTERNAL_BUCKET": "internal",
            "IAC_CI_DONE_BUCKET": "done",
            "IAC_CI_ORDERS_TABLE": "orders",
            "IAC_CI_EVENTS_TABLE": "events",
            "IAC_CI_LOCKS_TABLE": "locks",
            "IAC_CI_KMS_KEY_ARN": self._cloud.key_arn,
            "IAC_CI_WATCHDOG_ARN": f"arn:aws:states:{REGION}:123456789012:stateMachine:acme-watchdog",
            "IAC_CI_INIT_FUNCTION": "init",
            "IAC_CI_WORKER_FUNCTION": "worker",
            "IAC_CI_WORKER_PROJECT": "worker",
            "IAC_CI_BROKER_FUNCTION": "broker",
            "IAC_CI_WEBHOOK_SECRETS": '["ssm:/iac-ci/acme/webhook-secret"]',
            "IAC_CI_SECRET_ALLOW_LIST": '{"*": ["*"]}',
            "IAC_CI_CODE_HOSTS": json.dumps(host),
            "IAC_CI_COMMAND_ENVIRONMENT": json.dumps({"STARTS": str(self.starts)}),
        }

    @contextmanager
    def running(self) -> Iterator[Version]:
        """Begin with no process; functions that wait for another function's answer get it from a second process."""
        self._cloud.call_now = self._answering.call
        try:
            yield self
        finally:
            self._calling.stop()
            self._answering.stop()

    def stop_from_outside(self) -> None:
        """Kill the process in the middle of a call, whose caller then sees that it died."""
        self._calling.kill()

    def call(self, function: str, event: Any) -> dict[str, Any]:
        """Call a function; give its answer or its error. A process that died is an error, and the next is a new one."""
        return self._calling.call(function, event)

    def log(self) -> str:
        path = self._folder / "log"
        return path.read_text("utf-8") if path.exists() else ""


WORKER_ARN = "arn:aws:lambda:us-east-1:000000000000:function:iac-ci-worker:$LATEST"


class Player:
    """Does what is under way in a cloud, in its order."""

    def __init__(self, cloud: Cloud, version: Version) -> None:
        self.cloud, self.version = cloud, version
        self.errors: list[str] = []

    def step(self, until: timedelta = timedelta(hours=2)) -> dict[str, Any] | None:
        """Do the next thing; None if there is none."""
        due = self.cloud.next_due(self.cloud.now + until)
        if due is None:
            return None
        getattr(self, f"_{due['kind']}")(due)
        return due

    def play(self) -> None:
        """Go on until nothing is under way."""
        for _ in range(MAX_STEPS):
            if self.step() is None:
                return
        raise AssertionError(f"it goes on for ever: {self.errors[-3:]} {self.version.log()[-3000:]}")

    def _call(self, due: dict[str, Any]) -> None:
        if "requestPayload" in due["event"]:
            self._complete(due["event"])
        said = self.version.call(due["function"], due["event"])
        if "error" not in said:
            return
        self.errors.append(f"{due['function']}: {said['error']}")
        waits = RETRIES[due["function"]]
        if due["tries"] < len(waits):
            self.cloud.after(
                waits[due["tries"]], "call", function=due["function"], event=due["event"], tries=due["tries"] + 1
            )
        elif due["function"] in {"worker", "init"}:
            record = failure_record(due["event"], said["error"], said.get("request"))
            self.cloud.after(1, "call", function="watchdog", event=record, tries=0)

    def _complete(self, record: dict[str, Any]) -> None:
        """Add what Lambda sends and the first recordings left out: the function, and the claimant's request."""
        from botocore.exceptions import ClientError

        order, context = record["requestPayload"], record["requestContext"]
        context.setdefault("functionArn", WORKER_ARN)
        if "requestId" not in context and "order_num" in order:
            key = f"tmp/callbacks/runs/{order['run_id']}/{order['order_num']}/claim.json"
            try:
                claim = json.loads(self.cloud.client("s3").get_object(Bucket="internal", Key=key)["Body"].read())
            except ClientError:
                return
            context["requestId"] = claim["execution"].split(":")[1]

    def _poll(self, due: dict[str, Any]) -> None:
        watched = self.cloud.executions[due["name"]]
        assert watched is not None
        # What the state machine passes on: terraform/deploy/stack/watchdog.asl.json, "Parameters".
        given = {"run_id": watched["run_id"], "order_num": watched["order_num"], "state": watched}
        said = self.version.call("watchdog", given)
        if said.get("answer", {}).get("ended"):
            self.cloud.executions[due["name"]] = None
            return
        if "answer" in said:
            self.cloud.executions[due["name"]] = watched | {"answer": said["answer"]}
        self.cloud.after(60, "poll", name=due["name"])

    def _build(self, due: dict[str, Any]) -> None:
        variables = due.get("variables")
        if variables is None:
            variables = {"IAC_CI_WORK": base64.b64encode(due["work"].encode()).decode()}
        said = self.version.call("build", {"build_id": due["build_id"], "variables": variables})
        self.cloud.builds[due["build_id"]] = "FAILED" if "error" in said else "SUCCEEDED"

    def _put(self, due: dict[str, Any]) -> None:
        """Let a worker's result arrive, created once as its URL demands."""
        from botocore.exceptions import ClientError

        body = base64.b64decode(due["body"])
        try:
            self.cloud.client("s3").put_object(Bucket="internal", Key=due["key"], Body=body, IfNoneMatch="*")
        except ClientError as error:
            self.errors.append(f"a late result was refused: {error}")


def failure_record(event: dict[str, Any], error: str, request: str | None = None) -> dict[str, Any]:
    """What Lambda sends when an asynchronous call failed for good."""
    return {
        "requestContext": {
            **({"requestId": request} if request is not None else {}),
            "functionArn": WORKER_ARN,
            "condition": "RetriesExhausted",
        },
        "requestPayload": event,
        "responsePayload": {"errorMessage": error},
    }
