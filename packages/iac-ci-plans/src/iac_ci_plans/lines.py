"""Removes what a terminal, a CI runner or Terragrunt adds to a tool's line: pure."""

from __future__ import annotations

import json
import re
from typing import Final

_ESCAPE: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]{0,4}[0-Z\\^-~])")
"""Colours, cursor movements and titles (ECMA-48), and sets of characters, as ``tput sgr0`` has one (ECMA-35)."""

_TOOL: Final = rb"(?:[\w./-]{0,200}(?:terraform|tofu)[\w.-]{0,50}: )?"

_PREFIXES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # Terragrunt from 0.67 on (pkg/log/format): time, level, unit, tool.
        rb"\d\d:\d\d:\d\d(?:\.\d+)? (?:STDOUT|STDERR) (?:\[(?P<unit>[^\]]{1,500})\] )?" + _TOOL,
        # Terragrunt's format "bare"; the unit stands at the end of the line.
        rb"STD[OE]\[\d+\] (?=(?:.*\t prefix=\[(?P<unit>[^\]]{1,500})\] ?$)?)",
        # Terragrunt's format "key-value".
        rb"time=\S+ level=std(?:out|err) (?:prefix=(?P<unit>\S{1,500}) )?(?:tf-path=\S+ )?msg=",
        # Time stamps of CI runners: ISO 8601, with what GitLab's runner adds, and those of `ts`.
        rb"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?[ \t](?:\d\d[OE][+ ])?",
        rb"\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?[ \t](?!(?:STDOUT|STDERR) )",
        rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ",
        # Terragrunt before 0.67 with its prefix, and tools that run commands side by side; `parallel --tag` has a tab.
        rb"\[(?P<unit>[^\]\s]{1,500})\] ",
        rb"(?P<unit>[\w.@:/-]{1,100})(?: *\| |\t)",
    )
)
_KEY_VALUE: Final = _PREFIXES[2]
_FIRST: Final = frozenset(b"0123456789[STtJFMAOND")
"""What prefixes begin with, except those of the last kind."""

_MOST_PREFIXES: Final = 4
_BARE_SUFFIX: Final = re.compile(rb"\t prefix=\[[^\]]{1,500}\] ?$")


def without_escapes(line: bytes) -> bytes:
    """Return a line without colours, and what a carriage return leaves of it on a terminal."""
    if b"\x1b" in line:
        line = _ESCAPE.sub(b"", line)
    line = line.rstrip(b"\r")
    return line.rpartition(b"\r")[2] if b"\r" in line else line


def parts_of(line: bytes) -> tuple[bytes, bytes]:
    """Return the unit of a line, empty if it names none, and the tool's own text.

    A unit is a root module of a Terragrunt run. Only what stands at the beginning of the line is removed, so that text
    inside a plan, which is indented, stays as it is.
    """
    text = without_escapes(line)
    unit = b""
    for _ in range(_MOST_PREFIXES):
        if not text or (text[0] not in _FIRST and b"| " not in text[:110] and b"\t" not in text[:110]):
            break
        for prefix in _PREFIXES:
            if match := prefix.match(text):
                unit = match.groupdict().get("unit") or unit
                text = text[match.end() :]
                if prefix is _KEY_VALUE and text.startswith(b'"'):
                    text = _unquoted(text)
                break
        else:
            break
    if b"\t prefix=[" in text:
        text = _BARE_SUFFIX.sub(b"", text)
    return unit, text


def _unquoted(text: bytes) -> bytes:
    """Return the text of a value that the format "key-value" quotes."""
    try:
        read = json.loads(text)
    except ValueError:
        return text
    return read.encode("utf-8", "replace") if isinstance(read, str) else text
