"""Fetches files that orders saved or left, and opens them with the rights of the person who asks."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iac_ci_common import keys
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.packing import unpack
from iac_ci_common.sealed_format import SealedHeader, open_sealed, read_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_common.ports import Objects


@dataclass(frozen=True, slots=True)
class SealedObject:
    """A sealed object of a run, with the number of its order; ``kind`` is ``saved`` or ``kept``.

    That of a further attempt is ``2/saved``, ``2/kept``.
    """

    key: str
    order_num: str
    kind: str


@dataclass(frozen=True, slots=True)
class FetchedFiles:
    """Files that were unpacked into ``folder``; ``names`` are relative to it."""

    order: str
    kind: str
    folder: Path
    names: tuple[str, ...]


def sealed_objects(objects: Objects, run: str, order_num: str | None = None) -> list[SealedObject]:
    """Return what the orders of a run have in the bucket; the rows of the run need not exist any more."""
    found = []
    for key in objects.list(keys.files_of_run(run)):
        num, _, name = key.removeprefix(keys.files_of_run(run)).partition("/")
        if order_num in {None, num}:
            found.append(SealedObject(key, num, name.removesuffix(".age")))
    return found


def fetch(sealed: SealedObject, objects: Objects, kms: Callable[[], Any], folder: Path) -> FetchedFiles:
    """Fetch and open one object, and unpack its files below ``folder``.

    KMS decrypts the identity only for a caller with the right to, under the context that the object names. Raises
    errors of the ports, ``PackageUnsafe`` and ``OSError``.
    """
    with tempfile.TemporaryDirectory(prefix="iac-ci-files-") as private:
        encrypted, archive = Path(private, "sealed"), Path(private, "files.zip")
        encrypted.write_bytes(objects.get(sealed.key))
        with encrypted.open("rb") as file:
            header = read_header(file)
        open_sealed(encrypted, archive, _identity(header, kms))
        order = header.order_name or sealed.order_num
        target = folder / order / sealed.kind
        target.mkdir(parents=True, mode=0o700)
        unpack(archive, target)
    names = tuple(sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()))
    return FetchedFiles(order, sealed.kind, target, names)


def _identity(header: SealedHeader, kms: Callable[[], Any]) -> str:
    with aws_errors("decrypting the identity of the files"):
        answer = kms().decrypt(CiphertextBlob=base64.b64decode(header.identity), EncryptionContext=dict(header.context))
    plain: bytes = answer["Plaintext"]
    return plain.decode()
