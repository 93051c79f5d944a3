"""Reads dumps: the rows that ``xxd``, ``hexdump`` and ``od`` print, with or without addresses and a column of text.

A row's groups of digits can mean several things (``od`` prints words in the machine's order, ``xxd`` in the file's), so
a dump is read in each way that its rows allow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iac_ci_common.redaction.decoding import Span

ROW_SHAPES: Final = (
    rb"^ ?[0-9a-f]{6,16}:?[ \t]+(?:[0-7]{3}|[0-7]{6}|[0-9a-f]{2}|[0-9a-f]{4}|[0-9a-f]{8}|[0-9a-f]{16})[ \t\r\n]",
    rb"^[0-7]{7}[ ]{1,4}(?:[ ][!-~]|\\.|[0-7]{3})[ ]{1,3}",
    rb"^[ ]{1,5}[0-9a-f]{2,8}(?:[ ]{1,5}[0-9a-f]{1,8}){2}[ \r\n]",
    rb"^(?:[ ]{1,3}(?:[ ]{2}[!-~]|[ ]\\.|[0-7]{3})){4,}[ \r\n]",
)
"""What a row begins with: patterns, to be matched ignoring case, ``^`` being the beginning of any line."""

_ADDRESS: Final = re.compile(rb"[ ]?[0-9a-fA-F]{6,16}:?(?=[ \t])")
_GROUPS: Final = re.compile(rb"[ \t]*(?:[0-9a-fA-F]{2,16}(?:[ \t]{1,2}|$))+")
_NUMBERS: Final = re.compile(rb"[ \t]*(?:-?[0-9a-fA-F]{1,16}(?:[ \t]+|$))+")
_GROUP: Final = re.compile(rb"-?[0-9a-fA-F]+")
_CHARACTERS: Final = re.compile(rb"(?:[ ](?:[ ]{2}[!-~ ]|[ ]\\.|[0-7]{3}))+[ ]*$")
_CHARACTER: Final = re.compile(rb"[ ](?:[ ]{2}([!-~ ])|[ ]\\(.)|([0-7]{3}))")
_NAMED: Final = {
    ord("0"): 0, ord("a"): 7, ord("b"): 8, ord("t"): 9, ord("n"): 10, ord("v"): 11, ord("f"): 12, ord("r"): 13,
}  # fmt: skip


class _Dump:
    """The bytes of a dump; each has one span among the digits and perhaps one in the column of text."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._digits: list[Span] = []
        self._texts: list[Span | None] = []
        self._rows: list[int] = []

    @property
    def data(self) -> bytes:
        return bytes(self._bytes)

    def add_row(self, row: list[tuple[int, Span]], text: Span | None) -> None:
        number = self._rows[-1] + 1 if self._rows else 0
        for index, (value, span) in enumerate(row):
            self._bytes.append(value)
            self._digits.append(span)
            self._rows.append(number)
            shown: Span | None = None
            if text is not None and text[0] + index < text[1]:
                shown = (text[0] + index, text[0] + index + 1)
            self._texts.append(shown)

    def source(self, start: int, end: int) -> list[Span]:
        """Return a span of digits and one of text for each row."""
        found: list[Span] = []
        first = start
        while first < end:
            last = first
            while last + 1 < end and self._rows[last + 1] == self._rows[first]:
                last += 1
            covered = self._digits[first : last + 1]
            found.append((min(span[0] for span in covered), max(span[1] for span in covered)))
            texts = [span for span in self._texts[first : last + 1] if span is not None]
            if texts:
                found.append((texts[0][0], texts[-1][1]))
            first = last + 1
        return found


Reader = "Callable[[bytes, int], list[tuple[int, Span]] | None]"


def dumps(data: bytes) -> Iterator[_Dump]:
    """Read a text's rows in each way in which any of them can be read."""
    lines: list[tuple[int, bytes]] = []
    position = 0
    for line in data.split(b"\n"):
        lines.append((position, line))
        position += len(line) + 1
    for reader in _READERS:
        dump = _Dump()
        for position, line in lines:
            address = _ADDRESS.match(line)
            # Without an address a row is indented, and what looks like an address may be its first group. Where `od`
            # prints a row in several formats, the further ones are indented as wide as its address.
            for start in (address.end() if address else 0, 0, 7 if line.startswith(b" " * 7) else 0):
                row = reader(line, start)
                if row:
                    shifted = [(value, (span[0] + position, span[1] + position)) for value, span in row]
                    dump.add_row(shifted, _text_column(line, position, row[-1][1][1], len(row)))
                    break
        if dump.data:
            yield dump


def _text_column(line: bytes, position: int, digits_end: int, count: int) -> Span | None:
    rest = line[digits_end:].rstrip(b"\r\n")
    stripped = rest.lstrip(b" ")
    start = digits_end + len(rest) - len(stripped)
    if not stripped:
        return None
    if stripped[:1] in {b"|", b">"} and len(stripped) > count:
        start += 1
    elif len(rest) - len(stripped) > 2 and stripped[:1] not in {b"|", b">"}:
        # xxd's column begins two blanks behind the last place of a group; the text may itself begin with blanks.
        start = position + len(line.rstrip(b"\r\n")) - count - position
    return position + start, position + min(start + count, len(line))


def _words(size: int, *, base: int = 16, digits: int, swapped: bool) -> Callable[[bytes, int], list[tuple[int, Span]]]:
    """Make a reader of groups of ``digits`` digits, each ``size`` bytes."""

    def read(line: bytes, start: int) -> list[tuple[int, Span]]:
        match = _NUMBERS.match(line, start) if base == 10 else _GROUPS.match(line, start)
        row: list[tuple[int, Span]] = []
        for group in _GROUP.finditer(line, start, match.end() if match else start):
            text = group.group()
            if base == 16 and not swapped and size == 2 and len(text) == 2:
                size_here = 1
            elif base != 10 and len(text) != digits:
                break
            else:
                size_here = size
            try:
                value = int(text, base) % (1 << (8 * size_here))
            except ValueError:
                break
            values = value.to_bytes(size_here, "little" if swapped else "big")
            span = group.span()
            row += _spread(values, span, per_byte=base == 16 and not swapped)
        return row

    return read


def _spread(values: bytes, span: Span, *, per_byte: bool) -> list[tuple[int, Span]]:
    if per_byte and span[1] - span[0] == 2 * len(values):
        return [(value, (span[0] + 2 * index, span[0] + 2 * index + 2)) for index, value in enumerate(values)]
    return [(value, span) for value in values]


def _characters(line: bytes, start: int) -> list[tuple[int, Span]]:
    """Read a row of ``od -c``."""
    if not _CHARACTERS.match(line, start):
        return []
    row: list[tuple[int, Span]] = []
    for match in _CHARACTER.finditer(line, start):
        plain, named, octal = match.groups()
        if octal is not None:
            value = int(octal, 8) & 0xFF
        elif named is not None:
            value = _NAMED.get(named[0], named[0])
        else:
            value = plain[0]
        row.append((value, (match.start() + 1, match.end())))
    return row


_READERS: Final = (
    _words(1, digits=2, swapped=False),
    _words(2, digits=4, swapped=False),
    _words(2, digits=4, swapped=True),
    _words(4, digits=8, swapped=False),
    _words(4, digits=8, swapped=True),
    _words(8, digits=16, swapped=True),
    _words(1, base=8, digits=3, swapped=False),
    _words(2, base=8, digits=6, swapped=True),
    _words(1, base=10, digits=0, swapped=False),
    _words(1, base=2, digits=8, swapped=False),
    _characters,
)
