"""Finds the lines of a comment that its readers see as plain text of its writer: pure.

The comment is read as CommonMark, with the tables, struck-out text and footnotes that code hosts add (GitHub Flavored
Markdown Spec; GitHub Docs, "Basic writing and formatting syntax"). Where hosts differ, fewer lines are plain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

IN_HTML: Final = "stands inside HTML that is not closed before it"
REORDERED: Final = "stands in a paragraph with characters that change the order in which text is shown"

_REORDERING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Embeddings, overrides and isolates: they last beyond their line (Unicode Annex 9, "Unicode Bidirectional Algorithm").

Marks that act on one line only are no part of a command's words, so that they spoil it there."""

_FOOTNOTE: Final = re.compile(r"^( {0,3})\[\^[^\]\s`<>]+\]:", re.MULTILINE)

_WITHOUT_END: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
"""Elements that hold nothing (HTML Living Standard, "Void elements")."""

_RAW_TEXT: Final = frozenset(
    {"iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "textarea", "title", "xmp"}
)
"""Elements in which tags are text (HTML Living Standard, "Parsing HTML fragments")."""

_TAG: Final = re.compile(
    r"""<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9-]*+)(?:[\s/](?:[^<>"']|"[^"<>]*+"|'[^'<>]*+')*+)?>"""
)
_BEGINS_MARKUP: Final = frozenset("/!?abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_UNCLEAR: Final = ""
"""Stands for an element that no tag closes."""


@dataclass(frozen=True, slots=True)
class PlainLine:
    """A line as it was typed, without the spaces around it; ``doubt`` says why readers may see it otherwise."""

    text: str
    doubt: str | None = None


def plain_lines(text: str) -> Iterator[PlainLine]:
    """Return the lines of top-level paragraphs that are nothing but text, exactly as they were typed.

    No line of a quote, a list, a table, a footnote, code or a heading is given, nor one with any markup in it. Inside
    HTML, ``<details>`` as well, lines are given with a doubt: a ``<blockquote>`` quotes as ``>`` does.
    """
    # Not before a comment may hold a command: most hold none, and the parser takes longer to load than to run.
    from markdown_it import MarkdownIt

    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    # CommonMark knows no footnotes; like a quote, one goes on over the lines behind it.
    text = _FOOTNOTE.sub(r"\1> ", text)
    typed = text.split("\n")
    html = _OpenElements()
    # Joined, characters that were typed as they are and those written as an escape or reference look the same.
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("text_join")
    in_paragraph = False
    # Without a line's end behind it, markdown-it-py 4.3 raises IndexError on some texts that end in a quote: it looks
    # at the character behind the last, as its pull request 416 tells of two more rules.
    for token in parser.parse(f"{text}\n"):
        if token.type == "html_block":
            html.read(token.content)
        if token.type != "inline":
            in_paragraph = token.type == "paragraph_open" and token.level == 0
            continue
        lines = list(_lines(token.children or [], html))
        if not in_paragraph or token.map is None:
            continue
        first, end = token.map
        reordered = _REORDERING.search("\n".join(typed[first:end])) is not None
        # The parser drops more kinds of space around a paragraph than a person can tell from other characters.
        if lines and lines[0] is not None and lines[0].text:
            lines[0] = PlainLine(_trimmed(typed[first]), lines[0].doubt)
        for line in lines:
            if line is not None:
                yield PlainLine(line.text, line.doubt or (REORDERED if reordered else None))


def _lines(children: list[Token], html: _OpenElements) -> Iterator[PlainLine | None]:
    """Return each line of a paragraph: None for one with any markup in it."""
    parts: list[str] | None = []
    doubt = IN_HTML if html.open else None
    for child in children:
        if child.type == "html_inline":
            html.read(child.content)
        if child.type in {"softbreak", "hardbreak"}:
            yield None if parts is None else PlainLine(_trimmed("".join(parts)), doubt)
            parts = [] if child.level == 0 else None
            doubt = IN_HTML if html.open else None
        elif child.type != "text" or child.level != 0:
            parts = None
        elif parts is not None:
            parts.append(child.content)
    yield None if parts is None else PlainLine(_trimmed("".join(parts)), doubt)


def _trimmed(line: str) -> str:
    return line.replace("\t", " ").strip(" ")


class _OpenElements:
    """The elements that are open, from the outermost.

    It reads with less leniency than browsers do, so that it never takes for closed what they show as open: an end tag
    out of turn closes none, and what is no simple tag or comment is as if something stayed open. (Python's own
    ``html.parser`` takes quadratic time over unfinished comments, and raises on some declarations.)
    """

    def __init__(self) -> None:
        self.open: list[str] = []

    def read(self, html: str) -> None:
        """Read one whole piece of HTML, in time that grows as its length does."""
        position = html.find("<")
        while position >= 0:
            if html.startswith("<!--", position):
                end = html.find("-->", position + 2) + 3
                if end < 3 or "--!>" in html[position:end]:
                    self.open.append(_UNCLEAR)
                    return
            else:
                end = self._tag(html, position)
            position = html.find("<", end)

    def _tag(self, html: str, position: int) -> int:
        found = _TAG.match(html, position)
        if found is None:
            if html[position + 1 : position + 2] in _BEGINS_MARKUP:
                self.open.append(_UNCLEAR)
            return position + 1
        name = found["name"].lower()
        if not found["end"]:
            if name not in _WITHOUT_END:
                # The slash of <p/> closes nothing, in browsers neither.
                self.open.append(_UNCLEAR if name in _RAW_TEXT else name)
        elif self.open and self.open[-1] == name:
            self.open.pop()
        return found.end()


__all__ = ["IN_HTML", "REORDERED", "PlainLine", "plain_lines"]
