"""Objects that only orders of the same scope can open: sealed for an age recipient that the broker made."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError, PackageUnsafe
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.sealed_format import open_sealed, seal_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.models.trade import Recipient, TakenObject
    from iac_ci_worker.presigned import PresignedObjects


def seal(plain: Path, sealed: Path, recipient: Recipient, order_name: str) -> Sealed:
    """Seal a file for a recipient into the file ``sealed``, and return its description."""
    seal_file(plain, sealed, recipient, order_name=order_name)
    return Sealed(sha256=sha256_of(sealed), size=sealed.stat().st_size, identity=recipient.identity)


def fetch(taken: TakenObject, objects: PresignedObjects, sealed: Path, plain: Path, name: str) -> None:
    """Fetch a sealed object into ``sealed`` and open it into ``plain``; both are private files.

    Raises ``PackageUnsafe`` for another digest than that of the row, and for an object that the identity does not open.
    """
    objects.fetch(taken.url, sealed)
    found = sha256_of(sealed)
    if found != taken.sha256:
        raise PackageUnsafe(f"{name} are not those that the order handed on: their SHA-256 is {found}")
    try:
        open_sealed(sealed, plain, taken.identity)
    except IacCiError as error:
        raise PackageUnsafe(f"{name} cannot be opened: they were sealed for another source, pull request or run") from (
            error
        )
    sealed.unlink()


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def private_folder(purpose: str) -> Iterator[Path]:
    """Make a folder that only this user can read, outside of the commands' folders, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix=f"iac-ci-{purpose}-") as folder:
        yield Path(folder)
