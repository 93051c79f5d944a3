"""Job files: read, checked and sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from iac_ci_cli.code import pack_code
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_common import keys
from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.job_validation.parser import read_job
from iac_ci_common.job_validation.rules import Rules, problems
from iac_ci_common.models.answer import Accepted
from iac_ci_common.signature import HEADER, sign

if TYPE_CHECKING:
    from pathlib import Path

    from iac_ci_cli.connection import StackClient

_ANSWER_SECONDS = 35


def read_file(path: Path) -> bytes:
    """Read a job file as it will be sent: ``job.json`` of a folder, or the file itself."""
    file = path / "job.json" if path.is_dir() else path
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}", exit_code=ExitCode.BAD_INPUT) from error


def check(body: bytes, *, local: bool = False) -> None:
    """Check a job as the door does, as far as that needs no stack; raise ``InputProblems``."""
    found = problems(read_job(body), Rules(allow_file_repositories=local))
    if found:
        raise InputProblems(found)


def with_code(body: bytes, folder: Path, connection: StackClient) -> bytes:
    """Upload a folder and name it as the code of every order that has none of its own.

    The archive's name is its content's digest, so the same tree is uploaded once.
    """
    archive, digest = pack_code(folder)
    key = keys.code(digest)
    if not connection.internal.exists(key):
        connection.internal.put(key, archive, content_type="application/zip")
    return name_code(body, f"s3://{connection.names.internal_bucket}/{key}")


def name_code(body: bytes, location: str) -> bytes:
    """Set ``s3_location`` in every order that names no code."""
    try:
        job: Any = json.loads(body)
        orders = [order for order in job["orders"] if isinstance(order, dict)]
    except (ValueError, KeyError, TypeError) as error:
        raise InputProblems([Problem("body", "is not a job")]) from error
    if "git_repo" in job:
        return body
    for order in orders:
        if "git_repo" not in order:
            order.setdefault("s3_location", location)
    return json.dumps(job).encode()


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
        return Accepted.model_validate_json(answer.data)
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
