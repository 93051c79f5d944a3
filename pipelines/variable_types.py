"""The variables of a Terraform stage, and the attributes of those that are objects."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VARIABLE: Final = re.compile(r'^variable "(\w+)" \{\n(?:.*\n)*?  type += ', re.MULTILINE)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.]+|[(){}\[\],=]')


def types(stage: Path) -> dict[str, Any]:
    """Return the type of each variable by its name.

    An object is a dictionary of its attributes' types, a collection a list with the type of its entries, and any other
    type is None.
    """
    texts = [path.read_text("utf-8") for path in stage.glob("*.tf")]
    return {found[1]: _read(_tokens(text[found.end() :])) for text in texts for found in _VARIABLE.finditer(text)}


def unknown(value: Any, kind: Any, where: str) -> Iterator[str]:
    """Yield a problem for each attribute that its object does not have: Terraform leaves it out without a word."""
    if isinstance(kind, list):
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, entry in entries:
            yield from unknown(entry, kind[0], f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}")
    elif isinstance(kind, dict) and isinstance(value, dict):
        for name, entry in value.items():
            if name in kind:
                yield from unknown(entry, kind[name], f"{where}.{name}")
            else:
                yield f"{where}.{name}: is not an attribute there{meant(name, kind)}"


def meant(name: str, known: dict[str, Any]) -> str:
    """Return the question whether another name is meant; an empty text if none is like it."""
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _tokens(text: str) -> Iterator[str]:
    return (found[0] for found in _TOKEN.finditer(text))


def _read(tokens: Iterator[str]) -> Any:
    word = next(tokens)
    if word in {"list", "map", "set"}:
        _skip(tokens, "(")
        entry = [_read(tokens)]
        _skip(tokens, ")")
        return entry
    if word == "optional":
        _skip(tokens, "(")
        kind = _read(tokens)
        # What follows is its default.
        depth = 1
        while depth:
            character = next(tokens)
            depth += (character in "([{") - (character in ")]}")
        return kind
    if word == "object":
        _skip(tokens, "({")
        attributes: dict[str, Any] = {}
        while (name := next(tokens)) != "}":
            if name != ",":
                _skip(tokens, "=")
                attributes[name] = _read(tokens)
        _skip(tokens, ")")
        return attributes
    return None


def _skip(tokens: Iterator[str], expected: str) -> None:
    for character in expected:
        if (found := next(tokens)) != character:
            raise ValueError(f"{found} in place of {character}")
