"""Versions of tools, and constraints on them, as Terraform reads them: pure.

The rules are those of HashiCorp's library go-version, by which Terraform and OpenTofu check ``required_version``.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_VERSION_CHARS: Final = 64
"""Longest version or request, in characters."""

MAX_CONSTRAINT_CHARS: Final = 1024
"""Longest constraint, in characters."""

_VERSION: Final = re.compile(
    r"v?(?P<numbers>[0-9]{1,9}(?:\.[0-9]{1,9}){0,5})"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)
_CONSTRAINT: Final = re.compile(r"\s*(?P<operator>=|!=|>=|<=|~>|>|<|)\s*(?P<version>\S+)\s*")
_PATTERN: Final = re.compile(r"[\^$.0-9\\\[\]a-z-]{1,40}")
"""A pattern of ``latest:``: single characters and classes of them, so that no pattern takes long."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version: its numbers, at least three, and the parts of a pre-release (``rc1`` in ``1.2.0-rc1``)."""

    numbers: tuple[int, ...]
    pre: tuple[str, ...] = ()
    written: int = 3
    """How many numbers were written: ``~>`` counts them."""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return the version of a text; raise ``ValueError`` with what is wrong, which does not repeat the text."""
        match = _VERSION.fullmatch(text) if len(text) <= MAX_VERSION_CHARS else None
        if match is None:
            raise ValueError("is not a version like 1.11.4")
        numbers = tuple(map(int, match["numbers"].split(".")))
        return cls(
            (*numbers, *(0,) * (3 - len(numbers))), tuple(filter(None, (match["pre"] or "").split("."))), len(numbers)
        )

    def __str__(self) -> str:
        """Return the version as publishers write it."""
        return ".".join(map(str, self.numbers)) + ("-" + ".".join(self.pre) if self.pre else "")

    def __eq__(self, other: object) -> bool:
        """Return whether both are the same version, however many numbers were written."""
        return isinstance(other, Version) and self._key() == other._key()

    def __hash__(self) -> int:
        """Return a hash that equal versions share."""
        return hash(self._key())

    def __lt__(self, other: Version) -> bool:
        """Return whether this version comes before another: a pre-release before its release."""
        return self._key() < other._key()

    def _key(self) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
        numbers = self.numbers
        while len(numbers) > 3 and numbers[-1] == 0:
            numbers = numbers[:-1]
        parts = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in self.pre)
        return numbers, not self.pre, parts


@dataclass(frozen=True, slots=True)
class _Term:
    operator: str
    version: Version

    def allows(self, version: Version) -> bool:
        # A pre-release counts as its release here.
        found, wanted = Version(version.numbers), self.version
        if self.operator in {"", "="}:
            return found == wanted
        if self.operator == "!=":
            return found != wanted
        if self.operator == "~>":
            kept = wanted.written - 1
            return found >= wanted and found.numbers[:kept] == wanted.numbers[:kept]
        return _COMPARED[self.operator](found, wanted)


_COMPARED: Final[dict[str, Callable[[Version, Version], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint like ``>= 1.5, < 2.0``: every term must hold."""

    text: str
    terms: tuple[_Term, ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Return the constraint of a text; raise ``ValueError`` with what is wrong, which does not repeat the text."""
        if len(text) > MAX_CONSTRAINT_CHARS:
            raise ValueError(f"has more than {MAX_CONSTRAINT_CHARS} characters")
        terms = []
        for number, part in enumerate(text.split(","), 1):
            match = _CONSTRAINT.fullmatch(part)
            if match is None:
                raise ValueError(f"has a part {number} that is not a constraint like >= 1.5 or ~> 1.11.0")
            try:
                version = Version.parse(match["version"])
            except ValueError as error:
                raise ValueError(f"has a part {number} whose version {error}") from None
            if version.pre:
                raise ValueError(f"has a part {number} with a pre-release, which Terraform refuses in constraints")
            terms.append(_Term(match["operator"], version))
        return cls(text, tuple(terms))

    def allows(self, version: Version) -> bool:
        """Return whether a version satisfies every term."""
        return all(term.allows(version) for term in self.terms)


class Choice(StrEnum):
    """How a request chooses among the published versions."""

    EXACT = "exact"
    LATEST = "latest"
    LATEST_ALLOWED = "latest-allowed"
    MIN_REQUIRED = "min-required"


@dataclass(frozen=True, slots=True)
class Request:
    """What an order or a version file asks for."""

    choice: Choice
    version: Version | None = None
    pattern: str | None = None
    """The regular expression of ``latest:``."""

    @classmethod
    def parse(cls, text: str) -> Request:
        """Return the request of a text; raise ``ValueError`` with what is wrong and what to write instead."""
        choice, _, pattern = text.partition(":")
        if choice == Choice.LATEST and pattern:
            if _PATTERN.fullmatch(pattern) is None or not _compiles(pattern):
                raise ValueError(
                    "has a pattern after latest: that is refused; it may have digits, letters and . ^ $ \\ [ ] -, "
                    "like latest:^1\\.11\\."
                )
            return cls(Choice.LATEST, pattern=pattern)
        if text in {Choice.LATEST, Choice.LATEST_ALLOWED, Choice.MIN_REQUIRED}:
            return cls(Choice(text))
        try:
            return cls(Choice.EXACT, Version.parse(text))
        except ValueError:
            # The text is not repeated: it may be a secret in the wrong field.
            raise ValueError(
                "is not a version like 1.11.4, latest, latest:<pattern>, latest-allowed or min-required"
            ) from None


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def choose(
    request: Request | None,
    constraints: Iterable[Constraint],
    own: Version | None,
    available: Callable[[], Iterable[Version]],
) -> Version | None:
    """Return the version to use; None if the worker's ``own`` is the right one.

    Without a request the worker's own version counts if all ``constraints`` allow it, or else the newest published one
    that they allow. ``available`` returns the published versions and is called only if they decide; pre-releases are
    used only if they are named exactly. Raises ``ValueError`` if no version is right.
    """
    known = tuple(constraints)
    if request is not None and request.version is not None:
        return None if request.version == own else request.version
    if request is None and own is not None and all(constraint.allows(own) for constraint in known):
        return None
    if request is not None and request.choice is not Choice.LATEST and not known:
        raise ValueError(f"is {request.choice}, and the folder's root module has no required_version")
    counts = known if request is None or request.choice is not Choice.LATEST else ()
    pattern = request.pattern if request is not None else None
    found = [
        version
        for version in available()
        if not version.pre
        and all(constraint.allows(version) for constraint in counts)
        and (pattern is None or re.search(pattern, str(version)) is not None)
    ]
    if not found:
        raise ValueError("allows none of the published versions")
    chosen = min(found) if request is not None and request.choice is Choice.MIN_REQUIRED else max(found)
    return None if chosen == own else chosen
