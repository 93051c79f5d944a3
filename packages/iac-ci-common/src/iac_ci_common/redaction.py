"""Takes secret values out of everything that is emitted, whatever chunks it comes in.

Each value is recognised plain, in base64 at any alignment, URL-encoded, JSON-escaped, HTML-escaped, shell-quoted and
in hexadecimal; of a value of several lines each line counts too. Values of fewer than four characters are left alone:
they occur everywhere by chance, and masking them would destroy the log without hiding anything.
"""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK: Final = b"***"

MINIMUM_CHARS: Final = 4
"""Shortest value that is masked."""

_MINIMUM_LINE_CHARS: Final = 8
_MINIMUM_BASE64_CHARS: Final = 6


class Redactor:
    """Masks values in a stream of bytes. Feed it with ``feed``, and ``finish`` it: the end may be held back till then.

    Memory is bounded by the chunk and the longest form of a value.
    """

    def __init__(self, values: Iterable[str]) -> None:
        """Prepare to mask ``values``."""
        forms = sorted(
            {form for value in values for form in forms_of(value)},
            # Longest first, so that a value that contains another is masked whole.
            key=lambda form: (-len(form), form),
        )
        self._pattern = re.compile(b"|".join(re.escape(form) for form in forms)) if forms else None
        self._reach = len(forms[0]) if forms else 0
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next chunk; give what can be said of the stream so far."""
        if self._pattern is None:
            return chunk
        return self._mask(self._held + chunk, final=False)

    def finish(self) -> bytes:
        """Return what was held back; the redactor may then begin another stream."""
        return self._mask(self._held, final=True)

    def text(self, text: str) -> str:
        """Mask a whole text that is no part of the stream."""
        if self._pattern is None:
            return text
        return self._pattern.sub(MASK, text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")

    def _mask(self, data: bytes, *, final: bool) -> bytes:
        if self._pattern is None:
            return data
        # A match is certain to be the longest one only if the longest form would have fitted behind its start.
        limit = len(data) if final else max(0, len(data) - self._reach + 1)
        parts: list[bytes] = []
        position = 0
        for match in self._pattern.finditer(data):
            if match.start() >= limit:
                break
            parts += (data[position : match.start()], MASK)
            position = match.end()
        end = max(position, limit)
        parts.append(data[position:end])
        self._held = data[end:]
        return b"".join(parts)


def forms_of(value: str) -> set[bytes]:
    """Return every form in which a value is masked."""
    forms: set[bytes] = set()
    for part in {value, value.strip(), *_lines(value)}:
        if len(part) >= MINIMUM_CHARS:
            forms |= {form.encode("utf-8", "surrogateescape") for form in _texts(part)}
            forms |= set(_base64(part.encode("utf-8", "surrogateescape")))
    return {form for form in forms if len(form) >= MINIMUM_CHARS}


def _lines(value: str) -> Iterator[str]:
    for line in value.splitlines():
        if len(line.strip()) >= _MINIMUM_LINE_CHARS:
            yield line.strip()


def _texts(value: str) -> Iterator[str]:
    yield value
    yield value.replace("\n", "\r\n")
    percent = quote(value, safe="", errors="surrogateescape")
    yield percent
    yield re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), percent)
    yield quote(value, errors="surrogateescape")
    yield quote_plus(value, errors="surrogateescape")
    for ascii_only in (True, False):
        inner = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield inner
        yield inner.replace("/", "\\/")
        yield json.dumps(inner, ensure_ascii=ascii_only)[1:-1]
    yield html.escape(value)
    yield html.escape(value, quote=False)
    yield value.replace("'", "'\\''")
    yield value.replace("'", "'\"'\"'")
    yield re.sub(r"([^A-Za-z0-9_\-.,:/@\n])", r"\\\1", value)
    hexadecimal = value.encode("utf-8", "surrogateescape").hex()
    yield hexadecimal
    yield hexadecimal.upper()


def _base64(value: bytes) -> Iterator[bytes]:
    """Return the characters that are the same whatever stands before and after the value, for each alignment."""
    for before, skip in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * before + value)
        certain = encoded[skip : (before + len(value)) * 8 // 6]
        if len(certain) >= _MINIMUM_BASE64_CHARS:
            yield certain
            yield certain.translate(bytes.maketrans(b"+/", b"-_"))
