"""Matches log lines as CloudWatch does with a JSON filter pattern, as far as the stack's patterns go.

``{ ($.message = "words") && (($.action = "a") || ($.action != 2)) }``: texts in quotes, numbers, ``*`` in texts, ``&&``
before ``||``, parentheses (Amazon CloudWatch Logs User Guide, "Filter pattern syntax for metric filters"). Anything
else raises ``ValueError``, so that a pattern is never judged that was not understood.
"""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

_TOKEN = re.compile(r'\s*(&&|\|\||!=|=|[(){}]|\$(?:\.\w+)+|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?)')


def matches(pattern: str, line: str) -> bool:
    """Return whether a log line matches. A line that is not a JSON object never does."""
    tokens = _tokens(pattern)
    try:
        content = json.loads(line)
    except ValueError:
        content = None
    _take(tokens, "{")
    found = _either(tokens, content)
    _take(tokens, "}")
    if tokens:
        raise ValueError(f"there is more than a pattern: {tokens}")
    return isinstance(content, dict) and found


def _tokens(pattern: str) -> list[str]:
    tokens: list[str] = []
    place = 0
    text = pattern.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"not understood: {text[place:]!r}")
        tokens.append(match[1])
        place = match.end()
    return tokens


def _take(tokens: list[str], wanted: str) -> None:
    if not tokens or tokens.pop(0) != wanted:
        raise ValueError(f"{wanted} is missing before {tokens}")


def _either(tokens: list[str], content: Any) -> bool:
    found = _both(tokens, content)
    while tokens[:1] == ["||"]:
        tokens.pop(0)
        found = _both(tokens, content) or found
    return found


def _both(tokens: list[str], content: Any) -> bool:
    found = _one(tokens, content)
    while tokens[:1] == ["&&"]:
        tokens.pop(0)
        found = _one(tokens, content) and found
    return found


def _one(tokens: list[str], content: Any) -> bool:
    if tokens[:1] == ["("]:
        tokens.pop(0)
        found = _either(tokens, content)
        _take(tokens, ")")
        return found
    if len(tokens) < 3 or not tokens[0].startswith("$") or tokens[1] not in {"=", "!="}:
        raise ValueError(f"no comparison: {tokens[:3]}")
    selector, operator, wanted = (tokens.pop(0) for _ in range(3))
    value: Any = content
    for name in selector.split(".")[1:]:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return _equal(value, json.loads(wanted)) is (operator == "=")


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return isinstance(value, str) and fnmatch.fnmatchcase(value, wanted.replace("[", "[[]").replace("?", "[?]"))
    return isinstance(value, int | float) and not isinstance(value, bool) and value == wanted
