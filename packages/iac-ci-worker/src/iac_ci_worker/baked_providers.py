"""Which providers of the image an order may use, by what the lock files of its code name."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BAKED_FOLDER: Final = Path("/usr/local/share/terraform/plugins")
"""Where the image has providers: a folder in which Terraform looks by itself, and then nowhere else for what it finds
there (Terraform, "CLI Configuration File", "Implied Local Mirror Directories")."""

BAKED_INDEX: Final = Path("/usr/share/iac-ci/providers.json")
"""Which providers the image has: the ``h1:`` hash of each version by address, as ``pipelines/build`` writes it."""

_LOCK_FILE: Final = ".terraform.lock.hcl"
_OWN_PROVIDERS: Final = ("terraform.d", "plugins")
_MOST_BYTES: Final = 1024 * 1024
_PROVIDER: Final = re.compile(r'[ \t]*provider[ \t]+"([^"\s]{1,256})"')
_VERSION: Final = re.compile(r'[ \t]*version[ \t]*=[ \t]*"([^"\s]{1,64})"')
_HASH: Final = re.compile(r'"(h1:[A-Za-z0-9+/=]{1,64})"')

Baked = dict[str, dict[str, str]]
"""The ``h1:`` hash of each version of each provider, by address and version."""


class Source(StrEnum):
    """Where a provider of the image comes from for an order."""

    IMAGE = "image"
    BOTH = "both"
    ELSEWHERE = "elsewhere"


@dataclass(slots=True)
class Locked:
    """A provider of a lock file."""

    version: str = ""
    hashes: set[str] = field(default_factory=set)


def baked_providers(index: Path = BAKED_INDEX) -> Baked:
    """Return the providers of the image; none if it has no index."""
    try:
        found = json.loads(index.read_bytes())["providers"]
    except FileNotFoundError:
        return {}
    return {str(address).lower(): dict(versions) for address, versions in found.items()}


def sources(baked: Baked, code: Path) -> dict[str, Source]:
    """Return where each provider of the image comes from for an order with this code.

    From the image alone if lock files name it, and each of them a version and hash of the image, so that nothing is
    downloaded; from elsewhere if Terraform would refuse the image's, whose hash a lock file does not have; otherwise
    from both, so that an order with another version, or without a lock file, runs as it does without the image's.
    """
    if not baked:
        return {}
    files = list(_lock_files(code))
    return {
        address: _source(versions, [locked[address] for locked in files if address in locked])
        for address, versions in baked.items()
    }


def _source(versions: Mapping[str, str], named: list[Locked]) -> Source:
    if any(each.version in versions and versions[each.version] not in each.hashes for each in named):
        return Source.ELSEWHERE
    return Source.IMAGE if named and all(each.version in versions for each in named) else Source.BOTH


def has_own_providers(code: Path) -> bool:
    """Return whether the code has providers of its own, where Terraform looks for them by itself."""
    return any(Path(folder).parts[-2:] == _OWN_PROVIDERS for folder, _, _ in os.walk(code))


def _lock_files(code: Path) -> Iterator[dict[str, Locked]]:
    for folder, folders, files in os.walk(code):
        folders[:] = [name for name in folders if name != ".git"]
        path = Path(folder, _LOCK_FILE)
        if _LOCK_FILE in files:
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_size <= _MOST_BYTES:
                yield locked_providers(path.read_text("utf-8-sig", "replace"))


def locked_providers(text: str) -> dict[str, Locked]:
    """Return the providers of a lock file by their addresses in small letters."""
    found: dict[str, Locked] = {}
    present = Locked()
    for line in text.splitlines():
        if match := _PROVIDER.match(line):
            present = found[match[1].lower()] = Locked()
        elif match := _VERSION.match(line):
            present.version = match[1]
        else:
            present.hashes.update(_HASH.findall(line))
    return found


__all__ = [
    "BAKED_FOLDER",
    "BAKED_INDEX",
    "Baked",
    "Locked",
    "Source",
    "baked_providers",
    "has_own_providers",
    "locked_providers",
    "sources",
]
