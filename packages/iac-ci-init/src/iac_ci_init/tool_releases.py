"""Fetches releases of tools, verifies them, and keeps them in the stack's bucket."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common import keys
from iac_ci_common.errors import NotFound, PreparationFailed
from iac_ci_common.models.tools import StoredTool
from iac_ci_common.tool_versions import Version
from iac_ci_init.release_publishers import publisher
from iac_ci_init.signatures import verify

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.tools import Tool, ToolSource
    from iac_ci_common.ports import Objects
    from iac_ci_init.downloads import Downloads
    from iac_ci_init.release_publishers import Publisher

_MOST_INDEX_BYTES: Final = 32 * 1024 * 1024
_MOST_TEXT_BYTES: Final = 1024 * 1024
MAX_RELEASE_BYTES: Final = 200 * 1024 * 1024
"""Largest release, in bytes: it must fit into the memory of a 512 MB function."""

_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def this_platform() -> str:
    """Return this machine as publishers name it, ``linux_amd64``: workers have the same."""
    return f"{sys.platform}_{_MACHINES.get(platform.machine().lower(), platform.machine().lower())}"


class ToolReleases:
    """The releases of tools."""

    def __init__(self, objects: Objects, downloads: Downloads, platform: str | None = None) -> None:
        """Fetch with ``downloads``; keep releases in ``objects``."""
        self._objects = objects
        self._downloads = downloads
        self._platform = platform or this_platform()

    def versions(self, tool: Tool, source: ToolSource | None = None) -> list[Version]:
        """Return the versions that ``source``, or else the publisher, has.

        The list is not signed: it can only name releases that are.
        """
        index = publisher(tool, source).index
        try:
            document = json.loads(self._downloads.read(index, most=_MOST_INDEX_BYTES))
            return [version for name in _names(document) if (version := _version(name)) is not None]
        except NotFound as error:
            raise PreparationFailed(f"the list of versions is missing: {error.message}") from error
        except (ValueError, RecursionError) as error:
            raise PreparationFailed(f"{index} is not a list of versions") from error

    def stored(self, tool: Tool, version: Version, now: datetime, source: ToolSource | None = None) -> StoredTool:
        """Return a release in the bucket.

        It is fetched from ``source``, or else from the publisher, and verified if this month's runs have not used it.

        Raises ``PreparationFailed`` if there is no such release or it is not what its publisher signed, and
        ``Throttled`` if it cannot be reached.
        """
        prefix = keys.tool_releases(f"{now:%Y-%m}", tool.value, str(version), self._platform)
        for key in self._objects.list(prefix):
            return StoredTool(tool=tool.value, version=str(version), sha256=key.removeprefix(prefix), key=key)
        content, sha256 = self._fetch(tool, version, publisher(tool, source))
        self._objects.put(prefix + sha256, content)
        return StoredTool(tool=tool.value, version=str(version), sha256=sha256, key=prefix + sha256)

    def _fetch(self, tool: Tool, version: Version, source: Publisher) -> tuple[bytes, str]:
        if source.fingerprint is None:
            raise PreparationFailed(
                f"this version of iac-ci knows no key that signs {tool}; the stack's operator names one in tool_sources"
            )
        folder = f"{source.address}/{source.folder.format(version=version)}"
        sums = self._read(f"{folder}/{source.sums.format(version=version)}", tool, version, source)
        signature = self._read(f"{folder}/{source.signature.format(version=version)}", tool, version, source)
        verify(sums, signature, self._read(source.key, tool, version, source), source.fingerprint)
        name = source.archive.format(version=version, platform=self._platform)
        expected = re.findall(
            rf"^([0-9a-f]{{64}}) [ *]{re.escape(name)}\r?$", sums.decode("utf-8", "replace"), re.MULTILINE
        )
        if len(set(expected)) != 1:
            raise PreparationFailed(
                f"{tool} {version} has no release for {self._platform}: the checksums do not name {name}"
            )
        content = self._read(f"{folder}/{name}", tool, version, source, most=MAX_RELEASE_BYTES)
        found = hashlib.sha256(content).hexdigest()
        if found != expected[0]:
            raise PreparationFailed(
                f"{folder}/{name} is not what its publisher signed: its SHA-256 is {found}, not {expected[0]}"
            )
        return content, found

    def _read(
        self, address: str, tool: Tool, version: Version, source: Publisher, most: int = _MOST_TEXT_BYTES
    ) -> bytes:
        try:
            return self._downloads.read(address, most=most)
        except NotFound as error:
            raise PreparationFailed(f"{tool} {version} is not at {source.address}: {error.message}") from error


def _names(document: Any) -> list[str]:
    """Return the versions in HashiCorp's list, in OpenTofu's, or in GitHub's."""
    entries = document.get("versions") if isinstance(document, dict) else document
    if isinstance(entries, dict):
        return list(entries)
    if not isinstance(entries, list):
        raise ValueError("no list of versions")  # noqa: TRY004 - the document is wrong, not the caller's type
    named = (entry.get("id") or entry.get("tag_name") if isinstance(entry, dict) else entry for entry in entries)
    return [name for name in named if isinstance(name, str)]


def _version(name: str) -> Version | None:
    try:
        return Version.parse(name)
    except ValueError:
        return None
