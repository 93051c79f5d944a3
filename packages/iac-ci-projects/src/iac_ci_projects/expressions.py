"""Evaluates expressions that are text: literals, templates, and the functions and values that are known beforehand."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Function = Callable[[Sequence[str]], str | None]

MAX_CHARS: Final = 4096
"""Longest expression that is evaluated and longest text that it may stand for, in characters."""

MAX_LOCALS: Final = 1000
"""Most local values of a folder or file that are read."""

MAX_LOCAL_ROUNDS: Final = 5
"""Most local values that name each other in a chain, if each stands before the one that it names."""

_PART: Final = re.compile(r'[^"\\$%]+|\\.|\$\$\{|%%\{|\$\{|[$%](?!\{)|"')
_CALL: Final = re.compile(r"([a-z_][a-z0-9_]*)\s*\(\s*")
_NAME: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*")
_SPACE: Final = re.compile(r"(?:\s+|#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_MAX_DEPTH: Final = 20


class _Unknown(Exception):
    """The value is known only to the tool."""


def text_of(
    expression: str, functions: Mapping[str, Function] | None = None, values: Mapping[str, str] | None = None
) -> str | None:
    """Return the text that an expression stands for; None if only the tool knows it.

    ``functions`` are called with their arguments and return None for an unknown value. ``values`` are names such as
    ``path.module``.
    """
    if len(expression) > MAX_CHARS:
        return None
    reader = _Reader(expression, functions or {}, values or {})
    try:
        found = reader.value(0)
        reader.space()
    except _Unknown:
        return None
    return found if reader.at == len(expression) else None


def known_locals(
    expressions: Mapping[str, str],
    functions: Mapping[str, Function] | None = None,
    values: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the values ``local.name`` that are text, by these names; they may name each other.

    Only the first ``MAX_LOCALS`` are read. Each round reads those that name only what has been read before, at most
    ``MAX_LOCAL_ROUNDS`` times.
    """
    known = dict(values or {})
    waiting = dict(islice(expressions.items(), MAX_LOCALS))
    for _ in range(MAX_LOCAL_ROUNDS):
        found = [name for name, expression in waiting.items() if _enter(name, expression, functions, known)]
        if not found:
            break
        for name in found:
            del waiting[name]
    return {name: text for name, text in known.items() if name.startswith("local.")}


def _enter(name: str, expression: str, functions: Mapping[str, Function] | None, known: dict[str, str]) -> bool:
    """Enter a local value if it is text; return whether it is."""
    text = text_of(expression, functions, known)
    if text is not None:
        known[f"local.{name}"] = text
    return text is not None


class _Reader:
    def __init__(self, text: str, functions: Mapping[str, Function], values: Mapping[str, str]) -> None:
        self._text = text
        self._functions = functions
        self._values = values
        self.at = 0

    def space(self) -> None:
        self.at = _SPACE.match(self._text, self.at).end()  # type: ignore[union-attr]

    def value(self, depth: int) -> str:
        """Read one value."""
        if depth > _MAX_DEPTH:
            raise _Unknown
        self.space()
        if self._text[self.at : self.at + 1] == '"':
            return self._string(depth)
        call = _CALL.match(self._text, self.at)
        if call is not None:
            return self._call(call, depth)
        name = _NAME.match(self._text, self.at)
        if name is None or name[0] not in self._values:
            raise _Unknown
        self.at = name.end()
        return self._values[name[0]]

    def _string(self, depth: int) -> str:
        self.at += 1
        parts: list[str] = []
        size = 0
        while size <= MAX_CHARS:
            part = _PART.match(self._text, self.at)
            if part is None:
                raise _Unknown
            self.at = part.end()
            if part[0] == '"':
                return "".join(parts)
            if part[0] == "${":
                parts.append(self.value(depth + 1))
                self.space()
                if self._text[self.at : self.at + 1] != "}":
                    raise _Unknown
                self.at += 1
            elif part[0].startswith("\\"):
                if part[0][1] not in _ESCAPES:
                    raise _Unknown
                parts.append(_ESCAPES[part[0][1]])
            else:
                parts.append(part[0].replace("$${", "${").replace("%%{", "%{"))
            size += len(parts[-1])
        raise _Unknown

    def _call(self, call: re.Match[str], depth: int) -> str:
        function = self._functions.get(call[1])
        if function is None:
            raise _Unknown
        self.at = call.end()
        arguments: list[str] = []
        while self._text[self.at : self.at + 1] != ")":
            arguments.append(self.value(depth + 1))
            self.space()
            if self._text[self.at : self.at + 1] == ",":
                self.at += 1
                self.space()
            elif self._text[self.at : self.at + 1] != ")":
                raise _Unknown
        self.at += 1
        found = function(arguments)
        if found is None:
            raise _Unknown
        return found
