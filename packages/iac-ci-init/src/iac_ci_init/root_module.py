"""Finds ``required_version`` in the files of a root module, in time that grows with their length alone."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_NEXT: Final = re.compile(r'["{}#]|//|/\*|<<')
_BLOCK: Final = re.compile(r"(?:^|[\s;}])terraform[ \t]*$")
_ARGUMENT: Final = re.compile(r"(?:^|[\s{;])required_version[ \t]*=[ \t]*$")
_LITERAL: Final = re.compile(r'"([^"\\$%\n]*)"')
_HEREDOC: Final = re.compile(r"<<-?[ \t]*([\w-]{1,64})[ \t]*\r?\n")
_BEFORE: Final = 80
"""How many characters before a brace or quote are looked at."""


def required_versions(text: str) -> list[str]:
    """Return the constraints in a file of Terraform's language; none of a file that breaks off within something."""
    found: list[str] = []
    position, depth, inside = 0, 0, False
    while (match := _NEXT.search(text, position)) is not None:
        start, mark = match.start(), match.group()
        position = match.end()
        if mark == "{":
            if depth == 0:
                inside = _BLOCK.search(text, max(0, start - _BEFORE), start) is not None
            depth += 1
        elif mark == "}":
            depth = max(0, depth - 1)
        elif mark == '"':
            if inside and depth == 1 and _ARGUMENT.search(text, max(0, start - _BEFORE), start) is not None:
                literal = _LITERAL.match(text, start)
                found += [literal[1]] if literal is not None else []
            position = _after_string(text, position)
        else:
            position = _after(mark, text, start, position)
        if position < 0:
            break
    return found


def _after(mark: str, text: str, start: int, position: int) -> int:
    """Return where a comment or heredoc ends, -1 if it does not."""
    if mark == "/*":
        end = text.find("*/", position)
        return end + 2 if end >= 0 else -1
    if mark == "<<":
        return _after_heredoc(text, start, position)
    return text.find("\n", position)


def _after_string(text: str, position: int) -> int:
    """Return where a string ends, -1 if it does not; it may hold templates with strings of their own."""
    # What is open: True is a string, False a template or a brace inside one.
    open_parts = [True]
    while open_parts:
        match = _IN_STRING.search(text, position) if open_parts[-1] else _IN_TEMPLATE.search(text, position)
        if match is None:
            return -1
        mark, position = match.group(), match.end()
        if mark in {"${", "%{", "{"}:
            open_parts.append(False)
        elif mark == "}" or (mark == '"' and open_parts[-1]):
            open_parts.pop()
        elif mark == '"':
            open_parts.append(True)
    return position


_IN_STRING: Final = re.compile(r'\\.|\$\$\{|%%\{|\$\{|%\{|"', re.DOTALL)
_IN_TEMPLATE: Final = re.compile(r'["{}]')


def _after_heredoc(text: str, start: int, position: int) -> int:
    match = _HEREDOC.match(text, start)
    if match is None:
        return position
    end = re.compile(rf"^[ \t]*{re.escape(match[1])}[ \t]*\r?$", re.MULTILINE).search(text, match.end())
    return end.end() if end is not None else -1


def required_versions_of_json(text: str) -> list[str]:
    """Return the constraints in a ``.tf.json`` file; none of one that is not JSON."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return []
    blocks = document.get("terraform") if isinstance(document, dict) else None
    listed = blocks if isinstance(blocks, list) else [blocks]
    versions = [block.get("required_version") for block in listed if isinstance(block, dict)]
    return [version for version in versions if isinstance(version, str)]
