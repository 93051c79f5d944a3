"""Checks URLs of repositories before git gets them."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_SCP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[A-Za-z0-9~/][^\x00-\x1f\x7f ]*")
_URL_SCHEMES: Final = frozenset({"https", "ssh"})


def repository_path(repository: str) -> str | None:
    """Return ``host/path`` of a repository's URL in lower case, without ``.git``; None for ``file://``."""
    if _SCP.fullmatch(repository):
        host, _, path = repository.partition("@")[2].partition(":")
    else:
        parts = urlsplit(repository)
        if parts.scheme not in _URL_SCHEMES:
            return None
        host, path = parts.netloc.rpartition("@")[2], parts.path
    return f"{host}/{path.strip('/').removesuffix('.git')}".lower()


def repository_problem(repository: str, *, allow_file: bool = False) -> str | None:
    """Return the problem with a repository's URL, None if git may use it.

    Accepted are ``https://``, ``ssh://`` and ``user@host:path``; ``file://`` only with ``allow_file``, which the local
    cloud sets. A URL must not contain credentials, because it is shown and stored.
    """
    is_plain = repository.isprintable() and " " not in repository
    if _SCP.fullmatch(repository) and is_plain:
        return None
    try:
        parts = urlsplit(repository)
        host, password, port = parts.hostname, parts.password, parts.port
    except ValueError:
        return "is not the URL of a repository (example: https://github.com/owner/name)"
    if parts.scheme == "file":
        return None if allow_file and parts.path.startswith("/") else "is file://, which works on the local cloud only"
    if parts.scheme not in _URL_SCHEMES:
        return "must be https://…, ssh://… or user@host:path"
    if port == 0 or not is_plain:
        return "is not the URL of a repository (example: https://github.com/owner/name)"
    if not host or host.startswith("-") or (parts.username or "").startswith("-") or not parts.path.strip("/"):
        return "has no host or no path"
    if password is not None or (parts.scheme == "https" and parts.username is not None):
        return "contains credentials; remove them and store the token at git_token_location"
    return None
