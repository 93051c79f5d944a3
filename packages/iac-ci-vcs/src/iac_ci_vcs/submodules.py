"""Reads which submodules a commit has, and where they come from. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iac_ci_common.errors import PreparationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST: Final = 50
"""Most submodules of a commit, with those of its submodules."""

DEEPEST: Final = 4
"""Deepest nesting of submodules."""

_GITLINK: Final = b"160000"
_SCP: Final = re.compile(r"(?:[^@/]+@)?(?P<host>[^:/]+):(?!//)(?P<path>.+)")


@dataclass(frozen=True, slots=True, order=True)
class Submodule:
    """A folder of a commit that is a commit of another repository."""

    path: str
    commit: str
    url: str


def submodules(listing: bytes, configuration: bytes, repository: str) -> list[Submodule]:
    """Return a commit's submodules, in the order of their paths.

    ``listing`` is what ``git ls-tree -r -z`` prints of the commit, ``configuration`` what ``git config --list -z``
    prints of its ``.gitmodules``, and ``repository`` the URL of its repository, to which relative URLs refer. Raises
    ``PreparationFailed`` with every submodule that has no URL.
    """
    links = dict(_links(listing))
    urls = _urls(configuration)
    if missing := sorted(path for path in links if path not in urls):
        names = ", ".join(repr(path)[:80] for path in missing)
        raise PreparationFailed(f"the folder {names} is a submodule, and .gitmodules has no URL for it")
    return sorted(Submodule(path, commit, absolute(urls[path], repository)) for path, commit in links.items())


def absolute(url: str, repository: str) -> str:
    """Return a submodule's URL; one that begins with ``./`` or ``../`` is relative to its repository's (git-submodule).

    A URL of the repository's own host becomes an https one if the repository has one, without a user's name, so that
    one token reads both.
    """
    if url.startswith(("./", "../")):
        base = repository.rstrip("/")
        while url.startswith(("./", "../")):
            if url.startswith("./"):
                url = url[2:]
                continue
            base = _above(base) or ""
            if not base:
                raise PreparationFailed(f"the submodule's URL leads out of {repository}")
            url = url[3:]
        return f"{base}{url}" if base.endswith(":") else f"{base}/{url}"
    parts = urlsplit(repository)
    if parts.scheme != "https":
        return url
    found = _SCP.fullmatch(url)
    host, path = (found["host"].lower(), found["path"]) if found is not None else _of_url(url, parts.port)
    return f"https://{parts.netloc}/{path.lstrip('/')}" if host == parts.hostname else url


def _above(base: str) -> str | None:
    """Return a URL without its last folder, None if it has none; before the first one of user@host:path is a colon."""
    above, slash, _ = base.rpartition("/")
    if slash:
        return None if above.endswith((":", "/")) else above
    host, colon, path = base.partition(":")
    return f"{host}:" if colon and path else None


def _of_url(url: str, port: int | None) -> tuple[str | None, str]:
    """Return host and path of a URL for which https can stand: ssh, or https at the same port without a password."""
    try:
        parts = urlsplit(url)
        is_https = parts.scheme == "https" and parts.password is None and (parts.port or 443) == (port or 443)
    except ValueError:
        return None, ""
    return (parts.hostname, parts.path) if parts.scheme == "ssh" or is_https else (None, "")


def _links(listing: bytes) -> Iterator[tuple[str, str]]:
    for entry in listing.split(b"\0"):
        head, _, path = entry.partition(b"\t")
        fields = head.split()
        if fields and fields[0] == _GITLINK:
            yield path.decode("utf-8", "surrogateescape"), fields[2].decode()


def _urls(configuration: bytes) -> dict[str, str]:
    """Return the URLs by the submodules' paths; of two values for one key the last counts, as in git."""
    values: dict[str, dict[str, str]] = {}
    for entry in configuration.split(b"\0"):
        key, _, value = entry.decode("utf-8", "surrogateescape").partition("\n")
        section, _, name = key.rpartition(".")
        if section.startswith("submodule."):
            values.setdefault(section, {})[name] = value
    return {found["path"]: found["url"] for found in values.values() if found.get("path") and found.get("url")}
