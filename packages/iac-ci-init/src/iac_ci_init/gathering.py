"""Fetches what orders need: code trees and secrets, each distinct one once."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_common import keys
from iac_ci_common.environment import check_environment_name
from iac_ci_common.errors import IacCiError, PreparationFailed
from iac_ci_common.locations import Location, parse_location
from iac_ci_common.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iac_ci_common.models.job import Job, Order
    from iac_ci_common.ports import CodeStore, Objects, Parallel, Repositories, Secrets

T = TypeVar("T")

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
    session_name: str
    objects: Objects
    code_store: CodeStore
    repositories: Repositories
    secrets: Secrets
    parallel: Parallel
    folder: Path
    _read: dict[Location, str | PreparationFailed] = field(default_factory=dict, repr=False)
    _assumed: dict[str, Mapping[str, str] | PreparationFailed] = field(default_factory=dict, repr=False)

    def read_secrets(self) -> None:
        """Read every secret that the job names and assume every role, each once, side by side.

        What is missing is told by whoever asks for it; what another try may bring is raised.
        """
        job = self.job
        named: set[str] = set()
        for order in job.orders:
            named |= {*order.ssm_paths, *order.secret_manager_paths, *order.secrets.values()}
            if order.sops_key is not None:
                named.add(order.sops_key)
        if any((source := code_source(job, order)) is not None and source.repository for order in job.orders):
            named |= {place for place in (job.git_token_location, job.git_ssh_key_location) if place is not None}
        places = sorted({_whole(parse_location(text)) for text in named})
        roles = sorted({order.assume_role for order in job.orders if order.assume_role is not None})
        texts = self.parallel.run([partial(self._read_one, place) for place in places])
        self._read = {place: _settled(text) for place, text in zip(places, texts, strict=True)}
        credentials = self.parallel.run([partial(self._assume_one, role) for role in roles])
        self._assumed = {role: _settled(given) for role, given in zip(roles, credentials, strict=True)}

    def _read_one(self, place: Location) -> str:
        with permanent(f"{place} could not be read"):
            return self.secrets.read(place)

    def _assume_one(self, role: str) -> Mapping[str, str]:
        with permanent(f"{role} could not be assumed"):
            return self.secrets.assume(role, session_name=self.session_name)

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
                    token=self.text(parse_location(token)) if token else None,
                    ssh_key=self.text(parse_location(ssh_key)) if ssh_key else None,
                )
            archive = Path(place, "code.zip")
            pack(tree, archive)
            if archive.stat().st_size > MAX_ARCHIVE_BYTES:
                raise PreparationFailed(f"the code is larger than {MAX_ARCHIVE_BYTES} bytes packed")
            content = archive.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            # Written though it may exist: an archive of yesterday would expire in the middle of this run.
            self.objects.put(keys.code(digest), content, content_type="application/zip")
            return digest

    def _from_bucket(self, location: str, archive: Path, tree: Path) -> None:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        archive.touch(mode=0o600)
        archive.write_bytes(self.code_store.fetch(bucket, key, max_bytes=MAX_ARCHIVE_BYTES))
        unpack(archive, tree)

    def values(self, order: Order, wrong: list[str]) -> dict[str, str]:
        """Give every secret that an order names, by the variable it will stand in; add what is missing to ``wrong``.

        A variable that two sources set to different values is wrong too: which one was meant cannot be told.
        """
        found = dict(order.env_vars)
        origin = dict.fromkeys(found, "env_vars")
        for source, call in self._parts(order):
            try:
                given = call()
            except PreparationFailed as error:
                wrong.append(error.message)
                continue
            for name, value in given.items():
                if not _can_be_a_variable(value):
                    wrong.append(f"{source}: the value for {name} holds what no variable can")
                elif found.setdefault(name, value) != value:
                    wrong.append(f"{name} is set by {origin[name]} and otherwise by {source}")
                origin.setdefault(name, source)
        return {name: value for name, value in found.items() if name not in order.env_vars}

    def _parts(self, order: Order) -> Iterator[tuple[str, Callable[[], Mapping[str, str]]]]:
        for text in [*order.ssm_paths, *order.secret_manager_paths]:
            yield text, partial(self._spread, parse_location(text))
        for name, text in order.secrets.items():
            yield text, partial(self._named, name, parse_location(text))
        if order.assume_role is not None:
            yield order.assume_role, partial(self._credentials, order.assume_role)

    def _spread(self, location: Location) -> dict[str, str]:
        """Read a whole secret: one variable for each key of a JSON object, else one named like the end of its path."""
        if location.key is not None:
            return {self._name(location, location.key): self._one(location)}
        text = self.text(location)
        content = _json(text)
        if not isinstance(content, dict):
            return {self._name(location, location.name.rstrip("/").rpartition("/")[2]): text}
        return {self._name(location, name): _text(value) for name, value in content.items()}

    def _named(self, name: str, location: Location) -> dict[str, str]:
        return {name: self._one(location)}

    def _credentials(self, role: str) -> Mapping[str, str]:
        given = self._assumed[role]
        if isinstance(given, PreparationFailed):
            raise given
        return given

    def _one(self, location: Location) -> str:
        text = self.text(location)
        if location.key is None:
            return text
        content = _json(text)
        if not isinstance(content, dict) or location.key not in content:
            raise PreparationFailed(f"{_whole(location)} holds no key {location.key}")
        return _text(content[location.key])

    def text(self, location: Location) -> str:
        """Give a secret whole, its key aside; raise ``PreparationFailed`` if it could not be read."""
        text = self._read[_whole(location)]
        if isinstance(text, PreparationFailed):
            raise text
        return text

    @staticmethod
    def _name(location: Location, name: str) -> str:
        variable = name.replace("-", "_").replace(".", "_")
        try:
            return check_environment_name(variable)
        except ValueError as error:
            raise PreparationFailed(f"{_whole(location)}: {error}") from None


def _whole(location: Location) -> Location:
    return Location(location.store, location.name)


def _settled(answer: T | IacCiError) -> T | PreparationFailed:
    """Keep a value or its lasting failure; raise what another try may bring."""
    if isinstance(answer, IacCiError) and not isinstance(answer, PreparationFailed):
        raise answer
    return answer


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _can_be_a_variable(value: str) -> bool:
    try:
        return b"\0" not in value.encode("utf-8")
    except UnicodeEncodeError:
        return False
