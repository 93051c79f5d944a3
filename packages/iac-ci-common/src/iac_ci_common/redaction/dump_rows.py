"""Reads dumps: the rows that ``xxd``, ``hexdump`` and ``od`` print, with or without addresses and a column of text.

A row's groups of digits can mean several things (``od`` prints words in the machine's order, ``xxd`` in the file's), so
a dump is read in each way that its rows allow.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iac_ci_common.redaction.decoding import Span

_ROW_END: Final = rb"(?:[ \t]{2}|[ \t]?\r?$)"
"""What stands behind a row's last group: two blanks and the column of text, or nothing."""

ROW_SHAPES: Final = (
    rb"^[ \t]*(?:0x)?[0-9a-f]{4,16}[:-]?[ \t]+(?:-[ ])?-?[0-9a-f]{1,32}(?:[ \t-]{1,24}[0-9a-f]{1,32})*" + _ROW_END,
    rb"^[0-9a-f]{4,8}:[ ](?:[0-9a-f]{2}[ ]){16}",
    rb"^[0-9a-f]{7}(?:[ ]{1,63}(?:[!-~]|\\.|[0-7]{3}|[a-z][a-z0-9]{1,2}|\*\*|[\x80-\xff]{2,4}))+(?:[ ]{2}>|[ ]*\r?$)",
    rb"^[ ]{1,5}[0-9a-f]{2,8}(?:[ ]{1,5}[0-9a-f]{1,8}){2,64}" + _ROW_END,
    rb"^(?:[ ]{1,3}(?:[ ]{2}[!-~]|[ ]\\.|[0-7]{3})){4,}[ \r\n]",
)
"""What a row begins with: patterns, to be matched ignoring case, ``^`` being the beginning of any line."""

_BLANKS: Final = frozenset({b" ", b"\t"})
_ADDRESS_ENDS: Final = frozenset({b":", b"-"})
_LONGEST_ROW: Final = 256
"""Most bytes of a row."""

_ADDRESS: Final = re.compile(rb"[ \t]*(?:0[xX])?[0-9a-fA-F]{4,16}(?::|[ ]-)?(?=[ \t])")
_ADDRESS_OR_END: Final = re.compile(_ADDRESS.pattern.replace(rb"(?=[ \t])", rb"(?=[ \t\r]|$)"))
"""The same, and the address behind the last row, which stands alone."""

_GROUPS: Final = re.compile(rb"[ \t]*(?:[0-9a-fA-F]{2,32}(?:[ \t\r]+|-|$))+")
_NUMBERS: Final = re.compile(rb"[ \t]*(?:-?[0-9a-fA-F]{1,20}(?:[ \t]+|$))+")
_GROUP: Final = re.compile(rb"[0-9a-fA-F]+")
_NUMBER: Final = re.compile(rb"-?[0-9a-fA-F]+")
_NAMES: Final = tuple(
    b"nul soh stx etx eot enq ack bel bs ht nl vt ff cr so si"
    b" dle dc1 dc2 dc3 dc4 nak syn etb can em sub esc fs gs rs us sp".split()
)
"""What ``od -a`` prints for the characters 0 to 32."""

_NAME: Final = rb"[ ]{0,1}(?:" + b"|".join((*_NAMES, b"del")) + rb")"
_CHARACTERS: Final = re.compile(rb"(?:[ ](?:[ ]{2}[!-~ ]|[ ]\\.|[0-7]{3}|" + _NAME + rb"))+(?:[ ]*$|[ ]{2,}>)")
_CHARACTER: Final = re.compile(rb"[ ](?:[ ]{2}([!-~ ])|[ ]\\(.)|([0-7]{3})|(" + _NAME + rb"))")
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
    lines = _without_tables(data)
    ways = (True, False) if any(_may_have_no_address(line) for _, line in lines) else (True,)
    for reader, skips_address in product(_READERS, ways):
        dump = _Dump()
        for position, line in lines:
            address = _ADDRESS.match(line) if skips_address or not _may_have_no_address(line) else None
            # Where `od` prints a row in several formats, the further ones are indented as wide as its address.
            for start in (address.end() if address else 0, 0, 7 if line.startswith(b" " * 7) else 0):
                row = reader(line, start)
                if row:
                    shifted = [(value, (span[0] + position, span[1] + position)) for value, span in row]
                    dump.add_row(shifted, _text_column(line, position, row[-1][1][1], len(row)))
                    break
        if dump.data:
            yield dump


def _may_have_no_address(line: bytes) -> bool:
    """Return whether what looks like an address may be a row's first group: without an address a row is indented."""
    match = _ADDRESS.match(line) if line[:1] in _BLANKS else None
    return match is not None and match.group()[-1:] not in _ADDRESS_ENDS


def _without_tables(data: bytes) -> list[tuple[int, bytes]]:
    """Return the lines, each with its position, that can be rows of a dump.

    A row that no sign of a dump marks, that is not the first one, and that stands beside others, has an address near
    one of theirs: lines of other numbers are of a table. Indented rows may have no address.
    """
    lines: list[tuple[int, bytes]] = []
    position = 0
    for line in data.split(b"\n"):
        lines.append((position, line))
        position += len(line) + 1
    found = [_ADDRESS_OR_END.match(line) for _, line in lines]
    addresses = [match.group().strip() if match is not None else b"" for match in found]
    beside = zip([b"", *addresses], addresses, [*addresses[1:], b""], strict=False)
    return [
        one
        for one, (before, address, after) in zip(lines, beside, strict=True)
        if not address.strip(b"0x")
        or one[1][:1] in _BLANKS
        or address[-1:] in _ADDRESS_ENDS
        or not (before or after)
        or b"|" in one[1]
        or b">" in one[1]
        or _is_near(before, address)
        or _is_near(address, after)
    ]


def _is_near(first: bytes, second: bytes) -> bool:
    """Return whether two addresses can be those of a row and the next one."""
    for base in (16, 10, 8):
        try:
            if 0 < int(second, base) - int(first, base) <= _LONGEST_ROW:
                return True
        except ValueError:  # one is missing, or has other digits
            continue
    return False


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


def _words(size: int, *, base: int = 16, digits: int = 0) -> Callable[[bytes, int], list[tuple[int, Span]]]:
    """Make a reader of words of ``size`` bytes in the machine's order: ``digits`` digits each, or any number."""

    def read(line: bytes, start: int) -> list[tuple[int, Span]]:
        row: list[tuple[int, Span]] = []
        for group in _numbers(line, start) if base == 10 else _groups(line, start):
            text = group.group()
            # Decimal numbers have any number of digits, and no program prints a column of text beside them without `>`.
            if base != 10 and _is_text(line, start, group.start(), row):
                break
            # A last word may be shorter.
            size_here = len(text) // 2 if base == 16 and len(text) < digits else size
            if len(text) > digits > 0 or (len(text) < digits and base != 16):
                break
            try:
                value = int(text, base) % (1 << (8 * size_here))
            except ValueError:
                break
            row += [(byte, group.span()) for byte in value.to_bytes(size_here, "little")]
        return row

    return read


def _bytes(line: bytes, start: int) -> list[tuple[int, Span]]:
    """Read groups of hexadecimal digits in the file's order, however many bytes a group has; the last has fewer."""
    row: list[tuple[int, Span]] = []
    width = 0
    for group in _groups(line, start):
        digits = group.group()
        width = width or len(digits)
        if len(digits) % 2 or len(digits) > width or _is_text(line, start, group.start(), row):
            break
        first = group.start()
        row += [
            (value, (first + 2 * index, first + 2 * index + 2))
            for index, value in enumerate(bytes.fromhex(digits.decode()))
        ]
        if len(digits) < width:
            break
    return row


def _groups(line: bytes, start: int) -> Iterator[re.Match[bytes]]:
    match = _GROUPS.match(line, start)
    return _GROUP.finditer(line, start, match.end() if match else start)


def _numbers(line: bytes, start: int) -> Iterator[re.Match[bytes]]:
    match = _NUMBERS.match(line, start)
    return _NUMBER.finditer(line, start, match.end() if match else start)


def _is_text(line: bytes, start: int, group: int, row: list[tuple[int, Span]]) -> bool:
    """Return whether a group of digits stands in the column of text, which has one character for each byte.

    Two blanks are before it, and the groups have another distance.
    """
    if not row or group - row[-1][1][1] == row[0][1][0] - start:
        return False
    column = len(line.rstrip(b"\r\n")) - len(row)
    return row[-1][1][1] + 2 <= column <= group and line[column - 2 : column] == b"  "


def _characters(line: bytes, start: int) -> list[tuple[int, Span]]:
    """Read a row of ``od -c``."""
    if not _CHARACTERS.match(line, start):
        return []
    row: list[tuple[int, Span]] = []
    for match in _CHARACTER.finditer(line, start):
        plain, named, octal, name = match.groups()
        if octal is not None:
            value = int(octal, 8) & 0xFF
        elif named is not None:
            value = _NAMED.get(named[0], named[0])
        elif name is not None:
            value = _NAMES.index(name.strip()) if name.strip() in _NAMES else 127
        else:
            value = plain[0]
        row.append((value, (match.start() + 1, match.end())))
    return row


_READERS: Final = (
    _bytes,
    *(_words(size, digits=2 * size) for size in (2, 4, 8)),
    *(_words(size, base=8, digits=digits) for size, digits in ((1, 3), (2, 6), (4, 11), (8, 22))),
    *(_words(size, base=10) for size in (1, 2, 4, 8)),
    _words(1, base=2, digits=8),
    _characters,
)
