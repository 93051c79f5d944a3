"""Verifies OpenPGP signatures with gpgv, which needs neither a home folder nor a list of trusted keys."""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from iac_ci_common.errors import PreparationFailed

_SECONDS: Final = 30
_ARMORED: Final = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n"
    rb"(?P<body>[A-Za-z0-9+/=\r\n]*)-----END PGP PUBLIC KEY BLOCK-----"
)


def verify(content: bytes, signature: bytes, key: bytes, fingerprint: str) -> None:
    """Verify a detached signature by the primary key with this fingerprint, or a subkey that it certified.

    ``key`` may hold other keys, which count for nothing: gpgv refuses a subkey that its primary key did not certify.
    Raises ``PreparationFailed`` with what is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="iac-ci-verify-") as folder:
        for name, part in (("keys", _binary(key)), ("content", content), ("signature", signature)):
            Path(folder, name).write_bytes(part)
        command = ["gpgv", "--homedir", folder, "--status-fd", "1", "--keyring", f"{folder}/keys"]
        try:
            done = subprocess.run(  # noqa: S603 - a list, of our own making
                [*command, f"{folder}/signature", f"{folder}/content"],
                check=False,
                capture_output=True,
                timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise PreparationFailed("signatures cannot be verified: install gpgv (Debian's package gpgv)") from error
    status = [line.split() for line in done.stdout.decode("utf-8", "replace").splitlines()]
    # The last word is the fingerprint of the primary key (GnuPG, doc/DETAILS, "VALIDSIG").
    valid = [words for words in status if words[:2] == ["[GNUPG:]", "VALIDSIG"]]
    if done.returncode != 0 or not valid:
        reason = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[-1]
        raise PreparationFailed(f"the signature of the checksums is not valid ({reason[:200]})")
    if any(words[-1] != fingerprint for words in valid):
        raise PreparationFailed(f"the checksums are signed by another key than {fingerprint}")


def _binary(key: bytes) -> bytes:
    """Return keys without their ASCII armor (RFC 9580, section 6)."""
    blocks = [match["body"] for match in _ARMORED.finditer(key)]
    if not blocks:
        return key
    try:
        return b"".join(base64.b64decode(re.sub(rb"(?m)^=[A-Za-z0-9+/]{4}\r?$", b"", block)) for block in blocks)
    except binascii.Error as error:
        raise PreparationFailed("the publisher's key cannot be read") from error
