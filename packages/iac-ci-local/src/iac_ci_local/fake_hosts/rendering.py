"""Renders comments for the browser: Markdown with tables, and HTML for collapsed sections only.

Comments are not trusted. Of their HTML only ``<details>``, ``<summary>`` and ``<br>`` without attributes stay; HTML
comments are removed and all other HTML is shown as text. Nothing is loaded from other sites: an image becomes a link.
"""

# ruff: noqa: ARG002 - all rules of the renderer have the same parameters

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

_DIFF_LINES: Final = {"+": "added", "-": "removed", "!": "changed"}


class _Renderer(RendererHTML):
    def render(self, tokens: Sequence[Token], options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Return the HTML with every open element closed, so that the rest of the page stays outside of it."""
        opened: list[str] = env.setdefault("opened", [])
        text = super().render(tokens, options, env)
        closing = "".join(f"</{name}>" for name in reversed(opened))
        opened.clear()
        return text + closing

    def html_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Return HTML of a block of lines."""
        return _allowed(tokens[idx].content, env["opened"])

    def html_inline(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        """Return HTML within a line."""
        return _allowed(tokens[idx].content, env["opened"])

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Return a block of code; the lines of a diff are marked by their first character, as GitHub does."""
        if tokens[idx].info.strip() != "diff":
            return str(super().fence(tokens, idx, options, env))
        lines = "\n".join(_diff_line(line) for line in tokens[idx].content.split("\n"))
        return f'<pre><code class="language-diff">{lines}</code></pre>\n'

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Return an image as a link to it."""
        address = escape(str(tokens[idx].attrGet("src") or ""))
        return f'<a href="{address}" rel="noopener noreferrer nofollow">{escape(tokens[idx].content) or address}</a>'

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Return a link that does not send this page's address to its target."""
        tokens[idx].attrSet("rel", "noopener noreferrer nofollow")
        return self.renderToken(tokens, idx, options, env)


def _markdown(*, has_html: bool) -> MarkdownIt:
    options = {"html": has_html, "linkify": False}
    return MarkdownIt("commonmark", options, renderer_cls=_Renderer).enable(["table", "strikethrough"])


_MARKDOWN: Final = _markdown(has_html=True)
_WITHOUT_HTML: Final = _markdown(has_html=False)


def render(text: str, *, has_html: bool = True) -> str:
    """Return a comment's HTML; without ``has_html`` all HTML in it is shown as text."""
    return str((_MARKDOWN if has_html else _WITHOUT_HTML).render(text, {"opened": []}))


def _diff_line(line: str) -> str:
    kind = _DIFF_LINES.get(line[:1])
    return f'<span class="{kind}">{escape(line)}</span>' if kind else escape(line)


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
    # Close only the innermost open element.
    if not opened or opened[-1] != name:
        return ""
    opened.pop()
    return f"</{name}>"


__all__ = ["render"]
