"""Replaces the pointers of Git LFS by the content that they name: batches, basic transfers, digests checked.

The protocol is that of git-lfs' documents "Git LFS Batch API" and "Basic Transfer API". ``git-lfs`` itself is not used:
it reads ``.lfsconfig`` from the repository, which could send a token to another server.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from iac_ci_common.content_pointers import (
    MAX_POINTER_BYTES,
    LfsPointer,
    is_annex_link,
    is_annex_pointer,
    lfs_pointer,
)
from iac_ci_common.errors import IacCiError, PreparationFailed
from iac_ci_common.left_out import LeftOut
from iac_ci_common.packing import MAX_TREE_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from requests import PreparedRequest

    from iac_ci_vcs.http_session import HostSession

_FILES: Final = frozenset({b"100644", b"100755"})
_LINK: Final = b"120000"
_MIME: Final = "application/vnd.git-lfs+json"
_BATCH: Final = 100
_ANSWER_BYTES: Final = 4 * 1024 * 1024
_CHUNK: Final = 256 * 1024


class _Action(BaseModel):
    href: str
    header: dict[str, str] = {}


class _Actions(BaseModel):
    download: _Action | None = None


class _Refusal(BaseModel):
    code: int = 0
    message: str = ""


class _Object(BaseModel):
    oid: str
    actions: _Actions | None = None
    error: _Refusal | None = None


class _Answer(BaseModel):
    objects: list[_Object]


def pointers(folder: Path, listing: bytes) -> dict[str, LfsPointer]:
    """Return the files of a commit that look like pointers of Git LFS, by their paths.

    ``listing`` is what ``git ls-tree -r -l -z`` prints; small files alone are read.
    """
    found = {path: lfs_pointer((folder / path).read_bytes()) for path in _small(listing, _FILES)}
    return {path: pointer for path, pointer in found.items() if pointer is not None}


def annexed(folder: Path, listing: bytes) -> list[str]:
    """Return the files and links of a commit that stand for content of git-annex, which code hosts do not have."""
    files = [path for path in _small(listing, _FILES) if is_annex_pointer((folder / path).read_bytes())]
    links = [path for path in _small(listing, {_LINK}) if is_annex_link(str((folder / path).readlink()))]
    return sorted([*files, *links])


def _small(listing: bytes, modes: Collection[bytes]) -> Iterator[str]:
    """Yield the paths of these kinds that are short enough for a pointer."""
    for entry in listing.split(b"\0"):
        head, _, path = entry.partition(b"\t")
        fields = head.split()
        if len(fields) == 4 and fields[0] in modes and fields[3].isdigit() and int(fields[3]) < MAX_POINTER_BYTES:
            yield os.fsdecode(path)


def fetch(
    repository: str,
    files: Mapping[str, LfsPointer],
    folder: Path,
    *,
    credentials: str | None,
    plain_http: bool,
    deadline: float,
) -> None:
    """Write the content of ``files`` in the place of their pointers.

    ``credentials`` are ``user:token`` for the repository's host; the servers that it names for downloads get only the
    headers that it names with them. ``deadline`` is a time of ``time.monotonic``. Raises ``PreparationFailed`` with the
    files' paths, and ``PortFailed``, safe to retry, if a server or the network failed.
    """
    if not files:
        return
    try:
        if not repository.startswith("https://"):
            raise PreparationFailed("Git LFS is read by https only")
        if sum(pointer.size for pointer in files.values()) > MAX_TREE_BYTES:
            raise PreparationFailed(f"together they have more than {MAX_TREE_BYTES} bytes")
        url = repository.rstrip("/").removesuffix(".git") + ".git/info/lfs/objects/batch"
        _fetch_all(_plain(url) if plain_http else url, files, folder, credentials, deadline)
    except IacCiError as error:
        if error.retry_is_safe:
            raise
        names = sorted(files)
        others = f" and {len(names) - 3} others" if len(names) > 3 else ""
        raise PreparationFailed(
            f"{', '.join(map(repr, names[:3]))}{others} in Git LFS could not be fetched: {error.message}. Leave them"
            f" out with lines in {LeftOut.FILE_NAME} if no command needs them"
        ) from None


def _fetch_all(
    url: str, files: Mapping[str, LfsPointer], folder: Path, credentials: str | None, deadline: float
) -> None:
    paths: dict[LfsPointer, list[str]] = {}
    for path, pointer in sorted(files.items()):
        paths.setdefault(pointer, []).append(path)
    wanted = sorted(paths)
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        actions = _ask(url, batch, credentials, deadline)
        for pointer in batch:
            _download(url, actions[pointer.oid], pointer, [folder / path for path in paths[pointer]], deadline)


def _ask(url: str, batch: Sequence[LfsPointer], credentials: str | None, deadline: float) -> dict[str, _Action]:
    """Return the downloads of a batch by the objects' ids."""
    from iac_ci_vcs.http_session import read_bounded

    body = {
        "operation": "download",
        "transfers": ["basic"],
        "objects": [{"oid": pointer.oid, "size": pointer.size} for pointer in batch],
    }
    headers = {"Accept": _MIME, "Content-Type": _MIME}
    with _session(url, credentials, deadline) as session, session.doing("Git LFS"):
        response = session.ask("POST", url, "Git LFS content", data=json.dumps(body), headers=headers, stream=True)
        content = read_bounded(response, "the answer of Git LFS", _ANSWER_BYTES)
    try:
        answer = _Answer.model_validate_json(content)
    except ValidationError:
        raise PreparationFailed("the server's answer is not one of Git LFS") from None
    found: dict[str, _Action] = {}
    for each in answer.objects:
        if each.error is not None:
            raise PreparationFailed(
                f"the server says {each.error.code} {each.error.message[:200]!r} of {each.oid[:64]}"
            )
        if each.actions is not None and each.actions.download is not None:
            found[each.oid] = each.actions.download
    if missing := [pointer.oid for pointer in batch if pointer.oid not in found]:
        raise PreparationFailed(f"the server has no content {missing[0]}")
    return found


def _download(url: str, action: _Action, pointer: LfsPointer, paths: Iterable[Path], deadline: float) -> None:
    parts = urlsplit(action.href)
    if parts.scheme != urlsplit(url).scheme or not parts.hostname:
        raise PreparationFailed("the server names a download that is not by https")
    first, *others = paths
    digest, size = hashlib.sha256(), 0
    # It exists, as the pointer; its mode stays, and a link is not followed.
    descriptor = os.open(first, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    with (
        os.fdopen(descriptor, "wb") as sink,
        _session(action.href, None, deadline) as session,
        session.doing("Git LFS content"),
        session.ask("GET", action.href, "Git LFS content", headers=action.header, stream=True) as response,
    ):
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > pointer.size:
                break
            digest.update(chunk)
            sink.write(chunk)
    if size != pointer.size or digest.hexdigest() != pointer.oid:
        raise PreparationFailed(f"the server sent other content than {pointer.oid}")
    for path in others:
        copy = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with os.fdopen(copy, "wb") as sink, first.open("rb") as source:
            while part := source.read(_CHUNK):
                sink.write(part)


def _session(url: str, credentials: str | None, deadline: float) -> HostSession:
    from requests.auth import AuthBase, HTTPBasicAuth

    from iac_ci_vcs.http_session import HostSession

    class Anonymous(AuthBase):
        """Adds nothing; with an ``auth`` object, requests does not read ``~/.netrc``."""

        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            return request

    user, _, password = (credentials or "").partition(":")
    parts = urlsplit(url)
    return HostSession(
        parts.netloc,
        HTTPBasicAuth(user, password) if credentials else Anonymous(),
        root=f"{parts.scheme}://{parts.netloc}/",
        seconds=max(0.1, deadline - time.monotonic()),
    )


def _plain(url: str) -> str:
    return "http" + url.removeprefix("https")
