"""Reads structured texts as the people and tools that write them do: JSON, YAML, and lines of ``KEY=value``.

A reading is a list of entries: a key, or None where a value has none, and the value's text as it is written.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    import yaml

Entry: TypeAlias = tuple[str | None, str]

MINIMUM_LINE_CHARS: Final = 8
"""Shortest line of a value of several lines that is masked by itself."""

_MAX_YAML_DEPTH: Final = 100
"""Mappings and lists inside one another: the time that the library takes grows with the square of them."""

_YAML_SIGN: Final = re.compile(r"(?m)^[ \t]*(?:- |[\[{]|[^\s#].*?:(?:[ \t\r]|$))")
"""A line of a YAML list or mapping: only texts that have one are worth the time."""

_ASSIGNMENT: Final = re.compile(r"(?:(?:export|declare -x)[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*(?:=|:(?!//))[ \t]*(.*)")
_ONLY_ASSIGNMENT: Final = re.compile(r"(?:(?:export|declare -x)[ \t]+)?([A-Za-z_]\w*)=(.+)")
_NO_ASSIGNMENT: Final = re.compile(r"[#;].*|\[[^\]]*\]|")
_QUOTED: Final = re.compile(r"(\"(?:[^\"\\]|\\.)*\"|'[^']*')[,;]?[ \t]*(?:[#;].*)?")
_COMMENT: Final = re.compile(r"[ \t]#")
_PART: Final = re.compile(r"([A-Za-z][\w ]*)=(.*)")


def json_entries(text: str) -> list[Entry] | None:
    """Read one or more JSON objects or lists; None where the text is something else."""
    bare = text.strip().removeprefix("\ufeff")
    if bare[:1] not in {"{", "["}:
        return None
    found: list[Entry] = []
    position = 0
    try:
        while position < len(bare):
            document, position = _JSON.raw_decode(bare, position)
            found += _leaves(document)
            while bare[position : position + 1].isspace():
                position += 1
    except (ValueError, RecursionError):
        return None
    return found


def document(text: str) -> list[Entry] | None:
    """Read JSON, YAML, or a text in quotes; None where the text is something else."""
    lines = text.strip().splitlines()
    if len(lines) == 1 and _is_quoted(lines[0]):
        return [(None, _unquoted(lines[0]))]
    if (found := json_entries(text)) is not None:
        return found
    return None if all(map(_is_of_shell, lines)) else _yaml_entries(text)


def assignments(text: str) -> list[Entry] | None:
    """Read ``KEY=value`` lines, with sections or without, and other lines as they are; None without any key.

    A text of one line counts where it is written as a shell does it.
    """
    lines = [line.strip() for line in text.strip().splitlines()]
    if len(lines) == 1:
        match = None if len(parts(text)) > 1 else _ONLY_ASSIGNMENT.fullmatch(lines[0])
        return [(match[1], value) for value in _assigned(match[2])] if match else None
    found: list[Entry] = []
    for line in lines:
        if match := _ASSIGNMENT.fullmatch(line):
            found += [(match[1], value) for value in _assigned(match[2])]
        elif not _NO_ASSIGNMENT.fullmatch(line) and len(line) >= MINIMUM_LINE_CHARS:
            found.append((None, line))
    return found if any(key is not None for key, _ in found) else None


def parts(text: str) -> list[tuple[str, str]]:
    """Read the parts of a connection string, ``Name=value;Name=value``, whose first one may be an address alone."""
    written = [part.strip() for part in text.split(";") if part.strip()]
    found = [match for part in written if (match := _PART.fullmatch(part))]
    return [(match[1].strip(), match[2].strip()) for match in found] if len(written) > 1 else []


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with each of its keys, also those that are there twice."""


_JSON: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=str)


def _leaves(document: Any) -> list[Entry]:
    found: list[Entry] = []
    waiting: list[tuple[str | None, Any]] = [(None, document)]
    while waiting:
        key, node = waiting.pop()
        if isinstance(node, _Pairs):
            waiting += reversed(node)
        elif isinstance(node, list):
            waiting += [(None, below) for below in reversed(node)]
        elif isinstance(node, str):
            found.append((key, node))
    return found


@dataclass(slots=True)
class _Open:
    """A mapping or list of YAML whose end has not come."""

    is_mapping: bool
    key: str | None = None
    has_key: bool = False


def _yaml_entries(text: str) -> list[Entry] | None:
    """Read the leaves of YAML; None where it is none, and where it is a single text."""
    if not _YAML_SIGN.search(text):
        return None
    import yaml

    try:
        return _leaves_of_events(yaml.parse(text.removeprefix("\ufeff"), Loader=yaml.SafeLoader))
    except (yaml.YAMLError, ValueError):
        return None


def _leaves_of_events(events: Iterator[yaml.Event]) -> list[Entry] | None:
    import yaml

    found: list[Entry] = []
    anchors: dict[str, str] = {}
    opened: list[_Open] = []
    has_structure = False
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            opened.pop()
        elif isinstance(event, yaml.NodeEvent):
            value = event.value if isinstance(event, yaml.ScalarEvent) else None
            if isinstance(event, yaml.AliasEvent):
                value = anchors.get(event.anchor or "")
            elif value is not None and event.anchor:
                anchors[event.anchor] = value
            key, is_key = _key_of(opened[-1] if opened else None, value)
            if isinstance(event, yaml.CollectionStartEvent):
                has_structure = True
                opened.append(_Open(isinstance(event, yaml.MappingStartEvent)))
                if len(opened) > _MAX_YAML_DEPTH:
                    return None
            elif value and not is_key:
                found.append((key, value.strip("\n")))
    return found if has_structure else None


def _key_of(around: _Open | None, value: str | None) -> tuple[str | None, bool]:
    """Return the key under which a node stands, and whether it is a key itself."""
    if around is None or not around.is_mapping:
        return None, False
    around.has_key = not around.has_key
    if around.has_key:
        around.key = value
        return None, True
    return around.key, False


def _is_of_shell(line: str) -> bool:
    """Return whether a line is an assignment of a shell, or nothing: YAML reads ``A=b: c`` in its own way."""
    bare = line.strip()
    return bare.startswith("#") or not bare or _ONLY_ASSIGNMENT.fullmatch(bare) is not None


def _assigned(text: str) -> Iterator[str]:
    """Yield what stands behind a key: without its quotes, or with its comment and without, which may be no comment."""
    if match := _QUOTED.fullmatch(text):
        yield _unquoted(match[1])
        return
    yield text
    if comment := _COMMENT.search(text):
        yield text[: comment.start()].rstrip()


def _is_quoted(text: str) -> bool:
    return (match := _QUOTED.fullmatch(text)) is not None and match[1] == text


def _unquoted(value: str) -> str:
    if value.startswith("'"):
        return value[1:-1]
    try:
        return str(json.loads(value))
    except ValueError:
        return value[1:-1]
