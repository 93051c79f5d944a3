"""Fetches the code of a job's orders, each distinct source once."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.errors import PreparationFailed
from iac_ci_common.left_out import LeftOut
from iac_ci_common.locations import parse_location
from iac_ci_common.packing import pack, unpack
from iac_ci_init.code_source import CodeSource, code_source, permanent
from iac_ci_init.version_files import folder_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iac_ci_common.locations import Location
    from iac_ci_common.models.job import Job
    from iac_ci_common.ports import CodeStore, Objects
    from iac_ci_init.version_files import FolderVersions
    from iac_ci_vcs.merges import Merged
    from iac_ci_vcs.ports import Repositories

MAX_ARCHIVE_BYTES: Final = 200 * 1024 * 1024
"""Largest archive of code, in bytes: it must fit into the memory of a 512 MB function."""


@dataclass(frozen=True, slots=True)
class StoredCode:
    """Code in the stack's bucket: the archive's SHA-256 digest, and the versions that the orders' folders ask for.

    ``merged`` is the merge that the code is of, None if it is of a commit or an archive.
    """

    sha256: str
    folders: Mapping[str, FolderVersions]
    merged: Merged | None = None


@dataclass(frozen=True, slots=True)
class JobCode:
    """Fetches code for one run. All files are inside ``folder``, which the caller removes.

    ``secret`` returns the text of an already read secret, or raises ``PreparationFailed``. ``own_buckets`` are the
    stack's: an archive there counts only with the bytes that its name is the digest of. ``may_read`` returns whether
    the job's token may read a submodule's repository.
    """

    job: Job
    objects: Objects
    code_store: CodeStore
    repositories: Repositories
    secret: Callable[[Location], str]
    folder: Path
    own_buckets: frozenset[str] = frozenset()
    may_read: Callable[[str], bool] | None = None
    one_in_memory: Lock = field(default_factory=Lock)

    def store(self, source: CodeSource) -> StoredCode:
        """Fetch, pack and upload the code of a source; return its digest, and what the orders' folders ask for.

        Every archive is unpacked and packed again, so that workers get only checked entries and equal code has an equal
        digest. Threads may call it side by side. Raises ``PreparationFailed`` for a permanent failure.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as workspace, permanent("the code could not be fetched"):
            tree = Path(workspace, "tree")
            tree.mkdir()
            merged: Merged | None = None
            if source.s3_location:
                self._from_bucket(source.s3_location, Path(workspace, "source.zip"), tree)
            else:
                token, ssh_key = self.job.git_token_location, self.job.git_ssh_key_location
                merged = self.repositories.checkout(
                    source.repository,
                    source.commit,
                    str(tree),
                    token=self.secret(parse_location(token)) if token else None,
                    ssh_key=self.secret(parse_location(ssh_key)) if ssh_key else None,
                    may_read=self.may_read,
                    merge=source.merge,
                )
            archive = Path(workspace, "code.zip")
            pack(tree, archive, paths=LeftOut.of(tree).files(tree))
            if archive.stat().st_size > MAX_ARCHIVE_BYTES:
                raise PreparationFailed(f"the packed code has more than {MAX_ARCHIVE_BYTES} bytes; remove large files")
            # One at a time: two archives would not fit into the function's memory.
            with self.one_in_memory:
                content = archive.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                # The archive is written also if it exists, because an older one could expire during this run.
                self.objects.put(keys.code(digest), content, content_type="application/zip")
            return StoredCode(digest, {name: folder_versions(tree, name) for name in self._folders(source)}, merged)

    def _folders(self, source: CodeSource) -> list[str]:
        """Return the folders of the source in which orders run."""
        orders = (order for order in self.job.orders if code_source(self.job, order) == source)
        return sorted({order.git_folder or "" for order in orders})

    def _from_bucket(self, location: str, archive: Path, tree: Path) -> None:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        archive.touch(mode=0o600)
        content = self.code_store.fetch(bucket, key, max_bytes=MAX_ARCHIVE_BYTES)
        if bucket in self.own_buckets and hashlib.sha256(content).hexdigest() != keys.code_digest(key):
            raise PreparationFailed(
                f"{location} has other bytes than its name says; find out who wrote it, and upload the code again"
            )
        archive.write_bytes(content)
        unpack(archive, tree, use_ignore_file=True)
