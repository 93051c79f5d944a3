"""Reads what git prints about a commit's paths and files: pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import PreparationFailed
from iac_ci_common.tree import Entry, EntryKind, Tree

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_PATHS: Final = 500_000
"""Most paths of a commit that is read."""

WITHOUT_FILES: Final = ("-c", "fetch.fsckObjects=false", "fetch", "--quiet", "--filter=blob:none", "--no-tags")
"""The command that fetches folders without the content of files. A host that cannot filter sends the files too.

Git before 2.46 takes no exceptions (``fetch.fsck.…``) here, and old histories need them. Names that lead out of the
folder or into ``.git`` are refused by git where it writes files.
"""

THESE_FILES: Final = (
    "-c",
    "fetch.negotiationAlgorithm=noop",
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--recurse-submodules=no",
    "--filter=blob:none",
    "--stdin",
)
"""The command that fetches exactly the objects of the standard input, as git itself does for files that are missing."""

_KINDS: Final = {b"120000": EntryKind.LINK, b"160000": EntryKind.SUBMODULE}


@dataclass(frozen=True, slots=True)
class Blob:
    """A path's kind and the hash of its content."""

    kind: EntryKind
    oid: str


def blobs(listing: bytes) -> dict[str, Blob]:
    """Return the paths that ``git ls-tree -r -z`` prints; bytes that are not UTF-8 become surrogates.

    Raises ``PreparationFailed`` for more than ``MAX_PATHS``.
    """
    found: dict[str, Blob] = {}
    for entry in listing.split(b"\0"):
        about, _, path = entry.partition(b"\t")
        if path:
            mode, _, oid = about.split(b" ")
            found[os.fsdecode(path)] = Blob(_KINDS.get(mode, EntryKind.FILE), oid.decode())
    if len(found) > MAX_PATHS:
        raise PreparationFailed(f"the commit has more than {MAX_PATHS} files")
    return found


def entries(found: Mapping[str, Blob]) -> dict[str, Entry]:
    """Return the entries of paths, with unknown sizes."""
    return {path: Entry(blob.kind, content_id=blob.oid) for path, blob in found.items()}


def sizes(printed: bytes) -> dict[str, int]:
    """Return the bytes of the objects that ``git cat-file --batch-check`` prints; missing ones are left out."""
    fields = (line.split(b" ") for line in printed.splitlines())
    return {field[0].decode(): int(field[2]) for field in fields if len(field) == 3 and field[1] == b"blob"}


def contents(printed: bytes) -> dict[str, bytes]:
    """Return the objects that ``git cat-file --batch`` prints."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(printed):
        end = printed.index(b"\n", at)
        oid, _, size = printed[at:end].split(b" ")
        start = end + 1
        found[oid.decode()] = printed[start : start + int(size)]
        at = start + int(size) + 1
    return found


def tree(
    found: Mapping[str, Blob], chosen: Collection[str], known: Mapping[str, int], read: Mapping[str, bytes]
) -> Tree:
    """Return the tree with the content of the chosen files that was read."""
    every = entries(found)
    for path in chosen:
        every[path] = Entry(found[path].kind, known.get(found[path].oid, 0), found[path].oid)
    return Tree(every, {path: read[found[path].oid] for path in chosen if found[path].oid in read})


__all__ = ["MAX_PATHS", "THESE_FILES", "WITHOUT_FILES", "Blob", "blobs", "contents", "entries", "sizes", "tree"]
