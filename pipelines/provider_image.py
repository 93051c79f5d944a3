"""Adds the providers of lock files, unpacked, to the files that an image is built from.

The image gets them as one of Terraform's implied local mirrors, and their ``h1:`` hashes, by which the worker knows
what it has (``iac_ci_worker.baked_providers``). They come from the mirror that ``provider_mirror`` fills.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import stat
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

import requests
from provider_mirror import Locked, NotMirrored, fill, hashes_of, locked, merged

MOST_BYTES: Final = 8 * 1024**3
"""Most bytes of unpacked providers: Lambda accepts images of 10 GB (AWS Lambda Developer Guide, "Quotas")."""

_DIGITS: Final = 12


def digest(providers: list[Locked], platform: str) -> str:
    """Return what tells images with other providers apart: equal lock files have equal digests."""
    lines = [f"{provider} {platform} {' '.join(sorted(provider.hashes))}\n" for provider in providers]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_DIGITS]


def add(context: Path, mirror: Path, providers: list[Locked], platform: str) -> int:
    """Append the providers and their index to the archive ``context``; return their unpacked bytes.

    Raises ``NotMirrored`` if Terraform would refuse an unpacked provider, because its lock file has no ``h1:`` hash of
    this platform, and for more than ``MOST_BYTES``.
    """
    index: dict[str, dict[str, str]] = {}
    total = 0
    without_hash = []
    with tarfile.open(context, "a") as opened:
        for provider in providers:
            path = mirror / provider.folder / provider.archive(platform)
            (known,) = [each for each in hashes_of(path.read_bytes()) if each.startswith("h1:")]
            if known not in provider.hashes:
                without_hash.append(str(provider))
            address = f"{provider.host}/{provider.namespace}/{provider.name}".lower()
            index.setdefault(address, {})[provider.version] = known
            folder = f"providers/plugins/{provider.folder.as_posix()}/{provider.version}/{platform}"
            total += _unpack(path, opened, folder)
            if total > MOST_BYTES:
                raise NotMirrored(f"the providers have more than {MOST_BYTES} bytes unpacked, too many for Lambda")
        if without_hash:
            raise NotMirrored(
                f"the lock file has no h1: hash of {', '.join(without_hash)} for {platform}, without which Terraform "
                f"refuses unpacked providers: run terraform providers lock -platform={platform} and commit the result"
            )
        text = json.dumps({"schema_version": 1, "providers": index}, indent=2, sort_keys=True)
        _write(opened, "providers/index.json", io.BytesIO(text.encode()), len(text.encode()), 0o644)
    return total


def _unpack(archive: Path, context: tarfile.TarFile, folder: str) -> int:
    total = 0
    with zipfile.ZipFile(archive) as zipped:
        for entry in sorted(zipped.infolist(), key=lambda each: each.filename):
            name = PurePosixPath(entry.filename)
            if entry.is_dir():
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or kind not in {0, stat.S_IFREG}:
                raise NotMirrored(f"{archive.name} has an entry that is no plain file: {entry.filename!r:.80}")
            mode = 0o755 if name.name.startswith("terraform-provider-") else 0o644
            with zipped.open(entry) as content:
                _write(context, f"{folder}/{name}", content, entry.file_size, mode)
            total += entry.file_size
    return total


def _write(context: tarfile.TarFile, name: str, content: io.IOBase, size: int, mode: int) -> None:
    """Append a file of root's; without a time, equal providers give equal layers of the image."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, mode
    context.addfile(entry, content)


def main(arguments: list[str], scheme: str = "https") -> int:
    """Print the digest of the providers, or add them to the archive ``--context``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--platform", required=True)
    parser.add_argument("--mirror", type=Path)
    parser.add_argument("--context", type=Path)
    parser.add_argument("lockfiles", type=Path, nargs="+")
    given = parser.parse_args(arguments)
    try:
        providers = merged([entry for path in given.lockfiles for entry in locked(path.read_text("utf-8-sig"))])
        if given.context is None:
            sys.stdout.write(f"{digest(providers, given.platform)}\n")
            return 0
        downloaded = fill(given.mirror, providers, [given.platform], requests.Session(), scheme)
        total = add(given.context, given.mirror, providers, given.platform)
    except (NotMirrored, requests.RequestException, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = error if isinstance(error, NotMirrored) else f"{type(error).__name__}: {error}"
        sys.stderr.write(f"providers: {reason}\n")
        return 1
    counted = "1 provider" if len(providers) == 1 else f"{len(providers)} providers"
    sys.stderr.write(f"{counted} of {total} bytes, {downloaded} downloaded now:\n")
    sys.stderr.write("".join(f"  {provider}\n" for provider in providers))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
