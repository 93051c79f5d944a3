"""Job files: read, checked and sent."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import uuid
from typing import TYPE_CHECKING, Final

from iac_ci_cli.code import pack_code
from iac_ci_cli.errors import CommandFailed, ExitCode, interrupted
from iac_ci_cli.interruptible import read_at_most
from iac_ci_cli.sending import post
from iac_ci_cli.text import plain
from iac_ci_common import keys
from iac_ci_common.errors import InputProblems, Problem, StoredUnreadable
from iac_ci_common.grants import EVERYTHING
from iac_ci_common.job_validation.check import check_job, fill_code
from iac_ci_common.job_validation.json_body import parse_body
from iac_ci_common.job_validation.rules import Rules
from iac_ci_common.limits import MAX_BODY_BYTES
from iac_ci_common.models.answer import Accepted

if TYPE_CHECKING:
    from pathlib import Path

    from iac_ci_cli.connection import StackClient

_KEY: Final = re.compile(r"[A-Za-z0-9_.:=+/-]{1,200}")
"""What the webhook endpoint takes as an Idempotency-Key."""

_MOST: Final = MAX_BODY_BYTES + 1

PACKED: Final = "s3://packed/code.zip"
"""Stands for the location of a folder that is not uploaded yet."""


def is_standard_input(path: Path) -> bool:
    """Return whether a path is ``-``, which stands for standard input."""
    return str(path) == "-"


def read_from(path: Path) -> str:
    """Return where a job or a configuration is read, in words."""
    return "standard input" if is_standard_input(path) else plain(str(path))


def filled_in(folder: Path, fields: list[str]) -> str:
    """Return which ``fields`` of a job a folder with code fills in, in words."""
    named = plain(str(folder))
    if not fields:
        return f"{named} is not sent: every order names its own code"
    listed = ", ".join(fields[:5]) + (f" and {len(fields) - 5} more" if len(fields) > 5 else "")
    return f"Filled in when it is sent: {listed}, from the folder {named}"


def read_file(path: Path) -> bytes:
    """Read a job as it will be sent: ``job.json`` of a folder, the file itself, or standard input for ``-``.

    At most one byte more than the webhook endpoint takes is read, so that a device does not fill the memory. Raises
    ``CommandFailed`` where it cannot be read.
    """
    if is_standard_input(path):
        if sys.stdin is None:
            raise CommandFailed("standard input is closed", exit_code=ExitCode.BAD_INPUT)
        try:
            return read_at_most(sys.stdin.buffer, _MOST)
        except OSError as error:
            raise unreadable("standard input", error) from error
    try:
        file = path / "job.json" if path.is_dir() else path
    except (OSError, ValueError) as error:
        raise unreadable(str(path), error) from error
    return read_in_folder(file)


def read_job(path: Path) -> bytes:
    """Read a job as ``read_file`` does; where there is a repository's configuration instead, the hint says what to do.

    Raises ``CommandFailed``.
    """
    from iac_ci_triggers.configuration import FILE_NAME

    if path.name == FILE_NAME:
        message = f"{path} is a repository's configuration and not a job: pull requests start its jobs"
        raise CommandFailed(
            message, exit_code=ExitCode.BAD_INPUT, hint=f"Check it with: iac-ci validate {shlex.quote(str(path))}"
        )
    try:
        return read_file(path)
    except CommandFailed as error:
        # No exception for any path: what cannot be read has no hint.
        if os.path.exists(path / "base" / FILE_NAME):  # noqa: PTH110
            error.hint = f"It holds a pull request. Run it with: iac-ci local pr {shlex.quote(str(path))}"
        raise


def read_in_folder(file: Path) -> bytes:
    """Read a file as ``read_file`` does; a folder of that name cannot be read."""
    try:
        with file.open("rb") as opened:
            return read_at_most(opened, _MOST)
    except (OSError, ValueError) as error:
        raise unreadable(str(file), error) from error


def unreadable(name: str, error: OSError | ValueError) -> CommandFailed:
    """Return the error for a file that cannot be read, with the operating system's reason."""
    reason = error.strerror if isinstance(error, OSError) else "this is not a valid path"
    return CommandFailed(f"{name} cannot be read: {reason}", exit_code=ExitCode.BAD_INPUT)


def code_folder(job: Path, code: Path | None) -> Path | None:
    """Return the folder that is sent as the code of orders that name none: ``code``, else ``code/`` in a job's folder.

    Raises ``CommandFailed`` where ``code`` is not a folder.
    """
    try:
        if code is not None:
            if not code.is_dir():
                raise CommandFailed(f"{code} is not a folder", exit_code=ExitCode.BAD_INPUT)
            return code
        return job / "code" if (job / "code").is_dir() else None
    except OSError as error:
        raise unreadable(str(code or job), error) from error


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
    return name_code(body, upload_code(folder, connection))


def upload_code(folder: Path, connection: StackClient) -> str:
    """Pack and upload a folder, unless the same tree is there, and return its location for ``s3_location``."""
    archive, digest = pack_code(folder)
    key = keys.code(digest)
    if not connection.internal.exists(key):
        connection.internal.put(key, archive, content_type="application/zip")
    return f"s3://{connection.names.internal_bucket}/{key}"


def name_code(body: bytes, location: str) -> bytes:
    """Set ``s3_location`` in every order that names no code; raise ``InputProblems`` where the body is ambiguous.

    An ambiguous body (a field twice, NaN) would lose its fault on the way; whatever else is wrong stays in it, for the
    webhook endpoint to refuse. A body in which every order has code is returned as it is.
    """
    content, ambiguous = parse_body(body)
    if ambiguous:
        check_job(body, Rules(grant=EVERYTHING), code=location)
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


def check_idempotency_key(key: str | None) -> str:
    """Return a key that the webhook endpoint takes: ``key``, or a new one.

    Every job is sent with one, so that it can be sent again after a lost answer. Raises ``CommandFailed``.
    """
    if key is None:
        return f"cli-{uuid.uuid4()}"
    if not _KEY.fullmatch(key):
        message = "--idempotency-key has 1 to 200 letters, digits or _.:=+/-"
        raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT)
    return key


def submit(connection: StackClient, body: bytes, *, idempotency_key: str | None = None) -> Accepted:
    """Sign and send a job. Raises ``InputProblems`` where the endpoint names problems, else ``CommandFailed``."""
    key = check_idempotency_key(idempotency_key)
    again = f"Send it again with `--idempotency-key {key}`: if it was accepted, no second run starts."
    with interrupted("the job was being sent and may have been accepted.", hint=again):
        secret = connection.webhook_secret()
        status, data = post(connection.names.webhook_url, secret, body, key=key, again=again)
    return accepted_answer(status, data, again)


def accepted_answer(status: int, data: bytes, again: str) -> Accepted:
    """Return the run of an answer of the engine; raise ``InputProblems`` or ``CommandFailed`` for a refusal."""
    if status == 202:
        try:
            return Accepted.from_stored(data)
        except StoredUnreadable as error:
            raise CommandFailed("the answer is not iac-ci's", hint=again) from error
    raise _refused(status, data)


def _refused(status: int, data: bytes) -> Exception:
    try:
        payload = json.loads(data)
        problems = [Problem(entry["where"], entry["what"]) for entry in payload.get("problems", [])]
        message = str(payload.get("error", payload.get("message", "no reason given")))
    except (ValueError, KeyError, TypeError, AttributeError):
        problems, message = [], "the answer is not iac-ci's"
    if problems:
        return InputProblems(problems)
    code = ExitCode.BAD_INPUT if status in {400, 409, 413} else ExitCode.UNREACHABLE
    return CommandFailed(f"the job was refused (HTTP {status}): {message}", exit_code=code)
