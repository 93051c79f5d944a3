"""Masks secrets in a stream, whatever chunks it comes in."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Final

from iac_ci_common.limits import MIN_MASKED_CHARS
from iac_ci_common.redaction.search import REACH, Search
from iac_ci_common.redaction.secret_values import secret_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iac_ci_common.redaction.decoding import Span
    from iac_ci_common.redaction.secret_values import Value

MASK: Final = b"***"

_BLOCK_BYTES: Final = 128 * 1024
"""How much is searched at once. Blocks begin at multiples of it, so that chunks make no difference to what is found."""

_CONTEXT_BYTES: Final = 2 * REACH
"""What is kept of the stream before the block, and held back of its end: a secret may reach into both."""

_BEGINNING_CHARS: Final = 6


class _Known:
    """The values that are masked, prepared for search."""

    def __init__(self, values: Sequence[Value]) -> None:
        self.search = Search(values)
        self._texts = tuple(value.text for value in values)

    @cached_property
    def beginnings(self) -> Search:
        """Finds the beginnings of values: at least four characters, and half of a short value."""
        beginnings = (text[: max(MIN_MASKED_CHARS, min(_BEGINNING_CHARS, len(text) // 2))] for text in self._texts)
        return Search(secret_values((), also=dict.fromkeys(beginnings)))


class Redactor:
    """Masks values in a stream of bytes: ``feed`` it, and ``finish`` it.

    At most a block of 128 KiB and 4 KiB around it are held back, whatever the values are. A masked span becomes
    ``***``, one for each line that it touches. The chunks make no difference to the result.
    """

    def __init__(self, values: Iterable[str], *, also: Iterable[str] = (), never: Iterable[str] = ()) -> None:
        """Prepare to mask ``values``, their secret parts (see ``secret_values``) and ``also``, but not ``never``."""
        self._values, self._also, self._never = list(values), list(also), list(never)
        self._known = _Known(secret_values(self._values, also=self._also, never=self._never))
        self._adding = Lock()
        self._data = bytearray()
        self._shown = 0
        """Bytes at the beginning of ``_data`` that were returned before."""

    def add(self, values: Iterable[str]) -> None:
        """Mask further values in what comes from now on; other threads may add and use the stream meanwhile."""
        with self._adding:
            self._values += values
            # The stream reads the attribute once for each part of its work, so it is replaced and never changed.
            self._known = _Known(secret_values(self._values, also=self._also, never=self._never))

    def feed(self, chunk: bytes) -> bytes:
        """Take the next chunk; return the next masked bytes."""
        if self._known.search.empty and not self.pending:
            return chunk
        self._data += chunk
        parts: list[bytes] = []
        while len(self._data) - self._shown >= _BLOCK_BYTES + _CONTEXT_BYTES:
            data = bytes(memoryview(self._data)[: self._shown + _BLOCK_BYTES + _CONTEXT_BYTES])
            parts.append(self._next(data, self._known.search.spans(data), held=_CONTEXT_BYTES))
        return b"".join(parts)

    @property
    def pending(self) -> bool:
        """Return whether bytes are held back."""
        return len(self._data) > self._shown

    def flush(self) -> bytes:
        """Return what is held back, up to what may be the beginning of a secret; the stream then goes on.

        Use it where output pauses. Of a secret that is printed with a pause inside, fewer than ``_BEGINNING_CHARS``
        characters may be returned; the rest is masked.
        """
        if not self.pending:
            return b""
        data = bytes(self._data)
        tail = max(0, len(data) - _CONTEXT_BYTES)
        known = self._known
        whole = known.search.spans(data)
        held = 0
        for first, _ in known.beginnings.spans(data[tail:]):
            if not any(start <= first + tail < end for start, end in whole):
                held = len(data) - first - tail
                break
        return self._next(data, whole, held=held)

    def finish(self) -> bytes:
        """Return the rest of the stream; the redactor can then begin another one."""
        rest = b""
        if self.pending:
            data = bytes(self._data)
            rest = self._next(data, self._known.search.spans(data), held=0)
        self.discard()
        return rest

    def discard(self) -> int:
        """Forget the bytes that are held back; return how many they are."""
        held = len(self._data) - self._shown
        self._data.clear()
        self._shown = 0
        return held

    def text(self, text: str) -> str:
        """Mask a whole text that is no part of the stream."""
        search = self._known.search
        if search.empty:
            return text
        data = text.encode("utf-8", "surrogateescape")
        return _masked(data, 0, len(data), search.spans(data)).decode("utf-8", "replace")

    def _next(self, data: bytes, spans: Sequence[Span], *, held: int) -> bytes:
        """Mask and return what begins behind the part shown before, up to ``held`` bytes before the end of ``data``.

        ``data`` is the beginning of what is kept of the stream, and ``spans`` are those of its secrets.
        """
        spans = _by_line(data, spans)
        # What is now the beginning of a secret may begin in what was shown before.
        limit = max(self._shown, len(data) - held)
        for start, last in spans:
            # A mask is not cut, unless it is as long as a block.
            if start < limit < last and start > self._shown:
                limit = start
        masked = _masked(data, self._shown, limit, spans)
        forget = max(0, limit - _CONTEXT_BYTES)
        del self._data[:forget]
        self._shown = limit - forget
        return masked


def _by_line(data: bytes, spans: Sequence[Span]) -> Sequence[Span]:
    """Cut spans at line ends, and leave out the white space around the cuts: lines stay lines."""
    if all(data.find(b"\n", start, end) < 0 for start, end in spans):
        return spans
    found: list[Span] = []
    for start, end in spans:
        position = start
        for line in data[start:end].split(b"\n"):
            first = position + len(line) - len(line.lstrip())
            last = position + len(line.rstrip())
            if last > first:
                found.append((first, last))
            position += len(line) + 1
    return found


def _masked(data: bytes, start: int, end: int, spans: Iterable[Span]) -> bytes:
    """Return ``data[start:end]`` with a mask in the place of each span; spans are in order and disjoint."""
    inside = [(first, last) for first, last in spans if last > start and first < end]
    ends = [start, *(last for _, last in inside)]
    starts = [*(first for first, _ in inside), end]
    # Where a span begins before the part or ends behind it, the slice is empty.
    return MASK.join([data[first:last] for first, last in zip(ends, starts, strict=True)])
