"""Locations of secrets: ``ssm:/path`` or ``secretsmanager:id#key``.

``aws:::ssm:<path>`` and ``aws:::secretd:<path>`` are older forms of the same two. A ``/path`` without scheme in
``ssm_paths`` and an id without scheme in ``secret_manager_paths`` get the field's scheme.
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
_MAX_PARAMETER_CHARS: Final = 1011
_MAX_PARAMETER_LEVELS: Final = 15
"""Longest name of a parameter, and most levels of it (AWS Systems Manager API Reference, "PutParameter")."""
_KEY = re.compile(r"[^\x00-\x1f\x7f#]{1,256}")


class SecretStore(StrEnum):
    """The service that stores a secret."""

    SSM = "ssm"
    SECRETS_MANAGER = "secretsmanager"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """One secret: its store, its name, and optionally a key inside a JSON secret."""

    store: SecretStore
    name: str
    key: str | None = None

    def __str__(self) -> str:
        """Return the location in its canonical form."""
        return f"{self.store}:{self.name}" + (f"#{self.key}" if self.key else "")


def parse_location(value: str) -> Location:
    """Return a parsed location; raise ``ValueError`` for an unknown scheme or a name that is not valid.

    The error does not repeat the value, because it may be a secret instead of a location.
    """
    for alias, scheme in _ALIASES.items():
        if value.startswith(alias):
            value = scheme + value.removeprefix(alias)
            break
    scheme, separator, rest = value.partition(":")
    name, hash_sign, key = rest.partition("#")
    if not separator or scheme not in {store.value for store in SecretStore}:
        raise ValueError("is not a secret's location (ssm:/path or secretsmanager:id#key)")
    store = SecretStore(scheme)
    pattern = _SSM if store is SecretStore.SSM else _SECRET
    if pattern.fullmatch(name) is None or ".." in name.split("/"):
        raise ValueError(f"is not a valid name of a secret in {store}")
    if store is SecretStore.SSM and len(name) > _MAX_PARAMETER_CHARS:
        raise ValueError(f"is longer than the {_MAX_PARAMETER_CHARS} characters that a parameter's name may have")
    if store is SecretStore.SSM and name.strip("/").count("/") >= _MAX_PARAMETER_LEVELS:
        raise ValueError(f"has more than the {_MAX_PARAMETER_LEVELS} levels that a parameter's name may have")
    if hash_sign and _KEY.fullmatch(key) is None:
        raise ValueError("has no valid key after #")
    return Location(store, name, key or None)


def _canonical(value: str) -> str:
    return str(parse_location(value))


SecretLocation = Annotated[StrictStr, AfterValidator(_canonical)]
"""A location, converted to its canonical form."""


def _parameter(value: str) -> str:
    return _canonical(value if ":" in value else f"{SecretStore.SSM}:{value}")


def _secret(value: str) -> str:
    return _canonical(value if ":" in value else f"{SecretStore.SECRETS_MANAGER}:{value}")


ParameterLocation = Annotated[StrictStr, AfterValidator(_parameter)]
"""A location; a path without scheme is a parameter of Parameter Store."""

StoredSecretLocation = Annotated[StrictStr, AfterValidator(_secret)]
"""A location; an id without scheme is a secret of Secrets Manager."""
