"""Fills a network mirror with the providers of lock files.

The mirror's files are those that Terraform reads ("Provider Network Mirror Protocol"). A provider comes from its
registry ("Provider Registry Protocol") and counts only with a hash of the lock file: ``zh:`` is the SHA-256 of the
archive, ``h1:`` the digest of its files (Go's ``dirhash.Hash1``). Terraform compares the hashes of the lock file again
at each ``init``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import requests

_SECONDS: Final = 60
_MOST_BYTES: Final = 1024 * 1024 * 1024
_BLOCK: Final = re.compile(
    r'^provider "([a-z0-9.:-]+)/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL
)
_VERSION: Final = re.compile(r'^\s*version\s*=\s*"([0-9A-Za-z.+-]+)"', re.MULTILINE)
_HASH: Final = re.compile(r'"((?:h1|zh):[A-Za-z0-9+/=]+)"')


class NotMirrored(Exception):
    """A provider cannot be read, or is not the one of the lock file; the message says which."""


@dataclass(frozen=True, slots=True)
class Locked:
    """A provider of a lock file."""

    host: str
    namespace: str
    name: str
    version: str
    hashes: frozenset[str]

    @property
    def folder(self) -> Path:
        """Return its folder in a mirror."""
        return Path(self.host, self.namespace, self.name)

    def archive(self, platform: str) -> str:
        """Return the name of its archive."""
        return f"terraform-provider-{self.name}_{self.version}_{platform}.zip"

    def __str__(self) -> str:
        """Return address and version, for people."""
        return f"{self.host}/{self.namespace}/{self.name} {self.version}"


def locked(text: str) -> list[Locked]:
    """Return the providers of a lock file."""
    found = []
    for host, namespace, name, body in _BLOCK.findall(text.replace("\r\n", "\n")):
        version = _VERSION.search(body)
        if version is None:
            raise NotMirrored(f"{host}/{namespace}/{name} has no version in the lock file")
        found.append(Locked(host, namespace, name, version[1], frozenset(_HASH.findall(body))))
    return found


def merged(providers: list[Locked]) -> list[Locked]:
    """Return each provider's version once, with the hashes of all lock files."""
    hashes: dict[tuple[str, str, str, str], frozenset[str]] = {}
    for entry in providers:
        key = (entry.host, entry.namespace, entry.name, entry.version)
        hashes[key] = hashes.get(key, frozenset()) | entry.hashes
    if not hashes:
        raise NotMirrored("the lock files name no provider")
    return [Locked(*key, known) for key, known in sorted(hashes.items())]


def hashes_of(archive: bytes) -> frozenset[str]:
    """Return both hashes that lock files have of an archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        files = {name: hashlib.sha256(opened.read(name)).hexdigest() for name in opened.namelist() if name[-1:] != "/"}
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    digest = base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
    return frozenset({f"h1:{digest}", f"zh:{hashlib.sha256(archive).hexdigest()}"})


def checked(provider: Locked, platform: str, archive: bytes) -> frozenset[str]:
    """Return an archive's hashes; raise ``NotMirrored`` if the lock file has none of them."""
    try:
        found = hashes_of(archive)
    except zipfile.BadZipFile as error:
        raise NotMirrored(f"{provider} for {platform} is not a zip archive") from error
    if not found & provider.hashes:
        raise NotMirrored(f"{provider} for {platform} has none of the hashes of the lock file")
    return found


def download(provider: Locked, platform: str, session: requests.Session, scheme: str) -> bytes:
    """Return a provider's archive from its registry."""
    base = f"{scheme}://{provider.host}"
    services = _json(session, f"{base}/.well-known/terraform.json")
    root = urljoin(f"{base}/", str(services.get("providers.v1") or "/v1/providers/"))
    system, _, architecture = platform.partition("_")
    path = f"{provider.namespace}/{provider.name}/{provider.version}/download/{system}/{architecture}"
    address = urljoin(root, path)
    url = urljoin(address, str(_json(session, address)["download_url"]))
    return _bytes(session, url)


def _json(session: requests.Session, url: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_bytes(session, url))
    return found


def _bytes(session: requests.Session, url: str) -> bytes:
    with session.get(url, timeout=_SECONDS, stream=True) as answer:
        if answer.status_code != requests.codes.ok:
            raise NotMirrored(f"{url} answered {answer.status_code}")
        content = bytearray()
        for part in answer.iter_content(1024 * 1024):
            content += part
            if len(content) > _MOST_BYTES:
                raise NotMirrored(f"{url} has more than {_MOST_BYTES} bytes")
        return bytes(content)


def fill(folder: Path, providers: list[Locked], platforms: list[str], session: requests.Session, scheme: str) -> int:
    """Write what is missing, and return how many archives were downloaded.

    A file appears under its name only when it is whole, and the lists name an archive only when it is there: orders may
    read while the mirror is filled.
    """
    downloaded = 0
    for provider in providers:
        target = folder / provider.folder
        target.mkdir(parents=True, exist_ok=True)
        list_of_version = target / f"{provider.version}.json"
        known = _read(list_of_version, {"archives": {}})
        for platform in platforms:
            name = provider.archive(platform)
            if (target / name).is_file():
                hashes = checked(provider, platform, (target / name).read_bytes())
            else:
                archive = download(provider, platform, session, scheme)
                hashes = checked(provider, platform, archive)
                _write(target / name, archive)
                downloaded += 1
            known["archives"][platform] = {"url": name, "hashes": sorted(hashes)}
        _write(list_of_version, json.dumps(known, indent=2, sort_keys=True).encode())
        index = _read(target / "index.json", {"versions": {}})
        index["versions"][provider.version] = {}
        _write(target / "index.json", json.dumps(index, indent=2, sort_keys=True).encode())
    return downloaded


def _read(path: Path, missing: dict[str, Any]) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else missing


def _write(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def main(arguments: list[str], scheme: str = "https") -> int:
    """Fill the mirror, or show with ``--plan`` what is missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--platform", action="append", required=True)
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("lockfiles", type=Path, nargs="+")
    given = parser.parse_args(arguments)
    try:
        providers = merged([entry for path in given.lockfiles for entry in locked(path.read_text("utf-8"))])
        if given.plan:
            for provider in providers:
                for platform in given.platform:
                    there = (given.folder / provider.folder / provider.archive(platform)).is_file()
                    sys.stdout.write(f"{provider} for {platform}: {'there' if there else 'to be downloaded'}\n")
            return 0
        downloaded = fill(given.folder, providers, given.platform, requests.Session(), scheme)
    except (NotMirrored, requests.RequestException, OSError, ValueError, KeyError) as error:
        reason = error if isinstance(error, NotMirrored) else f"{type(error).__name__}: {error}"
        sys.stderr.write(f"mirror: {reason}\nIt is safe to run this again.\n")
        return 1
    number = len(providers) * len(given.platform)
    archives = "1 archive" if number == 1 else f"{number} archives"
    sys.stderr.write(f"{archives} in {given.folder}, {downloaded} new.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
