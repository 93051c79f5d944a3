"""How a person gets a value back from what a program printed: written with the standard library only, so that it shares
nothing with the code that masks.

Each reading returns every text that can be read from an output. Masks cut it into fragments, which are read by
themselves, at every alignment.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import quopri
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SPAN = 6
"""So many consecutive characters of a value must not be readable."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "0": "\0"}


def shown(secrets: Sequence[str], output: bytes, reading: str | Sequence[str]) -> set[str]:
    """Return the parts of secrets, ``SPAN`` characters each, that can be read from an output in one way or several.

    White space and the margin of lines are not compared, because programs break lines anywhere.
    """
    parts = fragments(secrets)
    widths = {len(part) for part in parts}
    names = [reading] if isinstance(reading, str) else reading
    texts = {_squeeze(text) for name in names for text in READINGS[name](output)}
    return {part for text in texts for width in widths for part in _windows(text, width) if part in parts}


def fragments(secrets: Sequence[str]) -> set[str]:
    """Return every part of ``SPAN`` characters, and the whole of shorter secrets."""
    return {part for secret in secrets for part in _windows(_squeeze(secret), SPAN)}


def _windows(text: str, width: int) -> Iterator[str]:
    for start in range(max(1, len(text) - width + 1)):
        yield text[start : start + width]


def _squeeze(text: str) -> str:
    return re.sub(r"\s", "", text)


def _lines_without_margin(output: bytes) -> str:
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output.decode("utf-8", "replace"))
    return re.sub(r"(?m)^(?:\s*(?:[│|+] |\d+\t))", "", text)


def _text(output: bytes) -> Iterator[str]:
    yield output.decode("utf-8", "replace")
    yield _lines_without_margin(output)


def _backslashes(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        token = match.group(1)
        if token[0] in "uUx" and len(token) > 1:
            return chr(int(token[1:].strip("{}"), 16))
        if token[0] in "01234567" and len(token) == 3:
            return chr(int(token, 8))
        return _ESCAPES.get(token, token)

    found = re.sub(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{3}|.)", one, text, flags=re.DOTALL)
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _layers(decode: Callable[[str], str]) -> Callable[[bytes], Iterator[str]]:
    def read(output: bytes) -> Iterator[str]:
        text = output.decode("utf-8", "replace")
        for _ in range(4):
            yield text
            text = decode(text)

    return read


def _script(output: bytes) -> Iterator[str]:
    for text in _layers(_backslashes)(output):
        yield text
        # Bytes that were escaped one by one are UTF-8.
        yield text.encode("latin-1", "ignore").decode("utf-8", "ignore")


def _shell(output: bytes) -> Iterator[str]:
    for text in _text(output):
        for bare in (text, text.replace("'\\''", "'"), text.replace("'\"'\"'", "'")):
            yield bare
            yield re.sub(r"\\(.)", r"\1", bare)
            plain = _backslashes(bare)
            yield plain
            yield plain.encode("latin-1", "ignore").decode("utf-8", "ignore")


def _yaml(output: bytes) -> Iterator[str]:
    for text in _text(output):
        folded = re.sub(r"\\\n\s*(?:\\(?= ))?", "", text)
        yield text.replace("''", "'")
        yield _backslashes(folded)


def _csv(output: bytes) -> Iterator[str]:
    text = output.decode("utf-8", "replace")
    yield text.replace('""', '"')
    yield "\n".join("".join(row) for row in csv.reader(io.StringIO(text, newline="")))


def _escape(output: bytes) -> Iterator[str]:
    text = re.sub(r"%u([0-9a-fA-F]{4})", lambda match: chr(int(match.group(1), 16)), output.decode("utf-8", "replace"))
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    yield re.sub(r"%([0-9a-fA-F]{2})", lambda match: chr(int(match.group(1), 16)), text)


def _base64_bytes(output: bytes) -> Iterator[bytes]:
    """Decode what is left between masks, at every alignment."""
    output = re.sub(rb"(?m)^\s*\| ", b"", output)
    for fragment in re.split(rb"\*\*\*", output):
        text = re.sub(rb"[^A-Za-z0-9+/]", b"", fragment.replace(b"-", b"+").replace(b"_", b"/"))
        for skipped in range(4):
            part = text[skipped:]
            yield base64.b64decode(part + b"A" * (-len(part) % 4))


def _base64(output: bytes) -> Iterator[str]:
    for decoded in _base64_bytes(output):
        yield decoded.decode("utf-8", "ignore")


def _base32(output: bytes) -> Iterator[str]:
    """Decode what is left between masks, at every alignment."""
    output = re.sub(rb"(?m)^\s*\| ", b"", output)
    for fragment in re.split(rb"\*\*\*", output):
        text = re.sub(rb"[^A-Z2-7]", b"", fragment.upper())
        for skipped in range(8):
            part = text[skipped:]
            yield base64.b32decode(part + b"A" * (-len(part) % 8)).decode("utf-8", "ignore")


def _base64_json(output: bytes) -> Iterator[str]:
    for decoded in _base64_bytes(output):
        yield from _script(decoded)


def _base64_twice(output: bytes) -> Iterator[str]:
    for decoded in _base64_bytes(output):
        yield from _base64(decoded)


def _json_base64(output: bytes) -> Iterator[str]:
    yield from _base64(output.replace(b"\\n", b"\n"))


def _utf16(output: bytes) -> Iterator[str]:
    for encoding in ("utf-16-le", "utf-16-be"):
        for fragment in output.split(b"***"):
            for skipped in (0, 1):
                yield fragment[skipped:].decode(encoding, "ignore")


def _base64_utf16(output: bytes) -> Iterator[str]:
    for decoded in _base64_bytes(output):
        yield from _utf16(decoded)


def _hex(output: bytes) -> Iterator[str]:
    for fragment in output.split(b"***"):
        text = re.sub(rb"(?i)0x|\\x|[^0-9a-f]", b"", fragment)
        for skipped in (0, 1):
            part = text[skipped:]
            yield bytes.fromhex(part[: len(part) // 2 * 2].decode()).decode("utf-8", "ignore")


def _rows(output: bytes) -> Iterator[bytes]:
    """Return the groups of a dump's rows: without address, and without the column of text."""
    for line in output.split(b"\n"):
        row = re.sub(rb"^[0-9a-f]{6,8}:?", b"", line)
        yield re.sub(rb"(  [|>].*|   ?\S.*)$", b"", row) if re.match(rb"^[0-9a-f]{6,8}", line) else row


def _dump_hex(output: bytes) -> Iterator[str]:
    text = b""
    for line in output.split(b"\n"):
        row = re.sub(rb"^[0-9a-f]{6,8}:?", b"", line)
        # A column of text may begin with hexadecimal digits; behind groups of four it comes after the first gap.
        row = re.split(rb"  " if re.match(rb" (?:[0-9a-f]{4}|\*\*\*) ", row) else rb"  [|>]", row)[0]
        match = re.match(rb"(?:\s*(?:[0-9a-f]{2,4}|\*\*\*)(?=\s|$))*", row)
        text += match.group() if match else b""
    yield from _hex(text)


def _swapped(base: int, width: int) -> Callable[[bytes], Iterator[str]]:
    def read(output: bytes) -> Iterator[str]:
        for fragment in output.split(b"***"):
            groups = re.findall(rb"(?<= )[0-9a-f]{%d}(?=\s|$)" % width, fragment)
            yield b"".join(int(group, base).to_bytes(2, "little") for group in groups).decode("utf-8", "ignore")

    return read


def _dump_octal(output: bytes) -> Iterator[str]:
    for fragment in output.split(b"***"):
        groups = re.findall(rb"(?<= )[0-7]{3}(?=\s|$)", fragment)
        yield bytes(int(group, 8) for group in groups).decode("utf-8", "ignore")


def _dump_text(output: bytes) -> Iterator[str]:
    """Read the column of text: at its place, or after the first gap where masks have moved it."""
    lines = output.decode("utf-8", "replace").split("\n")
    yield "".join(line.partition("  ")[2] if "***" in line else line[51:] for line in lines)


def _dump_characters(output: bytes) -> Iterator[str]:
    """Read the cells of ``od -c``, four characters each, behind the address."""
    for fragment in output.split(b"***"):
        text = bytearray()
        for line in fragment.split(b"\n"):
            row = re.sub(rb"^(?:[0-7]{7}| {7})", b"", line)
            for start in range(0, len(row), 4):
                cell = row[start : start + 4].strip()
                if re.fullmatch(rb"[0-7]{3}", cell):
                    text.append(int(cell, 8))
                elif len(cell) == 1 or not cell:
                    text += cell or b" "
                elif len(cell) == 2:
                    text += _ESCAPES.get(chr(cell[1]), "").encode()
        yield text.decode("utf-8", "ignore")


def _diff(output: bytes) -> Iterator[str]:
    yield re.sub(r"(?m)^[-+ ]", "", output.decode("utf-8", "replace"))


def _inspect(output: bytes) -> Iterator[str]:
    """Read what Node prints of an object: text on several lines, joined by ``+``."""
    yield from _script(re.sub(rb"'\s*\+\s*'|\"\s*\+\s*\"|`\s*\+\s*`|'\s*\+\s*\"|\"\s*\+\s*'", b"", output))


def _wrapped(output: bytes) -> Iterator[str]:
    """Read lines that were cut anywhere, even within a character."""
    yield re.sub(rb"(?m)^(?:\xe2\x94\x82 )?|\n(?:\xe2\x94\x82 )?", b"", output).decode("utf-8", "ignore")


def _visible(output: bytes) -> Iterator[str]:
    """Read what ``sed l`` prints: lines cut by a backslash, ended by a dollar sign."""
    yield from _script(re.sub(rb"(?m)\\\n|\$$", b"", output))


def _carets(output: bytes) -> Iterator[str]:
    yield output.decode("utf-8", "ignore")
    text = re.sub(rb"M-\^(.)", lambda match: bytes([match[1][0] ^ 0x40 | 0x80]), output)
    yield re.sub(rb"M-(.)", lambda match: bytes([match[1][0] | 0x80]), text).decode("utf-8", "ignore")


def _quoted_printable(output: bytes) -> Iterator[str]:
    for fragment in output.split(b"***"):
        yield quopri.decodestring(fragment).decode("utf-8", "ignore")


def _decimal(output: bytes) -> Iterator[str]:
    for fragment in output.split(b"***"):
        yield bytes(int(number) & 0xFF for number in re.findall(rb"[0-9]+", fragment)).decode("utf-8", "ignore")


def _ini(output: bytes) -> Iterator[str]:
    yield output.decode("utf-8", "replace").replace("%%", "%")


READINGS: dict[str, Callable[[bytes], Iterator[str]]] = {
    "text": _text,
    "diff": _diff,
    "visible": _visible,
    "carets": _carets,
    "quoted-printable": _quoted_printable,
    "decimal": _decimal,
    "wrapped": _wrapped,
    "inspect": _inspect,
    "json": _layers(_backslashes),
    "script": _script,
    "shell": _shell,
    "url": _layers(unquote),
    "form": _layers(lambda text: unquote_plus(html.unescape(text))),
    "escape": _escape,
    "html": _layers(html.unescape),
    "csv": _csv,
    "ini": _ini,
    "yaml": _yaml,
    "base64": _base64,
    "base32": _base32,
    "base64-json": _base64_json,
    "base64-base64": _base64_twice,
    "json-base64": _json_base64,
    "utf-16": _utf16,
    "base64-utf-16": _base64_utf16,
    "hex": _hex,
    "dump-hex": _dump_hex,
    "dump-hex-swapped": _swapped(16, 4),
    "dump-octal-swapped": _swapped(8, 6),
    "dump-octal": _dump_octal,
    "dump-text": _dump_text,
    "dump-characters": _dump_characters,
}
