"""Decodes the places that the filter found, and compares: the spans of a text that show a secret."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from iac_ci_common.limits import MIN_MASKED_CHARS
from iac_ci_common.redaction import decoding
from iac_ci_common.redaction import filter as places
from iac_ci_common.redaction.decoding import LOOSE, TIGHT
from iac_ci_common.redaction.dump_rows import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from iac_ci_common.redaction.decoding import Decoded, Span
    from iac_ci_common.redaction.secret_values import Value

REACH: Final = 1024
"""How far from the filter's place a value is looked for, bytes: a piece of a value in its longest spelling."""

PART_CHARS: Final = 32
"""Least part of a longer value that is masked by itself."""

_PIECE_CHARS: Final = PART_CHARS // 2
_MOST_REPEATS: Final = 32
_LISTS: Final[Mapping[str, Callable[[bytes], Iterable[Decoded]]]] = {
    places.NUMBERS: decoding.hex_decoded,
    places.DECIMALS: decoding.decimal_decoded,
    places.DUMP: dumps,
}
_IN_BASE64: Final = frozenset({places.BASE64, places.BASE64_TWICE})
_WIDE: Final = re.compile(rb"(?:[^\0]\0){2}|(?:\0[^\0]){2}")
"""Two characters of ASCII in UTF-16."""


_WHOLE_CHARS: Final = 64
"""Up to this length a value counts only whole."""

_LOOSE_CHARS: Final = 8
"""Shortest value that may be broken by white space."""

_DEPTH: Final = 3
"""Encodings inside one another that are followed."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A value as it is compared, in one of two readings: as it is, or with all escapes turned back."""

    text: bytes
    ignored: bytes


@dataclass(slots=True)
class _Searched:
    """A value with what is needed to compare it."""

    raw: bytes = field(repr=False)
    keys: tuple[_Key, _Key] = field(repr=False)
    parents: list[_Searched] = field(default_factory=list, repr=False)


class Search:
    """Finds the spans of secret values."""

    def __init__(self, values: Sequence[Value]) -> None:
        """Prepare to find values, each with what it is a part of."""
        by_text = {value.text: _searched(value.text) for value in values}
        for value in values:
            by_text[value.text].parents = _ancestors(value, by_text)
        self._values = [by_text[value.text] for value in values if value.searched]

    @cached_property
    def _filter(self) -> places.Filter:
        return places.Filter([value.raw for value in self._values])

    @property
    def empty(self) -> bool:
        """Whether there is nothing to find."""
        return not self._values

    def spans(self, data: bytes) -> list[Span]:
        """Return the spans that show a secret, in order and disjoint."""
        if not self._values or not data:
            return []
        return merged(self._find(data, 0))

    def _find(self, data: bytes, depth: int) -> list[Span]:
        spans: list[Span] = []
        for first, last, hits in _windows(data, self._filter.hits(data)):
            values = [self._values[number] for number in sorted({number for hit in hits for number in hit.values})]
            decoders = {name for hit in hits for name in hit.decoders}
            found = self._examine(data[first:last], values, decoders, depth)
            spans += [(first + start, first + end) for start, end in found] if first else found
        return spans

    def _examine(self, data: bytes, values: Sequence[_Searched], decoders: set[str], depth: int) -> list[Span]:
        """Find values in a window, decoded in each way that the hits ask for."""
        readable = decoding.unescaped(data)
        found: list[Span] = []
        if values:
            wide = places.UTF16 in decoders or _WIDE.search(data) is not None
            for text, number in _readings(data, readable, wide=wide):
                kept: dict[bytes, Decoded] = {}
                found += _mapped(text, [span for value in values for span in _compare(text.data, value, number, kept)])
        if depth < _DEPTH and decoders:
            found += self._encoded(data, values, decoders, depth)
            if readable is not None:
                found += _mapped(readable, self._encoded(readable.data, values, decoders, depth))
            found += self._unnamed(data, readable, decoders, depth)
        return found

    def _encoded(self, data: bytes, values: Sequence[_Searched], decoders: set[str], depth: int) -> list[Span]:
        """Find values where the filter saw them in base64, base32 or hexadecimal."""
        found: list[Span] = []
        inner = decoders & {places.UTF16} | ({places.BASE64} if places.BASE64_TWICE in decoders else set())
        for lines in _with_and_without_margins(data):
            texts = [
                *(decoding.base64_decoded(lines.data) if decoders & _IN_BASE64 else []),
                *(decoding.base32_decoded(lines.data) if places.BASE32 in decoders else []),
                *(decoding.hex_decoded(lines.data) if places.HEX in decoders else []),
            ]
            for text in texts:
                found += _mapped(decoding.Chain(lines, text), self._examine(text.data, values, inner, depth + 1))
        return found

    def _unnamed(self, data: bytes, readable: Decoded | None, decoders: set[str], depth: int) -> list[Span]:
        """Find any value where the filter saw that everything is encoded."""
        found: list[Span] = []
        if places.ESCAPES in decoders and readable is not None:
            found += _mapped(readable, self._find(readable.data, depth + 1))
        if places.COLOURS in decoders:
            bare = decoding.uncoloured(data)
            found += _mapped(bare, self._find(bare.data, depth + 1))
        for name, decode in _LISTS.items():
            for text in decode(data) if name in decoders else ():
                found += _mapped(text, self._find(text.data, depth + 1))
        if places.WIDE in decoders:
            for outer in [decoding.Plain(data), *([] if readable is None else [readable])]:
                found += _mapped(outer, self._wide(outer.data, depth))
        return found

    def _wide(self, data: bytes, depth: int) -> list[Span]:
        """Find any value in UTF-16 that is in base64 or hexadecimal."""
        found: list[Span] = []
        for lines in _with_and_without_margins(data):
            for text in [*decoding.base64_decoded(lines.data), *decoding.hex_decoded(lines.data)]:
                for wide in decoding.utf16_decoded(text.data) if _WIDE.search(text.data) else ():
                    chain = decoding.Chain(lines, decoding.Chain(text, wide))
                    found += _mapped(chain, self._find(wide.data, depth + 1))
        return found


def _readings(data: bytes, readable: Decoded | None, *, wide: bool) -> Iterator[tuple[Decoded, int]]:
    """Yield a window in each way in which a value may be read, with the number of the value's key to compare."""
    plain = decoding.Plain(data)
    yield plain, 0
    base = plain if readable is None else readable
    yield base, 1
    if (bare := decoding.without_margins(base.data)) is not None:
        yield decoding.Chain(base, bare), 1
    if (line := decoding.joined(data)) is not None:
        yield line, 0
        if (text := decoding.unescaped(line.data)) is not None:
            yield decoding.Chain(line, text), 1
    for decode in (decoding.quoted_printable, decoding.careted):
        if (text := decode(data)) is not None:
            yield text, 0
    if wide:
        for wide_text in decoding.utf16_decoded(data):
            yield wide_text, 0
            if (text := decoding.unescaped(wide_text.data)) is not None:
                yield decoding.Chain(wide_text, text), 1


def _with_and_without_margins(data: bytes) -> Iterator[Decoded]:
    yield decoding.Plain(data)
    if (bare := decoding.without_margins(data)) is not None:
        yield bare


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the union of spans, in order."""
    ordered = sorted(spans)
    if all(first[1] < second[0] for first, second in pairwise(ordered)):
        return ordered
    result: list[Span] = []
    for start, end in ordered:
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def _searched(text: str) -> _Searched:
    raw = text.encode("utf-8", "surrogateescape")
    plain = decoding.unescaped(raw)
    # A value that is nothing but escapes is compared as it is.
    readable = raw if plain is None or len(plain.data) < MIN_MASKED_CHARS else plain.data
    return _Searched(raw, (_key(raw), _key(readable)))


def _key(text: bytes) -> _Key:
    loose = text.translate(None, LOOSE)
    if len(loose) >= _LOOSE_CHARS:
        return _Key(loose, LOOSE)
    tight = text.translate(None, TIGHT)
    return _Key(tight, TIGHT) if len(tight.strip()) >= MIN_MASKED_CHARS else _Key(text, b"")


def _ancestors(value: Value, by_text: dict[str, _Searched]) -> list[_Searched]:
    found: dict[int, _Searched] = {}
    waiting = deque(value.inside)
    while waiting:
        parent = waiting.popleft()
        searched = by_text[parent.text]
        if id(searched) not in found:
            found[id(searched)] = searched
            waiting.extend(parent.inside)
    return list(found.values())


def _windows(data: bytes, hits: Sequence[places.Hit]) -> Iterator[tuple[int, int, list[places.Hit]]]:
    """Put hits whose surroundings overlap together."""
    group: list[places.Hit] = []
    for hit in sorted(hits, key=lambda hit: hit.offset):
        if group and hit.offset - group[-1].offset > 2 * REACH:
            yield _window(data, group)
            group = []
        group.append(hit)
    if group:
        yield _window(data, group)


def _window(data: bytes, group: list[places.Hit]) -> tuple[int, int, list[places.Hit]]:
    return max(0, group[0].offset - REACH), min(len(data), group[-1].offset + REACH), group


def _mapped(decoded: Decoded, spans: Iterable[Span]) -> list[Span]:
    return [span for start, end in merged(spans) for span in decoded.source(start, end)]


def _compare(data: bytes, value: _Searched, number: int, kept: dict[bytes, Decoded]) -> list[Span]:
    """Find a value in decoded text, and as much around it as belongs to what the value is a part of.

    ``kept`` holds the text without ignored bytes, for the other values.
    """
    key = value.keys[number]
    if key.ignored not in kept:
        kept[key.ignored] = decoding.Kept(data, key.ignored)
    bare = kept[key.ignored].data
    if not value.parents and len(key.text) <= _WHOLE_CHARS and 0 < bare.count(key.text) == data.count(value.raw):
        # It stands there as it is: the usual case, and the fast one. Occurrences may overlap.
        return [match.span(1) for match in re.finditer(b"(?=(" + re.escape(value.raw) + b"))", data)]
    matches = _whole(bare, key.text) if len(key.text) <= _WHOLE_CHARS else _partial(bare, key.text)
    if not matches:
        return []
    places = [(start, end) for start, end, _ in matches]
    if value.parents:
        places = [
            _widened(bare, match, key.text, [parent.keys[number] for parent in value.parents]) for match in matches
        ]
    if len(bare) == len(data):
        return places
    return _mapped(kept[key.ignored], places)


_Match = tuple[int, int, int]
"""Start and end in the text, and the offset in the value at which it begins."""


def _whole(data: bytes, text: bytes) -> list[_Match]:
    found: list[_Match] = []
    position = data.find(text)
    while position >= 0:
        found.append((position, position + len(text), 0))
        position = data.find(text, position + 1)
    return found


def _partial(data: bytes, text: bytes) -> list[_Match]:
    """Find the parts of a long value that are at least ``PART_CHARS`` long."""
    if len(data) < PART_CHARS:
        return []
    return _parts_of_data(data, text) if len(data) < len(text) else _parts_of_text(data, text)


def _parts_of_text(data: bytes, text: bytes) -> list[_Match]:
    """Look for pieces of the value in the data. Each part of ``PART_CHARS`` contains a whole piece of half as many."""
    found: list[_Match] = []
    covered = bytearray(len(data))
    for offset in range(0, len(text) - _PIECE_CHARS + 1, _PIECE_CHARS):
        piece = text[offset : offset + _PIECE_CHARS]
        position = data.find(piece)
        while position >= 0:
            if not covered[position] or not covered[position + _PIECE_CHARS - 1]:
                start, end, first = _extended(data, position, text, offset)
                if end - start >= PART_CHARS:
                    found.append((start, end, first))
                    covered[start:end] = b"\1" * (end - start)
            position = data.find(piece, position + _PIECE_CHARS)
    return found


def _parts_of_data(data: bytes, text: bytes) -> list[_Match]:
    """Look for pieces of the data in the value: the same where the data is shorter."""
    found: list[_Match] = []
    last = 0
    for position in range(0, len(data) - _PIECE_CHARS + 1, _PIECE_CHARS):
        piece = data[position : position + _PIECE_CHARS]
        offset = text.find(piece) if position + _PIECE_CHARS > last else -1
        for _ in range(_MOST_REPEATS):
            if offset < 0:
                break
            start, end, first = _extended(data, position, text, offset)
            if end - start >= PART_CHARS:
                found.append((start, end, first))
                last = end
                break
            offset = text.find(piece, offset + 1)
    return found


def _extended(data: bytes, position: int, text: bytes, offset: int) -> _Match:
    """Widen a place at which data and value agree to all that agrees around it."""
    before = _common_suffix(data[max(0, position - offset) : position], text[:offset])
    behind = _common_prefix(data[position : position + len(text) - offset], text[offset:])
    return position - before, position + behind, offset - before


def _widened(data: bytes, match: _Match, text: bytes, wholes: Sequence[_Key]) -> Span:
    """Widen a match to what stands around it in the values of which it is a part."""
    start, end, offset = match
    part = text[offset : offset + end - start]
    before = behind = 0
    for whole in wholes:
        position = whole.text.find(part)
        while position >= 0:
            left = _common_suffix(data[max(0, start - position) : start], whole.text[:position])
            rest = whole.text[position + len(part) :]
            right = _common_prefix(data[end : end + len(rest)], rest)
            if left + right > before + behind:
                before, behind = left, right
            position = whole.text.find(part, position + 1)
    return start - before, end + behind


def _common_prefix(first: bytes, second: bytes) -> int:
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    # The first difference, by halving: what agrees may be long.
    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if first[low:middle] == second[low:middle] else (low, middle)
    return low


def _common_suffix(first: bytes, second: bytes) -> int:
    length = min(len(first), len(second))
    return _common_prefix(first[len(first) - length :][::-1], second[len(second) - length :][::-1])
