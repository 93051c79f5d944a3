"""Sealing by the real ``sops`` binary. Plain values pass through pipes only: never an argument, never a file."""

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
"""The one field of a sealed file. All values travel inside it as one text: SOPS leaves fields whose names end in
``_unencrypted`` as they are and claims the name ``sops`` for itself, so names that others chose may not be fields."""

_PASSING = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|InternalException|KeyUnavailable|DependencyTimeout"
    r"|StatusCode: (429|5[0-9][0-9])|connection (refused|reset)|i/o timeout|deadline exceeded",
    re.IGNORECASE,
)
"""What SOPS says when KMS or the way to it failed, not the request."""

_PASSED_ON: Final = (
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
        """Name the KMS key to seal under; opening needs none, the sealed file names its own."""
        self._kms_key_arn = kms_key_arn

    def seal(self, values: Mapping[str, str], *, run_id: str, age_recipient: str | None = None) -> bytes:
        """Seal values; the run becomes the encryption context, so that KMS opens them for nobody else's."""
        if age_recipient is not None:
            keys = ["--age", age_recipient]
        elif self._kms_key_arn:
            keys = ["--kms", self._kms_key_arn, "--encryption-context", f"{CONTEXT_KEY}:{run_id}"]
        else:
            raise SealingFailed("there is no key to seal with", run_id=run_id)
        plain = json.dumps({_FIELD: json.dumps(dict(values))}).encode()
        return _sops(
            ["encrypt", *keys, "--input-type", "json", "--output-type", "json", "--filename-override", "secrets.json"],
            plain,
            {},
            run_id,
        )

    def unseal(self, sealed: bytes, *, run_id: str, age_identity: str | None = None) -> dict[str, str]:
        """Open a sealed file in memory; one that was sealed for another run is refused."""
        identity = {"SOPS_AGE_KEY": age_identity} if age_identity is not None else {}
        if age_identity is None:
            _check_context(sealed, run_id)
        opened = _sops(["decrypt", "--input-type", "json", "--output-type", "json"], sealed, identity, run_id)
        try:
            values: dict[str, str] = json.loads(json.loads(opened)[_FIELD])
        except (ValueError, KeyError, TypeError) as error:
            raise SealingFailed("the sealed file does not hold what was sealed", run_id=run_id) from error
        return values


def age_recipient(identity: str) -> str:
    """Derive the recipient of an age identity; raise ``SealingFailed`` if it is none."""
    import pyrage

    lines = [line.strip() for line in identity.splitlines() if line.strip() and not line.startswith("#")]
    try:
        return str(pyrage.x25519.Identity.from_str(lines[0]).to_public())
    except (IndexError, pyrage.IdentityError) as error:
        raise SealingFailed("the sops_key is not an age identity (AGE-SECRET-KEY-1…)") from error


def _check_context(sealed: bytes, run_id: str) -> None:
    """Refuse a file of another run before KMS is asked: the context is what binds it."""
    try:
        contexts = [key.get("context") for key in json.loads(sealed)["sops"]["kms"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SealingFailed("this is not a file sealed under KMS", run_id=run_id) from error
    if not contexts or any(context != {CONTEXT_KEY: run_id} for context in contexts):
        raise SealingFailed("this was sealed for another run", run_id=run_id)


@cache
def _binary() -> str:
    """Find the binary that came with the package; only then one on PATH."""
    beside = Path(sys.executable).with_name("sops")
    found = str(beside) if beside.is_file() else shutil.which("sops")
    if found is None:
        raise SealingFailed("the sops binary is not installed")
    return found


def _sops(arguments: list[str], given: bytes, extra: Mapping[str, str], run_id: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="iac-ci-sops-") as home:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= {"HOME": home, "PATH": os.defpath, **extra}
        try:
            done = subprocess.run(  # noqa: S603 - a list, of our own making
                [_binary(), "--disable-version-check", *arguments, "/dev/stdin"],
                input=given,
                capture_output=True,
                env=environment,
                cwd=home,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            # The exception's text may show what was given; only its kind is told.
            raise SealingFailed(
                f"sops {arguments[0]}: {type(error).__name__}",
                run_id=run_id,
                retry_is_safe=isinstance(error, subprocess.TimeoutExpired),
            ) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")
        raise SealingFailed(
            f"sops {arguments[0]} failed: {_last_line(said)}",
            run_id=run_id,
            retry_is_safe=_PASSING.search(said) is not None,
        )
    return done.stdout


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[-1] if lines else "no reason given"
    # What failed stands at the beginning, why at the end.
    return line if len(line) <= 400 else f"{line[:100]} … {line[-300:]}"
