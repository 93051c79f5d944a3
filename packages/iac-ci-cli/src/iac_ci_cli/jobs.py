"""Job files: read, checked and sent."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from iac_ci_cli.code import pack_code
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_common import keys
from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.job_validation.check import check_job, fill_code
from iac_ci_common.job_validation.json_body import parse_body
from iac_ci_common.job_validation.rules import Rules
from iac_ci_common.limits import MAX_BODY_BYTES
from iac_ci_common.models.answer import Accepted
from iac_ci_common.signature import HEADER, sign

if TYPE_CHECKING:
    from pathlib import Path

    from iac_ci_cli.connection import StackClient

_ANSWER_SECONDS = 35

PACKED: Final = "s3://packed/code.zip"
"""Stands for the location of a folder that is not uploaded yet."""


def is_standard_input(path: Path) -> bool:
    """Return whether a path is ``-``, which stands for standard input."""
    return str(path) == "-"


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; False where that cannot be seen, so that opening it says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read_file(path: Path) -> bytes:
    """Read a job as it will be sent: ``job.json`` of a folder, the file itself, or standard input for ``-``.

    At most one byte more than the webhook endpoint takes is read, so that a device does not fill the memory. Raises
    ``CommandFailed`` where it cannot be read.
    """
    most = MAX_BODY_BYTES + 1
    if is_standard_input(path):
        if sys.stdin is None:
            raise CommandFailed("standard input is closed", exit_code=ExitCode.BAD_INPUT)
        return sys.stdin.buffer.read(most)
    file = path / "job.json" if is_folder(path) else path
    try:
        with file.open("rb") as opened:
            return opened.read(most)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}", exit_code=ExitCode.BAD_INPUT) from error


def code_folder(job: Path, code: Path | None) -> Path | None:
    """Return the folder that is sent as the code of orders that name none: ``code``, else ``code/`` in a job's folder.

    Raises ``CommandFailed`` where ``code`` is not a folder.
    """
    if code is not None:
        if not is_folder(code):
            raise CommandFailed(f"{code} is not a folder", exit_code=ExitCode.BAD_INPUT)
        return code
    return job / "code" if is_folder(job / "code") else None


def check(body: bytes, rules: Rules, *, code: str | None = None) -> None:
    """Check a job as the webhook endpoint does; raise ``InputProblems``.

    ``code`` is the location that orders without code will get.
    """
    if len(body) > MAX_BODY_BYTES:
        raise InputProblems([Problem("body", f"has more than the allowed {MAX_BODY_BYTES} bytes")])
    check_job(body, rules, code=code)


def with_code(body: bytes, folder: Path, connection: StackClient) -> bytes:
    """Upload a folder and name it as the code of every order that has none of its own.

    The archive's name is its content's digest, so the same tree is uploaded once. Raises ``InputProblems`` where the
    body is no JSON object that means one thing only.
    """
    if name_code(body, PACKED) is body:
        return body
    archive, digest = pack_code(folder)
    key = keys.code(digest)
    if not connection.internal.exists(key):
        connection.internal.put(key, archive, content_type="application/zip")
    return name_code(body, f"s3://{connection.names.internal_bucket}/{key}")


def name_code(body: bytes, location: str) -> bytes:
    """Set ``s3_location`` in every order that names no code; raise ``InputProblems`` where the body is ambiguous.

    An ambiguous body (a field twice, NaN) would lose its fault on the way; whatever else is wrong stays in it, for the
    webhook endpoint to refuse. A body in which every order has code is returned as it is.
    """
    content, ambiguous = parse_body(body)
    if ambiguous:
        check_job(body, Rules(), code=location)
    if not fill_code(content, location):
        return body
    # In UTF-8 as it came: escaped, a letter beyond ASCII takes up to three times its bytes, which the endpoint counts.
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def places_without_code(body: bytes) -> list[str]:
    """Return the fields that ``name_code`` fills in; none where the body cannot be read."""
    try:
        content, _ = parse_body(body)
    except InputProblems:
        return []
    return [f"orders[{index}].s3_location" for index in fill_code(content, PACKED)]


def submit(connection: StackClient, body: bytes, *, idempotency_key: str | None = None) -> Accepted:
    """Sign and send a job; raise ``InputProblems`` where the door names problems, else ``CommandFailed``."""
    import urllib3

    headers = {
        "Content-Type": "application/json",
        HEADER: sign(connection.webhook_secret(), body, datetime.now(UTC)),
    }
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    try:
        with urllib3.PoolManager(retries=False, timeout=_ANSWER_SECONDS) as pool:
            answer = pool.request("POST", connection.names.webhook_url, body=body, headers=headers)
    except urllib3.exceptions.HTTPError as error:
        raise CommandFailed(
            f"the webhook did not answer: {type(error).__name__}",
            hint="Send the job again with --idempotency-key, so that it cannot start twice.",
        ) from error
    if answer.status == 202:
        return Accepted.from_stored(answer.data)
    raise _refused(answer.status, answer.data)


def _refused(status: int, data: bytes) -> Exception:
    try:
        said = json.loads(data)
        found = [Problem(entry["where"], entry["what"]) for entry in said.get("problems", [])]
        message = str(said.get("error", said.get("message", "no reason given")))
    except (ValueError, KeyError, TypeError, AttributeError):
        found, message = [], "an answer that is not iac-ci's"
    if found:
        return InputProblems(found)
    code = ExitCode.BAD_INPUT if status in {400, 409, 413} else ExitCode.UNREACHABLE
    return CommandFailed(f"the job was refused (HTTP {status}): {message}", exit_code=code)
