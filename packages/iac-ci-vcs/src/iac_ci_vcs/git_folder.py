"""The ``.git`` that commands find: it answers for commit, tags and files, and has neither history nor remotes.

Terragrunt and many scripts ask git for the repository's root, the commit or a version. The folder has the commit, its
folders' objects, the tags that point to the commit, and an index, so that ``rev-parse``, ``describe``, ``ls-files`` and
``status`` answer. It has no file's content (but links, whose targets git compares with it) and no parent commit:
``diff``, ``show`` and ``log`` of files do not work.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME: Final = "refs/iac-ci/commit"
"""The name of the fetched commit, in the repository that it was fetched into."""

_MOST_TAGS: Final = 100


class Git(Protocol):
    """Runs git in the folder of the repository."""

    def __call__(self, *arguments: str, given: bytes | None = None) -> bytes:
        """Return what git prints; ``given`` is its input."""
        ...


def keep(git: Git, folder: Path, private: Path, changed: Sequence[bytes]) -> None:
    """Replace ``folder``'s ``.git``; ``private`` is a path beside the folder at which nothing is yet.

    ``changed`` are the files that are not as in the commit, or missing, on purpose; git counts them as unchanged.
    """
    commit = git("rev-parse", "HEAD").strip()
    tags = list(_tags(git))
    objects = git("rev-list", "--objects", "--no-object-names", "--filter=blob:none", "HEAD")
    packs = private / "objects" / "pack"
    packs.mkdir(parents=True)
    (private / "refs").mkdir()
    # Without deltas and with one thread, equal commits give equal bytes.
    further = [oid for oid, _, peeled in tags if oid != peeled] + _links(git("ls-tree", "-r", "-z", "HEAD"))
    chosen = objects + b"".join(oid + b"\n" for oid in further)
    git("pack-objects", "--quiet", "--window=0", "--threads=1", str(packs / "pack"), given=chosen)
    (private / "HEAD").write_bytes(commit + b"\n")
    (private / "shallow").write_bytes(commit + b"\n")
    (private / "config").write_text(_configuration(len(commit)))
    (private / "packed-refs").write_bytes(_packed(tags))
    os.chmod(private, 0o755)  # noqa: PTH101, S103 - of the commands, as the code is
    shutil.rmtree(folder / ".git")
    shutil.move(private, folder / ".git")
    git("read-tree", "HEAD")
    if changed:
        git("update-index", "--assume-unchanged", "-z", "--stdin", given=b"\0".join(changed))


def _links(listing: bytes) -> list[bytes]:
    """Return the objects of symbolic links."""
    entries = (entry.partition(b"\t")[0].split() for entry in listing.split(b"\0") if entry)
    return [oid for mode, _, oid in entries if mode == b"120000"]


def _tags(git: Git) -> list[tuple[bytes, bytes, bytes]]:
    """Return object, name and commit of the tags that point to a commit."""
    form = "--format=%(objectname) %(objecttype) %(*objectname) %(*objecttype) %(refname)"
    found = []
    for line in git("for-each-ref", form, "refs/tags").splitlines()[:_MOST_TAGS]:
        oid, kind, target, target_kind, name = line.split(b" ", 4)
        if kind == b"commit":
            found.append((oid, name, oid))
        elif target_kind == b"commit":
            found.append((oid, name, target))
    return found


def _packed(tags: Sequence[tuple[bytes, bytes, bytes]]) -> bytes:
    lines = [b"# pack-refs with: peeled fully-peeled sorted \n"]
    for oid, name, peeled in sorted(tags, key=_name):
        lines.append(oid + b" " + name + b"\n")
        if oid != peeled:
            lines.append(b"^" + peeled + b"\n")
    return b"".join(lines)


def _name(tag: tuple[bytes, bytes, bytes]) -> bytes:
    return tag[1]


def _configuration(digits: int) -> str:
    core = "\tfilemode = true\n\tbare = false\n\tlogallrefupdates = false\n"
    if digits == 40:
        return f"[core]\n\trepositoryformatversion = 0\n{core}"
    return f"[core]\n\trepositoryformatversion = 1\n{core}[extensions]\n\tobjectformat = sha256\n"
