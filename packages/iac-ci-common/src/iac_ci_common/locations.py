"""Where a secret lives: ``ssm:/path`` or ``secretsmanager:id#key``.

``aws:::ssm:<path>`` and ``aws:::secretd:<path>`` are older names of the same two; a bare ``/path`` in ``ssm_paths`` and
a bare id in ``secret_manager_paths`` are read in the scheme that the field implies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, StrictStr

_ALIASES: Final = {
    "aws:::ssm:": "ssm:",
    "aws:::secretd:": "secretsmanager:",
    "aws:::secretsmanager:": "secretsmanager:",
}
_SSM = re.compile(r"/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_SECRET = re.compile(r"[A-Za-z0-9/_+=.@:-]{1,512}")
_KEY = re.compile(r"[^\x00-\x1f\x7f#]{1,256}")


class SecretStore(StrEnum):
    """The service that holds a secret."""

    SSM = "ssm"
    SECRETS_MANAGER = "secretsmanager"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """One secret: the store, the name in it, and the key inside a JSON secret if one is meant."""

    store: SecretStore
    name: str
    key: str | None = None

    def __str__(self) -> str:
        """Write the location in its canonical form."""
        return f"{self.store}:{self.name}" + (f"#{self.key}" if self.key else "")


def parse_location(value: str) -> Location:
    """Read a location; raise ``ValueError`` where it is in no known scheme or names nothing.

    The error does not repeat what was given: it may be a secret in the place of its location.
    """
    for alias, scheme in _ALIASES.items():
        if value.startswith(alias):
            value = scheme + value.removeprefix(alias)
            break
    scheme, separator, rest = value.partition(":")
    name, hash_sign, key = rest.partition("#")
    if not separator or scheme not in {store.value for store in SecretStore}:
        raise ValueError("is in no known scheme (ssm:/path or secretsmanager:id#key)")
    store = SecretStore(scheme)
    pattern = _SSM if store is SecretStore.SSM else _SECRET
    if pattern.fullmatch(name) is None or ".." in name.split("/"):
        raise ValueError(f"does not name a {store} entry")
    if hash_sign and _KEY.fullmatch(key) is None:
        raise ValueError("has no key behind #")
    return Location(store, name, key or None)


def _canonical(value: str) -> str:
    return str(parse_location(value))


SecretLocation = Annotated[StrictStr, AfterValidator(_canonical)]
"""A location, kept in its canonical form."""


def _parameter(value: str) -> str:
    return _canonical(value if ":" in value else f"{SecretStore.SSM}:{value}")


def _secret(value: str) -> str:
    return _canonical(value if ":" in value else f"{SecretStore.SECRETS_MANAGER}:{value}")


ParameterLocation = Annotated[StrictStr, AfterValidator(_parameter)]
"""A location of which a bare path is one of Parameter Store."""

StoredSecretLocation = Annotated[StrictStr, AfterValidator(_secret)]
"""A location of which a bare id is one of Secrets Manager."""
