"""Fetches what orders need: code trees and secrets, each distinct one once."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.environment import check_environment_name
from iac_ci_common.errors import IacCiError, PreparationFailed
from iac_ci_common.locations import Location, parse_location
from iac_ci_common.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.models.job import Job, Order
    from iac_ci_common.ports import CodeStore, Objects, Repositories, Secrets

MAX_ARCHIVE_BYTES: Final = 200 * 1024 * 1024
"""Largest archive of code: it passes through the memory of a 512 MB function."""


@dataclass(frozen=True, slots=True, order=True)
class CodeSource:
    """Where a tree of code is: a commit of a repository, or an archive in a bucket."""

    repository: str = ""
    commit: str = ""
    s3_location: str = ""


def code_source(job: Job, order: Order) -> CodeSource | None:
    """Say where an order's code is; None if it has none."""
    if order.s3_location is not None:
        return CodeSource(s3_location=order.s3_location)
    repository = order.git_repo or job.git_repo
    if repository is None:
        return None
    return CodeSource(repository=repository, commit=order.commit_hash or job.commit_hash or "")


@contextmanager
def permanent(what: str) -> Iterator[None]:
    """Turn a failure that another try would not change into ``PreparationFailed``; others pass as they are."""
    try:
        yield
    except PreparationFailed:
        raise
    except IacCiError as error:
        if error.retry_is_safe:
            raise
        raise PreparationFailed(f"{what}: {error.message}") from error


@dataclass(slots=True)
class Gatherer:
    """Fetches for one run. Everything on disk is inside ``folder``, which the caller removes."""

    job: Job
    objects: Objects
    code_store: CodeStore
    repositories: Repositories
    secrets: Secrets
    folder: Path
    _read: dict[Location, str] = field(default_factory=dict)

    def code(self, source: CodeSource) -> str:
        """Fetch, pack and upload one tree; return the digest that names it.

        Every archive is unpacked and packed again by our own rules, whatever made it: what workers get is safe, and
        the same tree has the same name wherever it came from.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as place, permanent("the code could not be fetched"):
            tree = Path(place, "tree")
            tree.mkdir()
            if source.s3_location:
                self._from_bucket(source.s3_location, Path(place, "given.zip"), tree)
            else:
                token, ssh_key = self.job.git_token_location, self.job.git_ssh_key_location
                self.repositories.checkout(
                    source.repository,
                    source.commit,
                    str(tree),
                    token=self._whole(token) if token else None,
                    ssh_key=self._whole(ssh_key) if ssh_key else None,
                )
            archive = Path(place, "code.zip")
            pack(tree, archive)
            if archive.stat().st_size > MAX_ARCHIVE_BYTES:
                raise PreparationFailed(f"the code is larger than {MAX_ARCHIVE_BYTES} bytes packed")
            content = archive.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if not self.objects.exists(keys.code(digest)):
                self.objects.put(keys.code(digest), content, content_type="application/zip")
            return digest

    def _from_bucket(self, location: str, archive: Path, tree: Path) -> None:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        archive.touch(mode=0o600)
        archive.write_bytes(self.code_store.fetch(bucket, key, max_bytes=MAX_ARCHIVE_BYTES))
        unpack(archive, tree)

    def values(self, order: Order, session_name: str) -> dict[str, str]:
        """Read every secret that an order names, by the variable it will stand in."""
        found: dict[str, str] = {}
        for location in [*order.ssm_paths, *order.secret_manager_paths]:
            found |= self._spread(parse_location(location))
        for name, location in order.secrets.items():
            found[name] = self._one(parse_location(location))
        if order.assume_role is not None:
            with permanent(f"{order.assume_role} could not be assumed"):
                found |= self.secrets.assume(order.assume_role, session_name=session_name)
        return found

    def _spread(self, location: Location) -> dict[str, str]:
        """Read a whole secret: one variable for each key of a JSON object, else one named like the end of its path."""
        if location.key is not None:
            return {self._name(location, location.key): self._one(location)}
        text = self._whole(str(location))
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            return {self._name(location, location.name.rstrip("/").rpartition("/")[2]): text}
        return {self._name(location, name): _text(value) for name, value in content.items()}

    def _one(self, location: Location) -> str:
        text = self._whole(f"{location.store}:{location.name}")
        if location.key is None:
            return text
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if not isinstance(content, dict) or location.key not in content:
            raise PreparationFailed(f"{location.store}:{location.name} holds no key {location.key}")
        return _text(content[location.key])

    def _whole(self, text: str) -> str:
        location = parse_location(text)
        if location not in self._read:
            with permanent(f"{location} could not be read"):
                self._read[location] = self.secrets.read(location)
        return self._read[location]

    @staticmethod
    def _name(location: Location, name: str) -> str:
        variable = name.replace("-", "_").replace(".", "_")
        try:
            return check_environment_name(variable)
        except ValueError as error:
            raise PreparationFailed(f"{location.store}:{location.name}: {error}") from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
