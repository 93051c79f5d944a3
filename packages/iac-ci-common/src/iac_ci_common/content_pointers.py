"""Files that stand in a repository for content that is kept elsewhere: pointers of Git LFS and git-annex. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_POINTER_BYTES: Final = 1024
"""A pointer is shorter (git-lfs, "Git LFS Specification")."""

_VERSIONS: Final = frozenset(f"https://{host}/spec/v1" for host in ("git-lfs.github.com", "hawser.github.com")) | {
    "http://git-media.io/v/2"
}
"""What Git LFS calls its pointers, with its two older names."""

_KEYS: Final = ("version", "oid", "size")
_OID: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
_SIZE: Final = re.compile(r"[0-9]{1,15}")

_ANNEXED: Final = re.compile(rb"/annex/objects/[A-Z0-9_]+(?:-[a-zA-Z][0-9]+)*--[^\n]+\n?")
_ANNEX_LINK: Final = re.compile(r"(?:^|/)\.git/annex/objects/")


@dataclass(frozen=True, slots=True, order=True)
class LfsPointer:
    """What stands in a repository in place of a large file: the content's SHA-256 and its size in bytes."""

    oid: str
    size: int


def lfs_pointer(content: bytes) -> LfsPointer | None:
    """Return the pointer of Git LFS that a file is, None if it is none.

    As git-lfs does, this accepts empty lines and spaces around the lines, and the line ends of Windows, which git
    writes where the repository asks for them (gitattributes(5), "eol").
    """
    if len(content) >= MAX_POINTER_BYTES:
        return None
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    entries = [line.partition(" ") for line in lines if line]
    fields = [(key, value) for key, _, value in entries if not key.startswith("ext-")]
    if tuple(key for key, _ in fields) != _KEYS:
        return None
    version, oid, size = (value.strip() for _, value in fields)
    digest = _OID.fullmatch(oid)
    if version not in _VERSIONS or digest is None or _SIZE.fullmatch(size) is None:
        return None
    return LfsPointer(digest[1].lower(), int(size))


def is_annex_pointer(content: bytes) -> bool:
    """Return whether a file is a pointer of git-annex (git-annex, "internals", "unlocked files")."""
    return len(content) < MAX_POINTER_BYTES and _ANNEXED.fullmatch(content) is not None


def is_annex_link(target: str) -> bool:
    """Return whether a symbolic link leads to where git-annex keeps content, which no commit has."""
    return _ANNEX_LINK.search(target) is not None


__all__ = ["MAX_POINTER_BYTES", "LfsPointer", "is_annex_link", "is_annex_pointer", "lfs_pointer"]
