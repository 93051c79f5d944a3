"""Joins the lines of a document that a program such as `jq` has printed over several lines: pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
"""Longest document that is joined, in bytes: as long as the longest line that is read."""

_FIRST: Final = re.compile(rb'([ \t]+)"(?:format_version|applyable|action_invocations)": ')
"""The first member of a plan's document, as Terraform writes it or sorted by name; the brace before it says nothing."""

_VALUES: Final = frozenset(b'"{}[]-0123456789tfn')
"""What a line of JSON begins with."""


class PrintedDocument:
    """The lines of one document, from its first member on."""

    def __init__(self, line: bytes, indent: int) -> None:
        """Begin with the first member's line and its indentation."""
        self._indent = indent
        self._text = bytearray(b"{" + line)
        self.is_plan = False
        """True if a member is one that only plans have."""
        self.is_too_long = False

    @classmethod
    def begun_by(cls, line: bytes) -> PrintedDocument | None:
        """Return the document that a line begins, None if it begins none."""
        match = _FIRST.match(line)
        return cls(line, len(match[1])) if match is not None else None

    def takes(self, line: bytes) -> bool:
        """Add a line and return True; return False for one that does not belong to the document."""
        text = line.lstrip(b" \t")
        depth = len(line) - len(text)
        if not text.strip() or text[0] not in _VALUES or (depth < self._indent and text.strip() != b"}"):
            return False
        self.is_plan = self.is_plan or (depth == self._indent and text.startswith(b'"planned_values"'))
        if len(self._text) + len(line) > MAX_DOCUMENT_BYTES:
            self.is_too_long = True
            self._text.clear()
        elif not self.is_too_long:
            self._text += line
        return True

    def is_ended_by(self, line: bytes) -> bool:
        """Return whether a line is the document's last brace."""
        return line.strip() == b"}" and len(line) - len(line.lstrip(b" \t")) < self._indent

    def content(self) -> dict[str, Any] | None:
        """Return the document; None if it is no JSON object."""
        try:
            read = json.loads(self._text)
        except (ValueError, RecursionError):
            return None
        return read if isinstance(read, dict) else None


__all__ = ["MAX_DOCUMENT_BYTES", "PrintedDocument"]
