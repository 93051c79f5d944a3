"""Keeps the text of a plan's resources, within a limit."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

RISKY: Final = frozenset({"delete", "replace", "forget"})
"""Actions that are shown before the others."""

MAX_KEPT_BYTES: Final = 128 * 1024
"""Most bytes of text of risky resources that are kept, and the same of all others."""

MAX_BLOCK_BYTES: Final = 16 * 1024
"""Most bytes of one resource that are kept."""

_LEAST_ROOM_BYTES: Final = 1024

_SYMBOL: Final = re.compile(r"^( *)(-/\+|\+/-|\./\+|<=|[-+~.])(?= )", re.MULTILINE)


@dataclass(slots=True)
class Block:
    """One resource of a plan. ``cut`` is True if the end of its text is missing."""

    address: bytes
    action: str
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    cut: bool = False

    def text(self) -> str:
        """Return the text as it was printed, without empty lines at its end."""
        return b"\n".join(self.lines).decode("utf-8", "replace").rstrip()


class Room:
    """The room that is left for blocks, shared by all steps of a log."""

    def __init__(self) -> None:
        """Start with all the room."""
        self._left = {True: MAX_KEPT_BYTES, False: MAX_KEPT_BYTES}
        self.left_out = 0

    @property
    def has_room(self) -> bool:
        """Return whether there is room for another resource that is not risky."""
        return self._left[False] >= _LEAST_ROOM_BYTES

    def open(self, address: bytes, action: str) -> Block | None:
        """Return a new block, or None, which is counted, if there is no room."""
        if self._left[action in RISKY] < _LEAST_ROOM_BYTES:
            self.left_out += 1
            return None
        return Block(address, action)

    def add(self, block: Block, line: bytes) -> bool:
        """Add a line to a block; return False, and note that it is cut, if there is no room."""
        risky = block.action in RISKY
        size = len(line) + 1
        if block.cut or size > self._left[risky] or block.size + size > MAX_BLOCK_BYTES:
            block.cut = True
            return False
        self._left[risky] -= size
        block.size += size
        block.lines.append(line)
        return True


def as_diff(text: str) -> str:
    """Return a plan's text with each symbol at the beginning of its line, where a diff has it.

    An update is marked with ``!``, because a diff has no ``~``.
    """
    return _SYMBOL.sub(lambda match: f"{'!' if match[2] == '~' else match[2]}{match[1]}", text)
