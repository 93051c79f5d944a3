"""The format of a sealed object: one line of JSON with its encrypted identity, then what age encrypted.

The line holds nothing secret. Who has the right to decrypt under the stack's KMS key can open the object with it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from pydantic import Field

from iac_ci_common.errors import PackageUnsafe
from iac_ci_common.models.base import Name, StoredShape
from iac_ci_common.models.sealed import EncryptedIdentity

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from iac_ci_common.models.trade import Recipient

_MAX_HEADER_BYTES: Final = 16 * 1024
_SYSTEM_ERROR: Final = re.compile(r"OSError: \[Errno ([0-9]+)\]")
"""What pyrage keeps of an error of the file that it writes: its text."""


class SealedHeader(StoredShape):
    """What the first line of a sealed object says."""

    identity: EncryptedIdentity
    context: dict[str, str] = Field(description="The encryption context of the identity.")
    order_name: Name | None = None


def seal_file(plain: Path, sealed: Path, recipient: Recipient, *, order_name: str | None = None) -> None:
    """Seal a file for a recipient into the file ``sealed``; raise ``OSError`` if it cannot be written."""
    import pyrage

    header = SealedHeader(identity=recipient.identity, context=recipient.context, order_name=order_name)
    with plain.open("rb") as source, sealed.open("xb") as sink:
        sink.write(header.model_dump_json().encode() + b"\n")
        try:
            pyrage.encrypt_io(source, sink, [pyrage.x25519.Recipient.from_str(recipient.recipient)])
        except pyrage.EncryptError as error:
            found = _SYSTEM_ERROR.search(str(error))
            if found is None:
                raise
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def read_header(sealed: BinaryIO) -> SealedHeader:
    """Read the header at the beginning of a sealed object; raise ``PackageUnsafe`` for anything else."""
    line = sealed.readline(_MAX_HEADER_BYTES)
    if not line.endswith(b"\n"):
        raise PackageUnsafe("the object is not sealed")
    return SealedHeader.from_stored(line)


def open_sealed(sealed: Path, plain: Path, identity: str) -> None:
    """Open a sealed object into the new private file ``plain``.

    Raises ``PackageUnsafe`` if the identity does not open it, and ``StoredUnreadable``.
    """
    import pyrage

    with sealed.open("rb") as source:
        read_header(source)
        plain.touch(mode=0o600, exist_ok=False)
        try:
            with plain.open("wb") as sink:
                pyrage.decrypt_io(source, sink, [pyrage.x25519.Identity.from_str(identity)])
        except (pyrage.DecryptError, pyrage.IdentityError, ValueError) as error:
            raise PackageUnsafe("the object was sealed for another source, pull request or run") from error
