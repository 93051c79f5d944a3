"""Decoders that know from where in their input each byte of their output came.

What printers add around a value and a reader passes over (quotes, backslashes, line breaks, colours) is removed here,
and what they wrote in another way (``\\u0026``, ``%26``, ``&amp;``, base64, hexadecimal, UTF-16) is turned back.
"""

from __future__ import annotations

import binascii
import html
import re
from bisect import bisect_right
from functools import cache, cached_property
from itertools import compress
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Span = tuple[int, int]
"""First byte, and the one behind the last."""

LOOSE: Final = b" \t\r\n\v\f\0\\'\"`^+"
"""Bytes that are not compared, because printers add, double and drop them.

Forms (application/x-www-form-urlencoded) write ``+`` for a blank; PowerShell escapes with a backtick, cmd with ``^``.
"""

TIGHT: Final = b"\0\\'\""
"""The same for short values: joined over white space they would be found by chance."""

_PASSES: Final = 4
"""Most layers of escapes that are taken off, JSON in JSON in HTML being three."""


class Decoded(Protocol):
    """What a decoder made of its input."""

    @property
    def data(self) -> bytes:
        """The decoded bytes."""
        ...

    def source(self, start: int, end: int) -> list[Span]:
        """Return where in the input ``data[start:end]`` came from."""
        ...


class Plain:
    """The input as it is."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def source(self, start: int, end: int) -> list[Span]:
        """Return the same place."""
        return [(start, end)]


class Chain:
    """A decoder's output, decoded again."""

    def __init__(self, outer: Decoded, inner: Decoded) -> None:
        self.data = inner.data
        self._outer = outer
        self._inner = inner

    def source(self, start: int, end: int) -> list[Span]:
        """Return the places in the first input."""
        return [span for first, last in self._inner.source(start, end) for span in self._outer.source(first, last)]


class Positions:
    """Output of which each byte has a span of its own; the spans are computed when they are first asked for."""

    def __init__(self, data: bytes, spans: Callable[[], tuple[Sequence[int], Sequence[int]]]) -> None:
        self.data = data
        self._compute = spans

    @cached_property
    def _spans(self) -> tuple[Sequence[int], Sequence[int]]:
        return self._compute()

    def source(self, start: int, end: int) -> list[Span]:
        """Return all between the first byte's and the last byte's place."""
        starts, ends = self._spans
        return [(starts[start], ends[end - 1])]


class Segments:
    """Pieces of the input as they were, and between them what replaced a piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0
        self._at: list[int] = []
        self._from: list[Span] = []
        self._copied: list[bool] = []

    def copy(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of the input as it is."""
        if end > start:
            self._add(data[start:end], (start, end), copied=True)

    def replace(self, text: bytes, start: int, end: int) -> None:
        """Put ``text`` in the place of a piece of the input; an empty one removes it."""
        if text:
            self._add(text, (start, end), copied=False)

    def _add(self, text: bytes, span: Span, *, copied: bool) -> None:
        self._parts.append(text)
        self._at.append(self._length)
        self._from.append(span)
        self._copied.append(copied)
        self._length += len(text)

    @cached_property
    def data(self) -> bytes:
        """All pieces; nothing may be added afterwards."""
        return b"".join(self._parts)

    def source(self, start: int, end: int) -> list[Span]:
        """Return all between the first byte's and the last byte's place."""
        return [(self._source_of(start)[0], self._source_of(end - 1)[1])]

    def _source_of(self, offset: int) -> Span:
        index = bisect_right(self._at, offset) - 1
        first, last = self._from[index]
        if self._copied[index]:
            first += offset - self._at[index]
            last = first + 1
        return first, last


class Kept:
    """The input without certain bytes; where the others came from is computed when it is first asked for."""

    def __init__(self, data: bytes, unwanted: bytes) -> None:
        self.data = data.translate(None, unwanted)
        self._input = data
        self._unwanted = unwanted

    @cached_property
    def _places(self) -> Sequence[int]:
        return list(compress(range(len(self._input)), self._input.translate(_kept_flags(self._unwanted))))

    def source(self, start: int, end: int) -> list[Span]:
        """Return all between the first byte's and the last byte's place."""
        return [(self._places[start], self._places[end - 1] + 1)]


@cache
def _kept_flags(unwanted: bytes) -> bytes:
    return bytes(byte not in unwanted for byte in range(256))


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_CONTROL: Final = (
    rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # ECMA-48, control sequences: colours, the cursor
    rb"|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)"  # operating system commands: titles, links
    rb"|[ -/]{0,4}[0-~])"
)
_CONTROLS: Final = re.compile(_CONTROL)


def uncoloured(data: bytes) -> Decoded:
    """Remove the escape sequences of terminals."""
    return _removed(data, _CONTROLS)


def without_margins(data: bytes) -> Decoded | None:
    """Remove what logs, diffs, comments, quotes and numbered lines begin with; None where no line begins so."""
    return _removed(data, _MARGIN) if _MARGIN.search(data) else None


def _removed(data: bytes, pattern: re.Pattern[bytes]) -> Decoded:
    segments = Segments()
    position = 0
    for match in pattern.finditer(data):
        segments.copy(data, position, match.start())
        position = match.end()
    segments.copy(data, position, len(data))
    return segments


# ── escapes of JSON, HTML, URLs, shells, Python, YAML, HCL ───────────────────────────────────────────────────────────

# Each alternative begins with a byte of its own: only then does `re` pass over all the others at once.
_TOKEN: Final = re.compile(
    _CONTROL + rb"|\\\\*(?:"
    rb"u[dD][89abAB][0-9a-fA-F]{2}\\+u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x\{[0-9a-fA-F]{1,6}\}"
    rb"|x[0-9a-fA-F]{2}(?:\\+x[0-9a-fA-F]{2})*|[0-3][0-7]{2}(?:\\+[0-3][0-7]{2})*"
    rb"|[abefnrtvE0])?"
    rb"|%(?:u[dD][89abAB][0-9a-fA-F]{2}%u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*|%+)"
    rb"|&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
    rb"|\$\$+"
    rb"|\xe2[\x94\x95][\x80-\xbf]"  # Terraform's frames, U+2500 to U+257F
)
_PAIR: Final = re.compile(rb"(?:\\+|%)u([dD][89abAB][0-9a-fA-F]{2})(?:\\+|%)u([dD][c-fC-F][0-9a-fA-F]{2})")
# The time at which a line was printed, and by what: `kubectl logs --timestamps`, Terragrunt, GitLab's runner, `ts`.
_TIME: Final = (
    rb"\[?(?:(?:[0-9]{4}-[0-9]{2}-[0-9]{2}[T ])?|[A-Z][a-z]{2} [ 0-9][0-9] )"
    rb"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[-+][0-9]{2}:?[0-9]{2})?\]?"
    rb"(?:[ \t]+(?:STDOUT|STDERR|[A-Z]{4,5})\b)?(?:[ \t]+\[[^\]\n]{0,200}\])?"
    rb"(?:[ \t]+(?:terraform|tofu|terragrunt):)?[ \t]+(?:[0-9]{2}[OE][ +])?"
)
# What printed a line: Terragrunt's older and other formats, `kubectl logs --prefix`, Docker Compose, `parallel --tag`,
# a Terraform provisioner, Packer, `docker build --progress plain`.
_ORIGIN: Final = (
    rb"(?:\[[^\]\s]{1,200}\][ \t]+|STD[OE]\[[0-9]{1,9}\][ \t]+|[\w.@:/-]{1,100}+(?:[ ]*\|[ ]|\t)"
    rb"|(?:==>[ ])?[\w.@/\[\]\"'-]{1,300}+(?:[ ]\((?:local|remote)-exec\))?:[ ]|#[0-9]{1,4}[ ][0-9]{1,6}\.[0-9]{1,6}[ ]"
    rb"|time=\S{1,64} level=\w{1,16} (?:(?:prefix|tf-path)=\S{1,200} ){0,2}msg=)"
)
# Diffs, quotes, comments, line numbers.
_SIGNS: Final = rb"(?:(?:[-+~>|#*;]{1,2}|//|[0-9]{1,7}[\t:|])[ \t]*)"
_MARGIN: Final = re.compile(
    rb"(?m:^)[ \t]*(?:(?:" + _TIME + rb"|" + _ORIGIN + rb"){1,3}" + _SIGNS + rb"*|" + _SIGNS + rb"+)"
)
_FRAMES: Final = rb"\xe2[\x94\x95][\x80-\xbf]"
_CUT_ESCAPE: Final = re.compile(
    rb"(?:%[0-9a-fA-F]?|\\+(?:[uUx][0-9a-fA-F{]{0,7}|[0-7]{1,2})?|&[#a-zA-Z0-9]{0,8}|=[0-9a-fA-F]?)[ \t]*\r?\n"
)
_LINE_BREAK: Final = re.compile(rb"[ \t]*\r?\n(?:[ \t>|#*]|" + _FRAMES + rb")*")
_BYTE: Final = re.compile(rb"%[0-9a-fA-F]{2}|\\+x[0-9a-fA-F]{2}|\\+[0-7]{3}")
_LETTERS: Final = {
    ord("a"): b"\a", ord("b"): b"\b", ord("e"): b"\x1b", ord("E"): b"\x1b", ord("f"): b"\f", ord("n"): b"\n",
    ord("r"): b"\r", ord("t"): b"\t", ord("v"): b"\v", ord("0"): b"\0",
}  # fmt: skip


def unescaped(data: bytes) -> Decoded | None:
    """Turn back every escape, layer by layer; None where there is none.

    Which language wrote an escape is not asked: a value is unescaped in the same way before it is compared, so that
    what both do to it makes no difference.
    """
    result: Decoded | None = None
    for _ in range(_PASSES):
        current = data if result is None else result.data
        segments = _one_layer(current)
        if segments is None or segments.data == current:
            break
        result = segments if result is None else Chain(result, segments)
    return result


def joined(data: bytes) -> Decoded | None:
    """Join lines, without their margins and frames; None where no line ends within an escape."""
    return _removed(data, _LINE_BREAK) if _CUT_ESCAPE.search(data) else None


def _one_layer(data: bytes) -> Segments | None:
    segments: Segments | None = None
    position = 0
    for match in _TOKEN.finditer(data):
        segments = segments or Segments()
        start, end = match.span()
        segments.copy(data, position, start)
        position = end
        _replace(segments, match, start, end)
    if segments is not None:
        segments.copy(data, position, len(data))
    return segments


def _replace(segments: Segments, match: re.Match[bytes], start: int, end: int) -> None:
    text = match.group()
    first = text[:1]
    if pair := _PAIR.fullmatch(text):
        high, low = (int(half, 16) for half in pair.groups())
        segments.replace(_character(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), start, end)
    elif first == b"\\":
        _replace_backslash(segments, text, start, end)
    elif first == b"%" and text[1:2] == b"u":
        segments.replace(_character(int(text[2:], 16)), start, end)
    elif first == b"%" and text[1:2] != b"%":
        _replace_bytes(segments, text, start)
    elif first == b"&":
        segments.replace(html.unescape(text.decode("ascii")).encode("utf-8", "replace"), start, end)
    elif first in {b"%", b"$"}:
        # Doubled, as INI and HCL escape them.
        segments.replace(first, start, end)


def _replace_backslash(segments: Segments, text: bytes, start: int, end: int) -> None:
    escape = text.lstrip(b"\\")
    if escape[:1] in {b"u", b"U"} or escape[:2] == b"x{":
        segments.replace(_character(int(escape[1:].strip(b"{}"), 16)), start, end)
    elif len(escape) == 1:
        segments.replace(_LETTERS[escape[0]], start, end)
    elif escape:
        _replace_bytes(segments, text, start)


def _character(point: int) -> bytes:
    return chr(point).encode("utf-8", "surrogatepass") if point <= 0x10FFFF else b""


def _replace_bytes(segments: Segments, text: bytes, start: int) -> None:
    """Replace a row of escaped bytes: UTF-8 where they are, else one character each, as Python and JavaScript do."""
    found = [(match.group(), match.span()) for match in _BYTE.finditer(text)]
    octal = text[:1] != b"%" and b"x" not in text
    values = bytes(int(token[-3:], 8) if octal else int(token[-2:], 16) for token, _ in found)
    try:
        values.decode("utf-8")
        characters = [values[index : index + 1] for index in range(len(values))]
    except UnicodeDecodeError:
        characters = [chr(value).encode() for value in values]
    for character, (_, span) in zip(characters, found, strict=True):
        segments.replace(character, start + span[0], start + span[1])


# ── mail and `cat -v` ───────────────────────────────────────────────────────────────────────────────────────────────

_QUOTED_PRINTABLE: Final = re.compile(rb"(?:=[0-9A-Fa-f]{2})+|=\r?\n")
_CARETS: Final = re.compile(rb"(?:M-(?:\^[@-_?]|[ -~]))+|\^[@-_]")
_CARET: Final = re.compile(rb"M-\^(.)|M-(.)|\^(.)")


def quoted_printable(data: bytes) -> Decoded | None:
    """Decode quoted-printable text (RFC 2045, 6.7); None if there is none."""
    return _replaced(data, _QUOTED_PRINTABLE, _quoted_bytes)


def careted(data: bytes) -> Decoded | None:
    """Decode what ``cat -v`` prints for bytes that are not ASCII; None if there is none."""
    return _replaced(data, _CARETS, _caret_bytes)


def _quoted_bytes(text: bytes) -> Iterator[tuple[bytes, Span]]:
    if not text.endswith(b"\n"):
        for start in range(0, len(text), 3):
            yield bytes.fromhex(text[start + 1 : start + 3].decode()), (start, start + 3)


def _caret_bytes(text: bytes) -> Iterator[tuple[bytes, Span]]:
    for match in _CARET.finditer(text):
        both, high, low = match.groups()
        # ``M-`` sets the highest bit; ``^`` stands for a control character, 64 less (127 for ``^?``).
        value = high[0] if high is not None else (both or low)[0] ^ 0x40
        yield bytes([value | (0 if low is not None else 0x80)]), match.span()


def _replaced(
    data: bytes, pattern: re.Pattern[bytes], decode: Callable[[bytes], Iterator[tuple[bytes, Span]]]
) -> Decoded | None:
    segments: Segments | None = None
    position = 0
    for match in pattern.finditer(data):
        segments = segments or Segments()
        start, end = match.span()
        segments.copy(data, position, start)
        for text, (first, last) in decode(match.group()):
            segments.replace(text, start + first, start + last)
        position = end
    if segments is not None:
        segments.copy(data, position, len(data))
    return segments


# ── base64, base32, hexadecimal, UTF-16 ───────────────────────────────────────────────────────────────────────────────

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_NOT_BASE64: Final = bytes(byte for byte in range(256) if byte not in _ALPHABET)
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_BASE32: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567abcdefghijklmnopqrstuvwxyz"
_NOT_BASE32: Final = bytes(byte for byte in range(256) if byte not in _BASE32)
_DIGITS: Final = b"0123456789abcdefghijklmnopqrstuv"
_BASE32_DIGITS: Final = bytes.maketrans(_BASE32, _DIGITS + _DIGITS[:26])
_HEX_RUN: Final = re.compile(
    rb"(?:(?:0[xX]|\\+x)?[0-9a-fA-F]{2}[uU]?(?:[ \t\r\n:,;.|\"'+_-]|\\+[nrt]?)*){4,}(?:(?:0[xX])?[0-9a-fA-F])?"
)
_DECIMALS: Final = re.compile(rb"(?:-?[0-9]{1,3}(?:[,; \t\r\n]{1,12}|\\+[nrt])){3,}-?[0-9]{1,3}")
_DECIMAL: Final = re.compile(rb"-?[0-9]+")
_HEX_DIGIT: Final = re.compile(rb"(?:0[xX]|\\+x)(?=[0-9a-fA-F]{2})|\\+[nrt]|([0-9a-fA-F])")


def base64_decoded(data: bytes) -> Iterator[Decoded]:
    """Read all that can be base64 (either alphabet) as one text, once for each of the four places it may begin at.

    Line breaks, margins and padding are ignored, so that a line's width makes no difference.
    """
    letters = Kept(data, _NOT_BASE64)
    text = letters.data.translate(_URL_SAFE)
    for skipped in range(min(4, len(text))):
        whole = text[skipped:]
        decoded = binascii.a2b_base64(whole + b"A" * (-len(whole) % 4))
        yield _Letters(decoded, letters, skipped, bits=6)


def base32_decoded(data: bytes) -> Iterator[Decoded]:
    """Read all that can be base32 (RFC 4648, section 6, in either case) as one text, once for each of eight places."""
    letters = Kept(data, _NOT_BASE32)
    digits = letters.data.translate(_BASE32_DIGITS)
    for skipped in range(min(8, len(digits) - 1)):
        bits = (len(digits) - skipped) * 5
        decoded = (int(digits[skipped:], 32) >> bits % 8).to_bytes(bits // 8)
        yield _Letters(decoded, letters, skipped, bits=5)


class _Letters:
    """Bytes of eight bits out of letters of fewer."""

    def __init__(self, data: bytes, letters: Decoded, skipped: int, *, bits: int) -> None:
        self.data = data
        self._letters = letters
        self._skipped = skipped
        self._bits = bits

    def source(self, start: int, end: int) -> list[Span]:
        first = self._skipped + start * 8 // self._bits
        last = min(self._skipped + -(-end * 8 // self._bits), len(self._letters.data))
        return self._letters.source(first, last) if last > first else []


def hex_decoded(data: bytes) -> Iterator[Decoded]:
    """Read each row of hexadecimal digits, whatever separates them, from its first and from its second digit on."""
    for match in _HEX_RUN.finditer(data):
        places = [
            match.start() + digit.start() for digit in _HEX_DIGIT.finditer(match.group()) if digit.group(1) is not None
        ]
        for skipped in (0, 1):
            pairs = places[skipped : skipped + (len(places) - skipped) // 2 * 2]
            starts, ends = pairs[::2], [position + 1 for position in pairs[1::2]]
            text = bytes(data[position] for position in pairs)
            yield Positions(bytes.fromhex(text.decode("ascii")), lambda starts=starts, ends=ends: (starts, ends))  # type: ignore[misc]


def decimal_decoded(data: bytes) -> Iterator[Decoded]:
    """Read each list of decimal numbers as bytes, as Go, Python and Java print them."""
    for match in _DECIMALS.finditer(data):
        found = [(int(number.group()), number.span()) for number in _DECIMAL.finditer(match.group())]
        starts = [match.start() + start for _, (start, _) in found]
        ends = [match.start() + end for _, (_, end) in found]
        # Java's bytes are signed.
        text = bytes(value & 0xFF for value, _ in found)
        yield Positions(text, lambda starts=starts, ends=ends: (starts, ends))  # type: ignore[misc]


def utf16_decoded(data: bytes) -> Iterator[Decoded]:
    """Read UTF-16 of either byte order, beginning at an even or an odd byte."""
    for encoding in ("utf-16-le", "utf-16-be"):
        for skipped in (0, 1):
            even = data[skipped : skipped + (len(data) - skipped) // 2 * 2]
            text = even.decode(encoding, "replace")
            yield Positions(text.encode("utf-8"), lambda text=text, skipped=skipped: _utf16_spans(text, skipped))  # type: ignore[misc]


def _utf16_spans(text: str, skipped: int) -> tuple[list[int], list[int]]:
    starts: list[int] = []
    ends: list[int] = []
    position = skipped
    for character in text:
        units = 2 if character <= "\uffff" else 4
        count = len(character.encode("utf-8"))
        starts += [position] * count
        ends += [position + units] * count
        position += units
    return starts, ends
