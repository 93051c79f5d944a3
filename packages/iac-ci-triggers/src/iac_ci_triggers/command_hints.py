"""Finds lines of a comment that people mean as a command and that are none, so that the author gets a hint: pure.

A hint starts nothing. Lines of quotes and code blocks get none, because people quote commands in them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKUP: Final = re.compile(
    r"(?:\s|[-*+]\s|\d{1,9}[.)]\s|#{1,6}\s|\||\[[ xX]\]\s|[`*_~]|@[A-Za-z0-9][A-Za-z0-9-]{0,38}(?:\[bot\])?[ ,:]+)*"
)
"""What may stand before a command: spaces, bullets, numbers, signs of headings and tables, boxes, emphasis, back-ticks
and mentions."""

_COMMAND: Final = re.compile(r"/iac-ci(?: [^ |]{1,1024}){0,3}")
_MENTION: Final = re.compile(r"\s*@iac-ci(?:\[bot\])?[ ,:]+[a-z][a-z-]{0,39}(?: [^ ]{1,1024}){0,2}\s*", re.IGNORECASE)
_DASHES: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
_FENCE: Final = re.compile(r" {0,3}(```|~~~)")
_QUOTE_OR_CODE: Final = re.compile(r" {0,3}>| {4}|\t")


def seen(text: str) -> str:
    """Return the text as it looks, in lower case: with ASCII for look-alike characters, without invisible ones."""
    if text.isascii():
        return text.casefold()
    plain = "".join(letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) != "Cf")
    return plain.translate(_DASHES).casefold()


def looks_like_command(line: str) -> bool:
    """Return whether a line of plain text looks like a command, also in capitals and with other dashes or spaces."""
    return re.match(r"\s*/iac-ci(\s|$)", seen(line)) is not None


def lines_with_markup(text: str) -> Iterator[str]:
    """Yield the lines that would be a command without the markup or the mention before it, in linear time."""
    fence = None
    for line in _without_html_comments(text).splitlines():
        mark = _FENCE.match(line)
        if mark is not None and fence in {None, mark[1]}:
            fence = mark[1] if fence is None else None
        elif fence is None and _QUOTE_OR_CODE.match(line) is None and _is_meant(line):
            yield line.replace("\t", " ").strip(" \ufeff")


def _is_meant(line: str) -> bool:
    if len(line) > 2_000:
        return False
    if _MENTION.fullmatch(line):
        return True
    begin = _MARKUP.match(line)
    rest = line[begin.end() if begin is not None else 0 :]
    words = " ".join(seen(rest).rstrip("#| ").strip("`*_~ ").split())
    return _COMMAND.fullmatch(words) is not None


def _without_html_comments(text: str) -> str:
    parts: list[str] = []
    position = 0
    while (begin := text.find("<!--", position)) >= 0:
        parts.append(text[position:begin])
        end = text.find("-->", begin)
        if end < 0:
            return "".join(parts)
        position = end + 3
    return "".join([*parts, text[position:]])
