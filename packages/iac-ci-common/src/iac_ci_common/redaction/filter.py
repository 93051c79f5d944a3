"""Finds the places of a stream at which a secret may stand, at gigabytes a second.

Most printers leave letters and digits as they are, and change, add or drop only what stands between them. So all but
letters and digits is removed, from the output and from the values, and the rest is searched for a few characters of
each value: as they are, in base64 (and that in base64 again) and base32 at each of the places at which a byte can
begin, and in hexadecimal. Line breaks, quotes, separators and margins are gone then and make no difference. What has
too few letters and digits, and what changes those too (dumps, text in which everything is escaped), is looked for in
the output itself.

A place that is found is only a place to look at: `search.py` decodes it and compares.
"""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass
from functools import cache
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iac_ci_common.redaction.decoding import unescaped
from iac_ci_common.redaction.dump_rows import ROW_SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PIECE_BYTES: Final = 48
"""A long value is looked for in pieces of this length, so that each part of it is found that is as long."""

BASE64: Final = "base64"
BASE64_TWICE: Final = "base64 twice"
BASE32: Final = "base32"
HEX: Final = "hex"
DUMP: Final = "dump"
ESCAPES: Final = "escapes"
NUMBERS: Final = "numbers"
DECIMALS: Final = "decimals"
COLOURS: Final = "colours"
UTF16: Final = "utf16"
WIDE: Final = "wide"

_ALPHANUMERIC: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_REST: Final = bytes(byte for byte in range(256) if byte not in _ALPHANUMERIC)
_RUN: Final = re.compile(rb"[A-Za-z0-9]+")
_ENOUGH: Final = 5
"""Characters that make a place rare enough."""

_LITERAL_BYTES: Final = 16
_WIDE_CHARS: Final = 8
_ENCODED_BYTES: Final = 8
"""What is looked for in base64: so short that a line break or a margin seldom goes through it."""

_HEX_BYTES: Final = 5
_FEW: Final = 4
"""With fewer letters and digits a value is looked for in the output itself."""

_GAP_PER_BYTE: Final = 8
_MAX_GAP: Final = 48
_BLOCK: Final = 1024
_MANY: Final = 256
_MANY_STEP: Final = 1024

_DENSE_SHAPES: Final = (
    rb"(?:%(?:25){0,3}[0-9a-f]{2}){3}",
    rb"(?:%u[0-9a-f]{4}){2}",
    rb"(?:\\{1,16}x[0-9a-f]{2}){3}",
    # Not U+25..: Terraform's frames are often in JSON.
    rb"(?:\\{1,16}u(?:[013-9a-f][0-9a-f]|2[0-46-9a-f])[0-9a-f]{2}){2}",
    rb"(?:\\{1,16}[ux]\{[0-9a-f]{1,6}\}){2}",
    rb"(?:\\{1,16}[0-3][0-7]{2}){3}",
    rb"(?:&(?:amp;){0,2}#x?[0-9a-f]{2,7};){2}",
    rb"(?:&(?:amp;){0,2}[a-z]{2,8};){3}",
    # A colour within a word, escaped.
    rb"(?:[^n\\\"\s+~/-]|[^\\]n)\\{1,8}(?:u001b|x1b|033)\[[0-9;:]{0,16}m[^\\\"\s]",
)
# What stands before must not itself be the end of an escape sequence, nor one of Terraform's coloured signs.
_COLOUR_SHAPE: Final = (
    rb"(?:[^A-Za-z\s\x1b+~/-]|[^m\s\x1b][+~/-]|[^0-9;\[\x1b][A-Za-z]|[^0-9;\[\x1b][0-9;]{1,8}[A-Za-z])"
    rb"(?:\x1b\[[0-9;:]{0,24}[A-Za-z]){1,5}[!-~\x80-\xff]"
)
"""A colour within a word; between words, where Terraform has many, they are no obstacle."""

_NUMBER_SHAPES: Final = (rb"(?:0x[0-9a-f]{2}u?[, \t\r\n'\"]{1,12}){3}",)
# Letters, digits and signs in ASCII are 32 to 126, others 128 to 255, or negative.
_NUMBER: Final = rb"(?:-[0-9]{1,3}|0?[3-9][0-9]|1[0-9]{2}|2[0-5][0-9])"
_DECIMAL_SHAPE: Final = rb"(?:" + _NUMBER + rb"(?:[,;][ \t\r\n]{0,12}|[ \t\r\n]{1,12})){3}" + _NUMBER
_TOLERANT_CHARS: Final = 5
"""One character in UTF-8 has up to ninety states in all its forms, and a pattern of Hyperscan at most 512."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A place to look at: an offset, how to decode there, and which values to look for (all where there are none)."""

    offset: int
    decoders: tuple[str, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Pattern:
    expression: bytes
    decoders: tuple[str, ...] = ()
    caseless: bool = False


_WIDE_SHAPES: Final = (
    # Three characters, six bytes, are eight letters: of every other byte all bits are zero, and of the others the
    # highest. It does not matter which byte comes first, nor where the text begins.
    _Pattern(rb".[AQgw][AB].?A[A-H].A|A[A-H].A.[AQgw][AB]", (WIDE,)),
    _Pattern(rb"(?:[2-7][0-9a-f]00){3}", (WIDE,), caseless=True),
)
"""ASCII in UTF-16, in base64 and in hexadecimal: the same for all values."""


class Filter:
    """The places of all values, for one process; any thread may ask."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        """Prepare to look for ``texts``; a hit names them by their places in this list."""
        bare: dict[_Pattern, list[int]] = {}
        twice: dict[_Pattern, list[int]] = {}
        whole: dict[_Pattern, list[int]] = {}
        for index, text in enumerate(texts):
            for pattern in _patterns(text):
                (twice if BASE64_TWICE in pattern.decoders else bare).setdefault(pattern, []).append(index)
            for pattern in _patterns_in_output(text):
                whole.setdefault(pattern, []).append(index)
        # One database of all would take Hyperscan ten times as long to compile for a password.
        self._bare = (_Database(bare), _Database(twice), _wide_shapes())
        self._whole = _Database(whole)

    def hits(self, data: bytes) -> list[Hit]:
        """Return the places to look at."""
        databases = [_shapes(), _decimal_shapes(), self._whole, *([_colour_shapes()] if b"\x1b" in data else [])]
        found = [Hit(end, decoders, values) for database in databases for end, decoders, values in database.scan(data)]
        letters = data.translate(None, _REST)
        bare = sorted(chain.from_iterable(database.scan(letters) for database in self._bare), key=_end)
        if len(bare) > _MANY:
            # All of the data must be examined: the exact offsets make no difference, and take long to compute.
            named = {(decoders, values) for _, decoders, values in bare}
            offsets = range(0, len(data), _MANY_STEP)
            return found + [Hit(offset, decoders, values) for offset in offsets for decoders, values in named]
        if bare:
            ends = _offsets(data, [end for end, _, _ in bare])
            found += [Hit(offset, decoders, values) for offset, (_, decoders, values) in zip(ends, bare, strict=True)]
        return found


def _end(match: tuple[int, tuple[str, ...], tuple[int, ...]]) -> int:
    return match[0]


def _offsets(data: bytes, ends: Sequence[int]) -> list[int]:
    """Turn ends among the letters and digits, in ascending order, into ends in the data."""
    offsets: list[int] = []
    counted = 0
    wanted = iter(ends)
    end = next(wanted, None)
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        count = len(block.translate(None, _REST))
        if end is not None and end <= counted + count:
            kept = [index for index, byte in enumerate(block) if byte in _ALPHANUMERIC]
            while end is not None and end <= counted + count:
                offsets.append(start + kept[end - counted - 1] + 1)
                end = next(wanted, None)
        if end is None:
            break
        counted += count
    return offsets


class _Database:
    """Patterns compiled for Hyperscan (Vectorscan on other processors than x86)."""

    def __init__(self, patterns: dict[_Pattern, list[int]]) -> None:
        self._names = [(pattern.decoders, tuple(values)) for pattern, values in patterns.items()]
        # One scan at a time uses a database's scratch space.
        self._lock = Lock()
        self._database: Any = None
        if patterns:
            import hyperscan

            flags = [
                hyperscan.HS_FLAG_DOTALL
                | hyperscan.HS_FLAG_MULTILINE
                | (hyperscan.HS_FLAG_CASELESS if pattern.caseless else 0)
                for pattern in patterns
            ]
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            self._database.compile(
                expressions=[pattern.expression for pattern in patterns],
                ids=list(range(len(patterns))),
                elements=len(patterns),
                flags=flags,
            )

    def scan(self, data: bytes) -> list[tuple[int, tuple[str, ...], tuple[int, ...]]]:
        """Return where patterns end, and what they are."""
        found: list[tuple[int, int]] = []

        def note(number: int, start: int, end: int, flags: int, context: object) -> None:
            del start, flags, context
            found.append((end, number))

        if self._database is not None and data:
            with self._lock:
                self._database.scan(data, match_event_handler=note)
        return [(end, *self._names[number]) for end, number in found]


@cache
def _shapes() -> _Database:
    """Return what tells that everything is encoded: it is the same for all values."""
    shapes = [
        *(_Pattern(shape, (DUMP,), caseless=True) for shape in ROW_SHAPES),
        *(_Pattern(shape, (ESCAPES,), caseless=True) for shape in _DENSE_SHAPES),
        *(_Pattern(shape, (NUMBERS,), caseless=True) for shape in _NUMBER_SHAPES),
    ]
    return _Database({shape: [] for shape in shapes})


@cache
def _decimal_shapes() -> _Database:
    """Return a database of its own: together with the other shapes, Hyperscan takes a third more time for both."""
    return _Database({_Pattern(_DECIMAL_SHAPE, (DECIMALS,)): []})


@cache
def _wide_shapes() -> _Database:
    return _Database({shape: [] for shape in _WIDE_SHAPES})


@cache
def _colour_shapes() -> _Database:
    return _Database({_Pattern(_COLOUR_SHAPE, (COLOURS,)): []})


def _patterns(text: bytes) -> Iterator[_Pattern]:
    """Make what is looked for among letters and digits."""
    pieces = _pieces(text)
    for piece in pieces:
        if expression := _skeleton(piece):
            yield _Pattern(expression)
        yield from _encoded(piece)
    plain = unescaped(text)
    if plain is not None:
        # The value itself looks escaped: its reading may be printed, and so may the reading be escaped again.
        for piece in _pieces(plain.data):
            if expression := _skeleton(piece):
                yield _Pattern(expression)
    if len(text) >= 2 * _ENCODED_BYTES and len(pieces) == 1:
        # A second place, should a line break that is itself escaped go through the first.
        yield from _once_and_twice(text[-_ENCODED_BYTES:])
        yield from _base32(text[-_ENCODED_BYTES:])
    if len(text) >= PIECE_BYTES // 2 and len(pieces) == 1:
        yield _hex(text[-_HEX_BYTES:], (HEX,))
    for piece in pieces:
        yield from _wide(piece)


def _encoded(piece: bytes) -> Iterator[_Pattern]:
    """Make what is looked for in base64, base32 and hexadecimal.

    What is encoded may have been escaped before, so letters and digits are the best choice; of a piece without enough
    of them in a row, the usual escapes are looked for too.
    """
    run = _longest_run(piece)
    for text in [run] if len(run) >= _ENOUGH else _escaped(piece):
        yield from _once_and_twice(text[:_ENCODED_BYTES])
        yield from _base32(text[:_ENCODED_BYTES])
    for text in [run] if len(run) >= _FEW else _escaped(piece):
        yield _hex(text[:_HEX_BYTES], (HEX,))


def _escaped(piece: bytes) -> list[bytes]:
    """Return a text as it is, and as JSON (of Go and of others), URLs and HTML escape it."""
    text = piece.decode("utf-8", "surrogateescape")
    go = "".join(f"\\u{ord(one):04x}" if one in "&<>" else json.dumps(one, ensure_ascii=False)[1:-1] for one in text)
    forms = [text, json.dumps(text)[1:-1], go, quote(piece, safe=""), html.escape(text)]
    return [form.encode("utf-8", "surrogateescape") for form in dict.fromkeys(forms)]


def _wide(text: bytes) -> Iterator[_Pattern]:
    """Make what is looked for in base64 and hexadecimal of UTF-16; for ASCII, a shape is enough."""
    characters = text.decode("utf-8", "replace")[: _ENCODED_BYTES // 2]
    if not characters.isascii():
        for encoding in ("utf-16-le", "utf-16-be"):
            yield from _base64(characters.encode(encoding), (BASE64, UTF16))
            yield _hex(characters.encode(encoding), (HEX, UTF16))


def _hex(text: bytes, decoders: tuple[str, ...]) -> _Pattern:
    return _Pattern(text.hex().encode(), decoders, caseless=True)


def _pieces(text: bytes) -> list[bytes]:
    """Cut a value into pieces of about equal length."""
    count = max(1, len(text) // PIECE_BYTES)
    size = -(-len(text) // count)
    return [text[start : start + size] for start in range(0, len(text), size)]


def _longest_run(piece: bytes) -> bytes:
    return max(_RUN.findall(piece), key=len, default=b"")


def _skeleton(piece: bytes) -> bytes:
    """Join a piece's letters and digits, with room for what an escape of the rest leaves between them."""
    runs = list(_RUN.finditer(piece))
    if sum(len(run.group()) for run in runs) < _FEW:
        return b""
    first = last = max(range(len(runs)), key=lambda index: len(runs[index].group()))
    length = len(runs[first].group())
    while length < _ENOUGH and (first > 0 or last + 1 < len(runs)):
        if last + 1 < len(runs):
            last += 1
            length += len(runs[last].group())
        else:
            first -= 1
            length += len(runs[first].group())
    if first == last:
        return runs[first].group()[:_LITERAL_BYTES]
    expression = runs[first].group()
    for before, run in zip(runs[first:last], runs[first + 1 : last + 1], strict=True):
        gap = _GAP_PER_BYTE * (run.start() - before.end())
        if gap > _MAX_GAP:
            return b""
        expression += b".{0,%d}" % gap + run.group()
    return expression


def _once_and_twice(text: bytes) -> Iterator[_Pattern]:
    """Make what is looked for in base64, and in base64 of that: credentials of a registry in a secret of Kubernetes."""
    yield from _base64(text, (BASE64,))
    for once in _certain(text):
        for alphabet in dict.fromkeys((once, once.translate(_URL_SAFE))):
            yield from _base64(alphabet, (BASE64_TWICE,))


def _base64(text: bytes, decoders: tuple[str, ...]) -> Iterator[_Pattern]:
    for certain in _certain(text):
        letters = certain.translate(None, b"+/")
        if len(letters) >= _FEW:
            yield _Pattern(letters, decoders)


def _certain(text: bytes) -> Iterator[bytes]:
    """Yield the base64 that is the same whatever stands before and behind, for each alignment."""
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        yield base64.b64encode(b"\0" * before + text)[skipped : (before + len(text)) * 8 // 6]


def _base32(text: bytes) -> Iterator[_Pattern]:
    """Make what is looked for in base32, at each of the five places at which a byte can begin."""
    for before, skipped in ((0, 0), (1, 2), (2, 4), (3, 5), (4, 7)):
        letters = base64.b32encode(b"\0" * before + text)[skipped : (before + len(text)) * 8 // 5]
        if len(letters) >= _FEW:
            yield _Pattern(letters, (BASE32,), caseless=True)


def _patterns_in_output(text: bytes) -> Iterator[_Pattern]:
    """Make what is looked for in the output itself: values of few letters and digits, and UTF-16."""
    if not _skeleton(text[: 2 * PIECE_BYTES]):
        yield _Pattern(_tolerant(text))
    for piece in _pieces(text):
        if not _skeleton(piece):
            yield _Pattern(_literal(piece[:_LITERAL_BYTES]))
        characters = piece.decode("utf-8", "ignore")[:_WIDE_CHARS]
        if characters and not (characters.isascii() and _skeleton(piece)):
            for encoding in ("utf-16-le", "utf-16-be"):
                yield _Pattern(_literal(characters.encode(encoding)), (UTF16,))


def _literal(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in text)


def _tolerant(text: bytes) -> bytes:
    """Match the beginning of a text in which each character may be escaped in any way."""
    units = []
    for character in text.decode("utf-8", "surrogateescape")[:_TOLERANT_CHARS]:
        encoded = character.encode("utf-8", "surrogateescape")
        forms = [_literal(encoded), b"".join(b"[%%=](?:25){0,3}%02x" % byte for byte in encoded)]
        if len(encoded) == 1:
            forms += [b"\\\\+(?:u00|x)%02x" % encoded[0], b"\\\\+%03o" % encoded[0]]
            forms += [b"&(?:amp;){0,2}(?:#0*%d|#x0*%02x|[a-z]{2,8});" % (encoded[0], encoded[0])]
            forms += [_literal(encoded * 2)] if encoded in b"%$" else []
        else:
            forms += [
                b"\\\\+(?:u[0-9a-f]{4}|[ux]\\{[0-9a-f]{2,6}\\})",
                b"\\\\+[0-7]{3}",
                b"\\\\+x[0-9a-f]{2}",
                b"&[#a-z0-9]{2,10};",
            ]
            forms += [b"(?:M-\\^?[ -~]){%d}" % len(encoded)]
        units.append(b"(?i:" + b"|".join(forms) + b")")
    return b"(?:[\\\\'\"`^\\x00\\s]|=\\r?\\n)*".join(units)
