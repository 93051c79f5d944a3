"""The pull request's page on a narrow screen: no word of a table is broken, and the page does not scroll sideways."""

from __future__ import annotations

from importlib.resources import files

import pytest
from diagram.chromium import chromium

from iac_ci_local.fake_hosts import rendering

COMMENT = (
    """### plan production: succeeded

Commit 4f2d1c0b9a8e7d6c5b4a39281706f5e4d3c2b1a0 · started by mona · run `20261126T013615-9be4f49f697f`

| Order | State | Changes | Duration | Waits for, or why |
|---|---|---|---|---|
| production | succeeded | `+1 ~0 -0` applied | 12.3 s | |
| staging | cancelled | | 1,234.5 s | superseded by commit |

https://example.com/"""
    + "a" * 300
)

PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>{css} body {{ width: {width}px; }}</style>
<body><article><div class="text">{html}</div></article><script>
const broken = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walk.nextNode(); node; node = walk.nextNode()) {{
  if (!node.parentElement.closest("td, th")) continue;
  for (const word of node.data.matchAll(/[^\\s-]+/g)) {{
    const range = document.createRange();
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) broken.push(word[0]);
  }}
}}
const text = document.querySelector(".text");
document.title = `broken:${{broken}} wide:${{text.scrollWidth > text.clientWidth}}`;
</script></body>"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as page:
        yield page


@pytest.mark.parametrize("width", [320, 400, 480, 900])
def test_words_stay_whole(browser, width, tmp_path):
    css = files("iac_ci_local.fake_hosts").joinpath("page_files", "page.css").read_text("utf-8")
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(css=css, width=width, html=rendering.render(COMMENT)), "utf-8")
    browser.open(page)
    assert browser.run("document.title") == "broken: wide:false"
