"""Reads a saved plan's workspace and mode from the bytes of its file, which commands wrote and may have made up."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MEMBER: Final = "tfplan"
_BACKEND, _WORKSPACE, _MODE = 13, 3, 17
"""Fields of the messages ``Plan`` and ``Backend`` (Terraform and OpenTofu,
`internal/plans/planproto/planfile.proto`)."""

_DESTROY: Final = 1
"""The mode of a plan made with `-destroy` (the same file, `Mode`)."""

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""Types of the wire (Protocol Buffers, "Encoding")."""

_END: Final = struct.Struct("<4s4H2LH")
"""The end of a zip archive's directory: signature, disks, entries, size, offset, comment (APPNOTE.TXT 4.3.16)."""

_MOST_DIRECTORY_BYTES: Final = 16 * 1024 * 1024
_MOST_PLAN_BYTES: Final = 512 * 1024 * 1024
_MOST_FIELDS: Final = 1_000_000
_MOST_BACKEND_BYTES: Final = 1024 * 1024
_CHUNK: Final = 1024 * 1024

_NOT_A_PLAN: Final = "the file is not a saved plan"


def is_below(name: str) -> bool:
    """Return whether the name of a plan's file leads to a file below the folder to which it is relative."""
    path = PurePosixPath(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


@dataclass(frozen=True, slots=True)
class PlanHead:
    """What a saved plan says of itself: its workspace, and whether it is one to destroy all that the state holds."""

    workspace: str
    destroys: bool


def plan_head(path: Path) -> PlanHead:
    """Return what a saved plan says of itself.

    Raises ``ValueError``, in plain words, for a file that is no saved plan or in a form that only its maker can read,
    and ``OSError``.
    """
    with path.open("rb") as file:
        head = file.read(64 * 1024)
        if head.lstrip().startswith(b"{"):
            raise ValueError(_json_form(head))
        _check_directory(file)
        try:
            return _head(file)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
            raise ValueError(_NOT_A_PLAN) from error


def _json_form(head: bytes) -> str:
    """Return why a plan in JSON cannot be applied (Terraform, `internal/cloud/cloudplan`; OpenTofu, "Encryption")."""
    if b'"encrypted_data"' in head:
        return "the plan is encrypted, and the engine has no key; use `apply: {plan: fresh}`"
    if b'"remote_plan_format"' in head:
        return "the plan is kept by HCP Terraform, and the file only names it; use `apply: {plan: fresh}`"
    return _NOT_A_PLAN


def _check_directory(file: BinaryIO) -> None:
    """Raise ``ValueError`` for an archive that two readers could read in two ways, or whose directory is too long.

    Terraform writes archives that begin with their first entry and end with their directory, and have no comment.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size:
        raise ValueError(_NOT_A_PLAN)
    signature, disk, first_disk, on_disk, entries, length, offset, comment = _END.unpack(end)
    if signature != b"PK\x05\x06" or comment or disk or first_disk or on_disk != entries:
        raise ValueError(_NOT_A_PLAN)
    if length > _MOST_DIRECTORY_BYTES or offset + length != size - _END.size:
        raise ValueError(_NOT_A_PLAN)
    file.seek(0)


def _head(file: BinaryIO) -> PlanHead:
    with zipfile.ZipFile(file) as archive:
        if [entry.filename for entry in archive.infolist()].count(_MEMBER) != 1:
            raise ValueError(_NOT_A_PLAN)
        with archive.open(_MEMBER) as member, io.BufferedReader(member, _CHUNK) as plan:  # type: ignore[type-var]
            fields = [one for one in _fields(plan, _BACKEND) if one[0] in {_BACKEND, _MODE}]
    backend = _only(fields, _BACKEND, "backend")
    name = _only(_fields(io.BytesIO(backend), _WORKSPACE), _WORKSPACE, "workspace").decode("utf-8", "replace")
    if not name:
        raise ValueError("the plan does not say its workspace")
    modes = [content for number, content in fields if number == _MODE and isinstance(content, int)]
    if len(modes) > 1:
        raise ValueError(_NOT_A_PLAN)
    # Terraform reads a mode as a number of 32 bits.
    return PlanHead(name, destroys=any(mode & 0xFFFFFFFF == _DESTROY for mode in modes))


def _only(fields: Iterable[tuple[int, bytes | int | None]], wanted: int, name: str) -> bytes:
    """Return the content of the one field of this number; raise ``ValueError`` if there is none or several."""
    found = [content for number, content in fields if number == wanted and isinstance(content, bytes)]
    if len(found) != 1:
        raise ValueError(f"the plan does not say its {name}")
    return found[0]


def _fields(message: BinaryIO, wanted: int) -> Iterator[tuple[int, bytes | int | None]]:
    """Yield the number of each field, with its value if that is a number, or bytes that are wanted."""
    left = _MOST_PLAN_BYTES
    for _ in range(_MOST_FIELDS):
        key = _number(message, may_end=True)
        if key is None:
            return
        number, kind = key >> 3, key & 7
        content: bytes | int | None = None
        if kind == _VARINT:
            content = _number(message)
        elif kind == _BYTES:
            length = _number(message) or 0
            left -= length
            if left < 0 or (number == wanted and length > _MOST_BACKEND_BYTES):
                raise ValueError(_NOT_A_PLAN)
            if number == wanted:
                content = _take(message, length)
            else:
                _skip(message, length)
        elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
            _skip(message, 8 if kind == _EIGHT_BYTES else 4)
        else:
            raise ValueError(_NOT_A_PLAN)
        yield number, content
    raise ValueError(_NOT_A_PLAN)


def _number(message: BinaryIO, *, may_end: bool = False) -> int | None:
    """Return the next number; None at the message's end if it may end here."""
    value = 0
    for position in range(10):
        byte = message.read(1)
        if not byte:
            if may_end and not position:
                return None
            raise ValueError(_NOT_A_PLAN)
        value |= (byte[0] & 0x7F) << (7 * position)
        if byte[0] < 0x80:
            return value
    raise ValueError(_NOT_A_PLAN)


def _take(message: BinaryIO, length: int) -> bytes:
    content = message.read(length)
    if len(content) != length:
        raise ValueError(_NOT_A_PLAN)
    return content


def _skip(message: BinaryIO, length: int) -> None:
    while length:
        skipped = len(message.read(min(length, _CHUNK)))
        if not skipped:
            raise ValueError(_NOT_A_PLAN)
        length -= skipped


__all__ = ["PlanHead", "is_below", "plan_head"]
