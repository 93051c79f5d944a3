"""Parses the bytes of a request as JSON; refuses JSON that parsers read differently."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.job_validation.problem_paths import problem_path
from iac_ci_common.validation_messages import HALF_CHARACTER, shown

if TYPE_CHECKING:
    from iac_ci_common.draft import Location

MAX_PROBLEMS: Final = 200
"""Most problems in an answer; one more states that there are others."""

MAX_FIELDS: Final = 1000
"""Most fields of one object: no object of a job has more, and problems of a million fields do not fit into memory."""

MAX_DEPTH: Final = 32
"""Deepest nesting; a job has four levels. Python's own limit depends on the caller's stack, so it would vary."""

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

_SYNTAX: Final = (
    ("Expecting ',' delimiter", "a comma is missing"),
    ("Expecting ':' delimiter", "a colon is missing"),
    ("Expecting property name", "the name of a field in double quotes is missing"),
    ("Expecting value", "a value is missing"),
    ("Illegal trailing comma", "a comma has nothing after it"),
    ("Unterminated string", "a string has no closing quote"),
    ("Invalid control character", "a string contains a control character; write line breaks as \\n"),
    ("Invalid \\", "a string contains an unknown escape; write \\\\ for a backslash"),
    ("Extra data", "text follows the end of the JSON"),
)
"""Messages for Python's JSON errors, whose texts differ between versions of Python."""

_OTHER_NOTATION: Final = (
    (re.compile(r"//|/\*|#"), "a comment is not allowed in JSON"),
    (re.compile(r"['`\u2018-\u201f\u00ab\u00bb]"), 'text is in other quotes than "'),
    (
        re.compile(r"(?!(?:true|false|null)\b)(?i:true|false|null|none)\b"),
        "true, false and null are written in lower case, None as null",
    ),
    (
        re.compile(r"(?<=[0-9])[\w.:-]|[+.-]+[0-9]"),
        "a number is not in plain decimal digits (60, not 060, 0x3c, +60 or 60s)",
    ),
)
"""What other notations than JSON have at the position of an error."""


def parse_body(body: bytes) -> tuple[dict[str, Any], list[Problem]]:
    """Return the JSON object of a body and the problems of what parsers read differently.

    Raises ``InputProblems`` if the body is not a JSON object.
    """
    text = _text(body)
    reader = _Reader()
    try:
        content = json.loads(text, object_pairs_hook=reader.members, parse_constant=reader.constant)
    except json.JSONDecodeError as error:
        raise InputProblems([Problem("body", _syntax(error))]) from None
    except ValueError:
        # Python refuses numbers of thousands of digits.
        raise InputProblems([*reader.found, Problem("body", "contains a number of too many digits")]) from None
    if not isinstance(content, dict):
        raise InputProblems([*reader.found, Problem("body", "is not a JSON object")])
    if "\\" in text:
        reader.replace_surrogates(content)
    return content, reader.found


class _Reader:
    """Builds objects and records their ambiguities."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > MAX_FIELDS:
            raise InputProblems([Problem("body", f"contains an object of more than {MAX_FIELDS} fields")])
        content = dict(pairs)
        if len(content) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            for name in counts:
                if counts[name] > 1:
                    self._record(f"contains the field {shown(name)} more than once in one object")
        for name in [name for name in content if _SURROGATE.search(name)]:
            self._record(f"contains the field {shown(name)}, whose name has a lone surrogate (half of a character)")
            del content[name]
        return content

    def constant(self, name: str) -> float:
        self._record(f"contains {name}, which is not a JSON number")
        return float("nan")

    def replace_surrogates(self, content: dict[str, Any]) -> None:
        """Record strings with lone surrogates and replace these: UTF-8 cannot encode them, so they cannot be stored."""
        parts: list[tuple[Location, Any]] = [((), content)]
        while parts:
            location, part = parts.pop()
            for key, value in part.items() if isinstance(part, dict) else enumerate(part):
                if isinstance(value, str) and _SURROGATE.search(value):
                    if len(self.found) <= MAX_PROBLEMS:
                        self.found.append(Problem(problem_path((*location, key)), HALF_CHARACTER))
                    part[key] = _SURROGATE.sub("\ufffd", value)
                elif isinstance(value, dict | list):
                    parts.append(((*location, key), value))

    def _record(self, message: str) -> None:
        if len(self.found) <= MAX_PROBLEMS:
            self.found.append(Problem("body", message))


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
        # Python 3.13 reports the position of the comma, older versions that of the bracket.
        position, message = len(before) - 1, "a comma has nothing after it"
    else:
        found = next((ours for theirs, ours in _OTHER_NOTATION if theirs.match(text, position)), None)
        message = found or next(
            (ours for theirs, ours in _SYNTAX if error.msg.startswith(theirs)), "the text is not valid"
        )
        if position >= len(text.rstrip()):
            message = "the text ends too early"
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"is not JSON: {message} at line {line}, column {column}"
