"""Finds the lines of a comment that readers see as plain text by its author: pure.

The comment is parsed as CommonMark, with the tables, struck-out text and footnotes that code hosts add (GitHub Flavored
Markdown Spec; GitHub Docs, "Basic writing and formatting syntax"). If hosts differ, the stricter rule applies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

IN_HTML: Final = "is inside HTML that is not closed before it"
REORDERED: Final = "is in a paragraph with characters that change the direction of the text"

FENCED: Final = "is after a line of >>> or $$, which quotes or is a formula on some hosts; leave that line out"

_FENCE: Final = re.compile(r"[ \t]*(>{3,}|\$\$)[ \t]*")
"""A line that begins or ends a quote of several lines (GitLab Docs, "GitLab Flavored Markdown") or a formula."""

_REORDERING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Embeddings, overrides and isolates: they affect later lines too (Unicode Annex 9, "Unicode Bidirectional Algorithm").

Marks that affect one line only are not allowed in a command's words, so such a line is not a command."""

_FOOTNOTE: Final = re.compile(r"^( {0,3})\[\^[^\]\s`<>]+\]:", re.MULTILINE)

_WITHOUT_END: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
"""Elements without content (HTML Living Standard, "Void elements")."""

_RAW_TEXT: Final = frozenset(
    {"iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "textarea", "title", "xmp"}
)
"""Elements whose tags are text (HTML Living Standard, "Parsing HTML fragments")."""

_TAG: Final = re.compile(
    r"""<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9-]*+)(?:[\s/](?:[^<>"']|"[^"<>]*+"|'[^'<>]*+')*+)?>"""
)
_BEGINS_MARKUP: Final = frozenset("/!?abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_UNCLEAR: Final = ""
"""An element that no tag closes."""


@dataclass(frozen=True, slots=True)
class PlainLine:
    """A typed line without the spaces around it; ``doubt`` is the reason why readers may see something else."""

    text: str
    doubt: str | None = None


def find_plain_lines(text: str) -> Iterator[PlainLine]:
    """Yield the lines of top-level paragraphs that are only text, exactly as they were typed.

    Lines of quotes, lists, tables, footnotes, code and headings are skipped, and lines with markup. Lines inside HTML,
    also ``<details>``, have a doubt, because a ``<blockquote>`` quotes like ``>``.
    """
    # The import is late because most comments have no command, and loading the parser takes longer than running it.
    from markdown_it import MarkdownIt

    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    # CommonMark has no footnotes. Like a quote, a footnote includes the lines after it.
    text = _FOOTNOTE.sub(r"\1> ", text)
    typed = text.split("\n")
    html, fenced = _OpenElements(), _fenced(typed)
    # The rule text_join makes typed characters and those from an escape or a reference equal, so it is disabled.
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("text_join")
    in_paragraph = False
    # Without a final line break markdown-it-py 4.3 raises IndexError for some texts that end in a quote, because it
    # reads the character after the last; its pull request 416 fixes two other rules with the same fault.
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
        reordered = REORDERED if _REORDERING.search("\n".join(typed[first:end])) is not None else None
        within = FENCED if any(fenced[first:end]) else None
        # The parser removes more kinds of space around a paragraph than the ASCII space, so the typed line is used.
        if lines and lines[0] is not None and lines[0].text:
            lines[0] = PlainLine(_trimmed(typed[first]), lines[0].doubt)
        for line in lines:
            if line is not None:
                yield PlainLine(line.text, line.doubt or within or reordered)


def _fenced(typed: list[str]) -> list[bool]:
    """Return of each line whether it is within a quote or formula that lines of >>> or $$ begin and end."""
    found, opened = [], None
    for line in typed:
        fence = _FENCE.fullmatch(line)
        if fence is not None and opened is None:
            opened = fence[1]
        elif fence is not None and fence[1] == opened:
            opened = None
        found.append(opened is not None)
    return found


def _lines(children: list[Token], html: _OpenElements) -> Iterator[PlainLine | None]:
    """Yield each line of a paragraph, None for a line with markup."""
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
    """The open HTML elements, the outermost first.

    It is stricter than browsers, so that no element counts as closed that a browser shows as open: an end tag that does
    not match the last start tag closes nothing, and anything that is not a simple tag or comment counts as an open
    element. (Python's ``html.parser`` takes quadratic time for unfinished comments and raises for some declarations.)
    """

    def __init__(self) -> None:
        self.open: list[str] = []

    def read(self, html: str) -> None:
        """Parse one whole piece of HTML, in linear time."""
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
                # The slash of <p/> closes nothing, as in browsers.
                self.open.append(_UNCLEAR if name in _RAW_TEXT else name)
        elif self.open and self.open[-1] == name:
            self.open.pop()
        return found.end()


__all__ = ["FENCED", "IN_HTML", "REORDERED", "PlainLine", "find_plain_lines"]
