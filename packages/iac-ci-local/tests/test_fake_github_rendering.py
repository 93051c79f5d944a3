"""Comments as the local code host's page shows them: anybody may write them, and none does harm."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iac_ci_local.fake_hosts.rendering import render

ALLOWED = {
    "a", "blockquote", "br", "code", "details", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"href", "rel", "title", "class", "style", "start"}


class Tags(HTMLParser):
    """Collects tags, attributes and the depth of what is collapsed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str | None]] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value)
        if tag in {"details", "summary"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in {"details", "summary"}:
            assert self.open.pop() == tag


def tags(text: str) -> Tags:
    read = Tags()
    read.feed(render(text))
    read.close()
    return read


def assert_harmless(text: str) -> None:
    read = tags(text)
    assert read.tags <= ALLOWED
    assert read.attributes.keys() <= ATTRIBUTES
    assert read.open == []
    for address in read.attributes.get("href", set()):
        assert not (address or "").lower().lstrip().startswith(("javascript:", "vbscript:", "data:", "file:"))
    assert read.attributes.get("style", set()) <= {"text-align:left", "text-align:center", "text-align:right"}


def test_a_table_and_a_collapsed_log_are_shown():
    table = "<!-- marker -->\n| a | b |\n|---|:-:|\n| 1 | ✅ |\n\n"
    text = table + "<details><summary>Log of x &lt;y&gt;</summary>\n\n```text\nboom\n```\n\n</details>\n"
    shown = render(text)
    assert "<td>1</td>" in shown
    assert "<details><summary>Log of x &lt;y&gt;</summary>" in shown
    assert "marker" not in shown
    assert shown.rstrip().endswith("</details>")
    assert_harmless(text)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "x <img src=x onerror=alert(1)> y", "<details ontoggle=alert(1) open>x</details>",
        "<svg onload=alert(1)>", "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "![x](http://evil.example/x.png)",
        '![x](data:text/html,<script>alert(1)</script>)', "<a href='javascript:alert(1)'>x</a>", "<style>*{}</style>",
        "<!-- --><script>alert(1)</script> -->", "<details><summary>never closed", "</details></article></main>",
        "<br\n/x>",
        "<summary></details></summary>", "<iframe src=//evil>", "<base href=//evil>", "<form action=//evil><input>",
        "[x]: javascript:alert(1)\n\n[x]", "<javascript:alert(1)>", '[a](x "onclick=alert(1)")',
        "```\" onclick=x\ny\n```",
        "<details>\n\n- list\n\n<summary>\n\n> quote\n\n</details>", "<details><br><!-- <script> --></details><script>",
    ],
)  # fmt: skip
def test_hostile_text_is_harmless(text):
    assert_harmless(text)


PIECES = st.lists(
    st.sampled_from(
        ["<", ">", "/", "details", "summary", "br", "<details>", "</details>", "<summary>", "</summary>", "<!--", "-->",
         "script", " onload=x", "\n", "\n\n", "`", "```", "[", "](", ")", "javascript:", "|", "---", "- ", "> ", "!",
         "&lt;",
         "x", "<br>", '"', "'", "\\", "    "]
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(PIECES)
def test_any_text_is_harmless(pieces):
    assert_harmless("".join(pieces))
