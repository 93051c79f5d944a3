"""Functions for tests that use a local cloud."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from iac_ci_common import keys
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.order_logs import read_log
from iac_ci_common.signature import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from iac_ci_common.ports import RunRows
    from iac_ci_local.cloud import LocalCloud


HANGS_SECONDS: Final = 900.0
"""A condition that takes longer never comes, even on a busy machine."""

_SHORTEST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5

_SHOWN: Final = 4000
"""Most characters of what was seen last in a message."""


def wait_until(
    condition: Callable[[], object],
    *,
    seconds: float = HANGS_SECONDS,
    subject: str = "the condition",
    seen: Callable[[], object] | None = None,
) -> None:
    """Wait until ``condition`` holds; raise ``AssertionError`` about ``subject`` after ``seconds``.

    The message has what the condition returned last, or what ``seen`` returns then. The pauses grow with the time: a
    condition usually asks the local cloud, which needs the processor itself.
    """
    begun = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - begun
        if waited > seconds:
            last = repr(found if seen is None else seen())
            raise AssertionError(f"{subject} did not happen within {seconds} s; seen last: {last[-_SHOWN:]}")
        time.sleep(min(max(_SHORTEST_PAUSE, waited / 20), _LONGEST_PAUSE))


def wait_for_text(text: str, read: Callable[[], Iterable[str]]) -> None:
    """Wait until one of the texts that ``read`` returns contains ``text``; raise ``AssertionError`` with them all."""
    wait_until(lambda: any(text in one for one in read()), subject=repr(text), seen=lambda: list(read()))


def processes_of(folder: Path) -> set[int]:
    """Return the ids of processes whose environment or arguments contain a cloud's folder (Linux)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                texts = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:  # the process has ended meanwhile
                continue
            if str(folder).encode() in texts:
                found.add(int(entry.name))
    return found


@contextlib.contextmanager
def folder_of_commands() -> Iterator[Path]:
    """Make a folder in which every user may write, and remove it at the end.

    Commands of builds have another user where the cloud is root, and pytest's own folders are closed to others.
    """
    with tempfile.TemporaryDirectory(prefix="iac-ci-tests-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def zipped(text: str) -> bytes:
    """Return a Lambda package with one module ``stub``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("stub.py", text)
    return buffer.getvalue()


class Answered(NamedTuple):
    """The webhook's answer."""

    status: int
    body: dict[str, Any]


def post(cloud: LocalCloud, body: bytes, *, headers: Mapping[str, str] | None = None) -> Answered:
    """Send a body to the webhook and return the answer; sign it unless ``headers`` are given."""
    signed = {"X-IaC-CI-Signature": sign(cloud.stack.webhook_secret, body, datetime.now(UTC))}
    request = urllib.request.Request(  # noqa: S310 - our own loopback
        cloud.stack.webhook_url,
        data=body,
        headers={"Content-Type": "application/json", **(signed if headers is None else headers)},
    )
    try:
        with urllib.request.urlopen(request, timeout=HANGS_SECONDS) as answer:  # noqa: S310 - our own loopback
            return Answered(answer.status, json.loads(answer.read()))
    except urllib.error.HTTPError as refused:
        return Answered(refused.code, json.loads(refused.read()))


def submit(cloud: LocalCloud, job: Mapping[str, Any]) -> str:
    """Submit a job through the webhook and return its run id; raise ``AssertionError`` if it is refused."""
    answer = post(cloud, json.dumps(job).encode())
    if answer.status != 202:
        raise AssertionError(f"the job was refused with {answer.status}: {answer.body}")
    run_id: str = answer.body["run_id"]
    return run_id


def runs(cloud: LocalCloud) -> DynamoRuns:
    """Return the ports to the tables of runs and events, as root."""
    names = cloud.stack.names
    return DynamoRuns(cloud.aws.client("dynamodb"), names.resource("orders"), names.resource("order-events"))


def wait_for_end(cloud: LocalCloud, run_id: str, *, seconds: float = HANGS_SECONDS) -> RunRows:
    """Wait until a run has ended and its last step is done; return its rows.

    The done marker, the statuses, the last comment and the announcement are written by then, and packages are removed.
    """
    table = runs(cloud)
    locks = DynamoLocks(cloud.aws.client("dynamodb"), cloud.stack.names.resource("locks"))

    def completed() -> bool:
        lock = locks.read(run_id)
        return lock is not None and lock.completed

    try:
        wait_until(completed, seconds=seconds, subject=f"the end of run {run_id}", seen=lambda: locks.read(run_id))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{table.read(run_id)}\n{cloud.aws.log_tail()}") from None
    return table.read(run_id)


def done_marker(cloud: LocalCloud, run_id: str) -> DoneMarker | None:
    """Return a run's done marker; None before it exists."""
    s3 = cloud.aws.client("s3")
    try:
        answer = s3.get_object(Bucket=cloud.stack.names.bucket("done"), Key=keys.done(run_id))
    except s3.exceptions.NoSuchKey:
        return None
    return DoneMarker.model_validate_json(answer["Body"].read())


def log_of(cloud: LocalCloud, run_id: str, order_num: str = "0001", attempt: int = 1) -> str:
    """Return what is stored of the log of an order's attempt, empty if nothing is."""
    objects = S3Objects(cloud.aws.client("s3"), cloud.stack.names.bucket("internal"))
    log = read_log(objects, run_id, order_num, attempt)
    return log.text if log is not None else ""


def processes_of_function(cloud: LocalCloud, name: str) -> Iterator[int]:
    """Yield the processes in which MiniStack runs a function: its commands work in other folders (Linux)."""
    folder = str(cloud.aws.folder / "tmp" / f"ministack-lambda-{cloud.stack.names.resource(name)}-")
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            if entry.name.isdigit() and str((entry / "cwd").readlink()).startswith(folder):
                yield int(entry.name)


def kill_function(cloud: LocalCloud, name: str) -> int:
    """Kill every process of a function, as a crash of its sandbox would; return their number (Linux)."""
    killed = 0
    for pid in processes_of_function(cloud, name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed
