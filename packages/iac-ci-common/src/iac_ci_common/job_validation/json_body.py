"""Reads the bytes of a request as JSON that means one thing only, whoever reads it."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.job_validation.places import where
from iac_ci_common.validation_messages import HALF_CHARACTER, shown

if TYPE_CHECKING:
    from iac_ci_common.partial_reading import Location

MAX_PROBLEMS: Final = 200
"""Most problems that are listed; a last one says that there are more."""

MAX_FIELDS: Final = 1000
"""Most fields of one object: no part of a job takes more, and a million wrong ones would not fit into memory."""

MAX_DEPTH: Final = 32
"""Deepest nesting; a job has four levels. Python's own limit depends on who calls, so that two readers would differ."""

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

_SYNTAX: Final = (
    ("Expecting ',' delimiter", "a comma is missing"),
    ("Expecting ':' delimiter", "a colon is missing"),
    ("Expecting property name", "the name of a field in double quotes is missing"),
    ("Expecting value", "a value is missing"),
    ("Illegal trailing comma", "nothing stands behind a comma"),
    ("Unterminated string", "a text has no closing quote"),
    ("Invalid control character", "a text holds a control character; write line breaks as \\n"),
    ("Invalid \\", "a text holds a backslash with nothing that it escapes; write \\\\ for a backslash"),
    ("Extra data", "something stands behind the end of the JSON"),
)
"""What Python's reader finds, which words it differently from version to version, in words of our own."""


def parse_body(body: bytes) -> tuple[dict[str, Any], list[Problem]]:
    """Return the JSON object of a body and what it holds that two readers could read differently.

    Raises ``InputProblems`` if the body is no JSON object.
    """
    text = _text(body)
    reader = _Reader()
    try:
        content = json.loads(text, object_pairs_hook=reader.members, parse_constant=reader.constant)
    except json.JSONDecodeError as error:
        raise InputProblems([Problem("body", _syntax(error))]) from None
    except ValueError:
        # Python refuses to read numbers of thousands of digits.
        raise InputProblems([*reader.found, Problem("body", "holds a number of too many digits")]) from None
    if not isinstance(content, dict):
        raise InputProblems([*reader.found, Problem("body", "is not a JSON object")])
    if "\\" in text:
        reader.note_half_characters(content)
    return content, reader.found


class _Reader:
    """Builds objects and notes what is ambiguous in them."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > MAX_FIELDS:
            raise InputProblems([Problem("body", f"holds an object of more than {MAX_FIELDS} fields")])
        content = dict(pairs)
        if len(content) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            for name in counts:
                if counts[name] > 1:
                    self._note(f"holds the field {shown(name)} twice in one object")
        for name in [name for name in content if _SURROGATE.search(name)]:
            self._note(f"holds the field {shown(name)}, whose name has half of a character (a lone surrogate)")
            del content[name]
        return content

    def constant(self, name: str) -> float:
        self._note(f"holds {name}, which is not a JSON number")
        return float("nan")

    def note_half_characters(self, content: dict[str, Any]) -> None:
        """Note texts that no UTF-8 can hold, and replace what is wrong in them; they could not be stored."""
        parts: list[tuple[Location, Any]] = [((), content)]
        while parts:
            location, part = parts.pop()
            for key, value in part.items() if isinstance(part, dict) else enumerate(part):
                if isinstance(value, str) and _SURROGATE.search(value):
                    if len(self.found) <= MAX_PROBLEMS:
                        self.found.append(Problem(where((*location, key)), HALF_CHARACTER))
                    part[key] = _SURROGATE.sub("\ufffd", value)
                elif isinstance(value, dict | list):
                    parts.append(((*location, key), value))

    def _note(self, what: str) -> None:
        if len(self.found) <= MAX_PROBLEMS:
            self.found.append(Problem("body", what))


def _text(body: bytes) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        raise InputProblems([Problem("body", "begins with a byte order mark; save it as UTF-8 without one")])
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InputProblems([Problem("body", "is not UTF-8")]) from None
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise InputProblems([Problem("body", f"is nested too deeply: more than {MAX_DEPTH} levels")])
    return text


def _syntax(error: json.JSONDecodeError) -> str:
    position, text = error.pos, error.doc
    before = text[:position].rstrip()
    if not text.strip():
        return "is empty"
    if text[position : position + 1] in {"}", "]"} and before.endswith(","):
        # Python 3.13 points to the comma, older ones to what stands behind it.
        position, what = len(before) - 1, "nothing stands behind a comma"
    else:
        what = next((ours for theirs, ours in _SYNTAX if error.msg.startswith(theirs)), "this cannot be read")
        if position >= len(text.rstrip()):
            what = "the text ends too early"
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"is not JSON: {what} at line {line}, column {column}"
