"""Comments as a browser may show them: Markdown with tables, and of HTML only what collapses a section.

A comment is anybody's text. Of its HTML only ``<details>``, ``<summary>`` and ``<br>`` without attributes get through;
comments are left out, everything else is shown as it was written. Nothing is loaded from elsewhere: a picture becomes a
link.
"""

# ruff: noqa: ARG002 - the renderer calls all rules alike

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING, Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

_MARKUP: Final = re.compile(
    r"(?P<comment><!--.*?-->)|<(?P<end>/?)(?P<name>details|summary|br)(?: open)?\s*/?>", re.DOTALL
)


class _Renderer(RendererHTML):
    def render(self, tokens: Sequence[Token], options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Render, and close what the text left open, so that it cannot swallow what follows it on the page."""
        opened: list[str] = env.setdefault("opened", [])
        text = super().render(tokens, options, env)
        closing = "".join(f"</{name}>" for name in reversed(opened))
        opened.clear()
        return text + closing

    def html_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Render HTML that stands in lines of its own."""
        return _allowed(tokens[idx].content, env["opened"])

    def html_inline(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        """Render HTML within a line."""
        return _allowed(tokens[idx].content, env["opened"])

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Render a picture as its address."""
        address = escape(str(tokens[idx].attrGet("src") or ""))
        return f'<a href="{address}" rel="noopener noreferrer nofollow">{escape(tokens[idx].content) or address}</a>'

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Render a link that tells its target nothing of this page."""
        tokens[idx].attrSet("rel", "noopener noreferrer nofollow")
        return self.renderToken(tokens, idx, options, env)


_MARKDOWN: Final = MarkdownIt("commonmark", {"html": True, "linkify": False}, renderer_cls=_Renderer).enable(
    ["table", "strikethrough"]
)


def render(text: str) -> str:
    """Return a comment's HTML."""
    return str(_MARKDOWN.render(text, {"opened": []}))


def _allowed(text: str, opened: list[str]) -> str:
    written = []
    position = 0
    for match in _MARKUP.finditer(text):
        written.append(escape(unescape(text[position : match.start()])))
        position = match.end()
        written.append(_tag(match["name"], bool(match["end"]), opened) if match["comment"] is None else "")
    written.append(escape(unescape(text[position:])))
    return "".join(written)


def _tag(name: str, ends: bool, opened: list[str]) -> str:
    if name == "br":
        return "<br>"
    if not ends:
        opened.append(name)
        return f"<{name}>"
    # Only what is open, and innermost, is closed.
    if not opened or opened[-1] != name:
        return ""
    opened.pop()
    return f"</{name}>"


__all__ = ["render"]
