"""What the jobs of each source may use: secrets and target roles. Pure.

A source is a repository (``host/path``, or the ``source`` of its connection) or ``api``. Its own entry of a list
replaces the list's entry ``*``. Without any entry it has the secrets below its own folder, and nothing else.

An entry is a list of patterns in the language of ``.iac-ci.yml`` (``globs``): ``*`` does not match a slash, ``**``
does. A pattern that is only ``*`` matches every name, because lists of versions before grant everything with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field

from iac_ci_common.encoded_names import encode
from iac_ci_common.globs import check_pattern, matches
from iac_ci_common.models.base import StoredShape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ANY_SOURCE: Final = "*"
"""Entry of a list for the sources without an entry of their own."""

SOURCES_FOLDER: Final = "sources/"
"""Folder below the prefix of the jobs' secrets with one folder for each source."""

_MAX_FOLDER_NAME: Final = 200

_EVERY_NAME: Final = "**"

_Pattern = Annotated[str, AfterValidator(check_pattern)]


@dataclass(frozen=True, slots=True)
class Grant:
    """Patterns of the secrets below the stack's prefix, and of the ARNs of roles, that one source's jobs may use."""

    secrets: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def allows_secret(self, name: str, source: str) -> bool:
        """Return whether jobs from ``source`` may use the secret with this name below the prefix.

        Another source's folder is reached only by a pattern that begins with ``sources/``, and exclusions always count.
        Raises ``ValueError`` for a pattern that is not valid.
        """
        if name.startswith(own_folder(source)):
            return True
        patterns = self.secrets
        if name.startswith(SOURCES_FOLDER):
            patterns = tuple(pattern for pattern in patterns if pattern.startswith((SOURCES_FOLDER, "!")))
        return _includes(patterns, name)

    def allows_role(self, arn: str) -> bool:
        """Return whether jobs may use the role. Raise ``ValueError`` for a pattern that is not valid."""
        return _includes(self.roles, arn)


def _includes(patterns: Sequence[str], name: str) -> bool:
    return matches([_EVERY_NAME if pattern == "*" else pattern for pattern in patterns], name)


NOTHING: Final = Grant()
"""Nothing but the secrets of the source's own folder."""

EVERYTHING: Final = Grant(secrets=("*",), roles=("*",))
"""Every secret below the prefix but those in the folders of other sources, and every role."""


class Grants(StoredShape):
    """The operator's lists, or the part of them that one parameter has."""

    secrets: dict[str, tuple[_Pattern, ...]] = Field(
        default_factory=dict, description="Patterns of secrets below the prefix, by source; `*` for any other source."
    )
    roles: dict[str, tuple[_Pattern, ...]] = Field(
        default_factory=dict, description="Patterns of ARNs of roles, by source; `*` for any other source."
    )
    tagged: tuple[str, ...] = Field((), description="Roles whose sessions carry session tags and a source identity.")

    def of(self, source: str) -> Grant:
        """Return what one source's jobs may use."""
        return Grant(_entry(self.secrets, source), _entry(self.roles, source))


def _entry(entries: Mapping[str, Sequence[str]], source: str) -> tuple[str, ...]:
    return tuple(entries.get(source, entries.get(ANY_SOURCE, ())))


def own_folder(source: str) -> str:
    """Return a source's own folder below the prefix of the jobs' secrets, with a slash at its end.

    Its name is one segment of a path, so that no source's folder is inside another's.
    """
    return f"{SOURCES_FOLDER}{encode(source, longest=_MAX_FOLDER_NAME)}/"


PARTS: Final = tuple(f"{number:02x}" for number in range(64))
"""Parts of the lists: one parameter does not hold all. ``terraform/deploy/sources.tf`` divides them so, too."""


def part_of(name: str) -> str:
    """Return the part of the lists that has the entries of a source or a role."""
    return PARTS[hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[0] % len(PARTS)]
