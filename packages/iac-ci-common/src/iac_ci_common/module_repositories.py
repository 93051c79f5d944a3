"""Names of the private repositories that an order's commands may read: `git_credentials`. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, StrictStr

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATH: Final = r"[A-Za-z0-9_.~-]+(?:/[A-Za-z0-9_.~-]+)+"
_ENTRY: Final = re.compile(rf"(?:https://(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{{1,5}})?)/)?(?P<path>{_PATH})")
_HOST: Final = re.compile(
    r"https://(?P<https>[^/@\s]+)/|ssh://[^/@\s]+@(?P<ssh>[^/:@\s]+)(?::\d+)?/|[^/@\s]+@(?P<scp>[^/:@\s]+):"
)
_LONGEST: Final = 256


def check_module_repository(entry: str) -> str:
    """Return an entry of `git_credentials` if it is ``owner/name`` or an https URL; else raise ``ValueError``."""
    match = _ENTRY.fullmatch(entry)
    if match is None or len(entry) > _LONGEST or any(not part.strip(".") for part in match["path"].split("/")):
        raise ValueError(
            "is not a repository: write owner/name for one on the host of the order's code, or https://host/owner/name,"
            " without a user or a token"
        )
    return entry


ModuleRepository = Annotated[StrictStr, AfterValidator(check_module_repository)]


def repository_host(repository: str | None) -> str | None:
    """Return the host of the URL of an order's code, None if it has none that a name can be relative to."""
    match = _HOST.match(repository or "")
    found = match and (match["https"] or match["ssh"] or match["scp"])
    return found.lower() if found else None


def module_keys(entries: Sequence[str], repository: str | None) -> tuple[str, ...]:
    """Return ``host/path`` of each entry, without doubles; ``repository`` is that of the order's code.

    Hosts compare paths without regard to case; the keys keep it, because git does not.

    Raises ``ValueError`` for an entry without a host if the code has none.
    """
    keys = [_key(entry, repository) for entry in entries]
    return tuple({key.lower(): key for key in reversed(keys)}[lower] for lower in dict.fromkeys(map(str.lower, keys)))


def _key(entry: str, repository: str | None) -> str:
    match = _ENTRY.fullmatch(entry)
    host = match and (match["host"] or repository_host(repository))
    if match is None or not host:
        raise ValueError("needs the whole URL, https://host/owner/name, because the order's code is from no code host")
    return f"{host.lower()}/{match['path'].removesuffix('.git')}"


__all__ = ["ModuleRepository", "check_module_repository", "module_keys", "repository_host"]
