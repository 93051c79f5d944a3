"""The interactive diagram in a browser: seen at two widths and in two schemes, and used by keyboard alone.

``IAC_CI_PICTURES`` names a folder that keeps the screenshots.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from diagram.checkout import PAGE, boxes, copy, drawn, parse, replace
from diagram.chromium import Page, chromium

VIEWS = [pytest.param(width, dark, id=f"{width}-{'dark' if dark else 'light'}") for width in (1400, 400)
         for dark in (False, True)]  # fmt: skip
BOXES = list(boxes(parse(PAGE.read_text("utf-8"))))

# What the page is asked: each finds nothing where all is well.
WIDER = """[...document.querySelectorAll("body *")].filter((one) => one.checkVisibility()
  && !one.closest(".spoken, .sprite, .route, .wires")
  && (one.getBoundingClientRect().right > innerWidth + 0.5 || one.getBoundingClientRect().left < -0.5)
).map((one) => one.outerHTML.slice(0, 90))"""

BROKEN_WORDS = r"""(() => {
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode;
    if (!node.parentElement.checkVisibility() || node.parentElement.closest(".spoken, script, style")) continue;
    for (const word of node.data.matchAll(/[\p{L}\p{N}]+/gu)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((one) => Math.round(one.top))).size > 1) found.push(word[0]);
    }
  }
  return found;
})()"""

LOW_CONTRAST = r"""(() => {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const linear = (part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (colour.startsWith("rgb(")) return parts(colour);
      if (colour !== "rgba(0, 0, 0, 0)") return null;
    }
    return null;
  };
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const icon = one.matches("svg.icon");
    if ((!text && !icon) || !one.checkVisibility() || one.closest(".spoken, .sprite, script, style")) continue;
    const style = getComputedStyle(one);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const behind = ground(one);
    const [least, most] = behind
      ? [luminance(parts(style.color)), luminance(behind)].sort((a, b) => a - b) : [1, 0];
    const ratio = (most + 0.05) / (least + 0.05);
    const enough = ratio >= (icon || large ? 3 : 4.5) && style.opacity === "1";
    if (!enough) found.push([one.outerHTML.slice(0, 80), ratio]);
  }
  return found;
})()"""

OVERLAPPING = """(() => {
  const looked = ".box > summary, .message .label, .between span, .group > h3, .part > h2";
  const marks = [...document.querySelectorAll(looked)]
    .filter((one) => one.checkVisibility()).map((one) => [one, one.getBoundingClientRect()]);
  const found = [];
  for (const [first, a] of marks) for (const [second, b] of marks) {
    if (first === second || first.contains(second) || second.contains(first)) continue;
    if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
      found.push([first.textContent.trim().slice(0, 40), second.textContent.trim().slice(0, 40)]);
  }
  return found;
})()"""

CLIPPED = """[...document.querySelectorAll("summary, summary *, .label, .label *, .facts *, .panel *, dd, dt")]
  .filter((one) => one.checkVisibility() && !one.closest(".spoken, .route, svg")
    && getComputedStyle(one).display !== "inline" && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.outerHTML.slice(0, 90))"""

FOCUSED = """(() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  return {box: one.matches("summary") ? one.parentElement.id : null, outline: parseFloat(style.outlineWidth),
    style: style.outlineStyle, tag: one.tagName};
})()"""

OPEN = """(() => {
  const open = [...document.querySelectorAll(".box")].filter((one) => one.open);
  const panel = open[0]?.querySelector(".panel");
  const {top, left, right, height} = panel?.getBoundingClientRect() ?? {};
  return {ids: open.map((one) => one.id), text: panel?.innerText ?? "", top, left, right, height};
})()"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as page:
        yield page


def view(browser: Page, width: int, dark: bool = False, path: Path = PAGE, **how: bool) -> None:
    """Open the page with nothing opened before, in no kept theme."""
    scripts = how.pop("scripts", True)
    browser.show(width=width, dark=dark, **how)
    browser.open(path, scripts=scripts)
    if scripts:
        browser.run("localStorage.clear()")
        browser.open(path)


def problems(browser: Page) -> dict:
    """Return what is wrong with what the page shows."""
    asked = {"wider": WIDER, "broken words": BROKEN_WORDS, "low contrast": LOW_CONTRAST, "clipped": CLIPPED}
    found = {name: browser.run(script) for name, script in asked.items()}
    width = browser.run("[document.documentElement.scrollWidth, innerWidth]")
    found["scrolls sideways"] = width if width[0] > width[1] else []
    return {name: value for name, value in found.items() if value}


def focused(browser: Page) -> dict:
    return browser.run(FOCUSED)


def opened(browser: Page) -> dict:
    return browser.run(OPEN)


def tab_to(browser: Page, box: str) -> None:
    """Press Tab until the box has the focus."""
    for _ in range(300):
        browser.press("Tab")
        if focused(browser)["box"] == box:
            return
    raise AssertionError(f"Tab never comes to {box}")


@pytest.mark.parametrize(("width", "dark"), VIEWS)
def test_the_page_is_right_to_look_at(browser, tmp_path, width, dark):
    view(browser, width, dark)
    # As high as the page, so that what is sticky stands where it belongs.
    browser.call("Emulation.setDeviceMetricsOverride", width=width, deviceScaleFactor=1, mobile=False,
                 height=browser.run("document.documentElement.scrollHeight"))  # fmt: skip
    picture = browser.picture()
    folder = Path(os.environ.get("IAC_CI_PICTURES", tmp_path))
    (folder / f"architecture-diagram-{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)
    assert picture.startswith(b"\x89PNG")
    shown = browser.run("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert list(struct.unpack(">II", picture[16:24])) == shown
    assert shown[0] == width
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(12, 15, 22)" if dark else "rgb(245, 246, 250)")
    assert problems(browser) == {}
    assert browser.run(OVERLAPPING) == []
    assert browser.run("[...document.querySelectorAll('.wires g')].length > 10") is True
    assert browser.run("getComputedStyle(document.querySelector('.wires')).display") == (
        "block" if width == 1400 else "none"
    )


@pytest.mark.parametrize("width", [1400, 400])
def test_nothing_is_asked_of_a_network_and_nothing_breaks_the_policy(browser, width):
    view(browser, width)
    for box in BOXES:
        browser.run(f"document.getElementById({json.dumps(box)}).open = true")
    requested = {
        event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"
    }
    assert requested == {PAGE.as_uri()}
    said = [event for event in browser.events if event["method"] in {"Log.entryAdded", "Runtime.exceptionThrown"}]
    assert said == []


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        pytest.param(1400, False, id="1400"),
        pytest.param(400, True, id="400", marks=pytest.mark.full),
    ],
)
def test_every_box_opens_and_closes_by_keyboard(browser, width, dark):
    view(browser, width, dark)
    seen = []
    for number, box in enumerate(BOXES):
        tab_to(browser, box)
        at = focused(browser)
        assert at["style"] != "none", box
        assert at["outline"] >= 2, box
        browser.press("Enter" if number % 2 else "Space")
        now = opened(browser)
        assert now["ids"] == [box]
        assert now["height"] > 100, box
        assert 0 <= now["left"] < now["right"] <= width, box
        assert "Source" in now["text"], box
        assert "COST" in now["text"].upper(), box
        assert problems(browser) == {}, box
        browser.press("Escape")
        assert opened(browser)["ids"] == []
        assert focused(browser)["box"] == box
        seen.append(box)
    assert seen == BOXES


def test_opening_a_box_closes_the_one_before(browser):
    view(browser, 1400)
    tab_to(browser, BOXES[0])
    browser.press("Enter")
    browser.press("ArrowRight")
    assert opened(browser)["ids"] == [BOXES[0]]
    browser.press("Enter")
    assert opened(browser)["ids"] == [BOXES[1]]


def test_what_a_box_holds_comes_next_in_the_order_of_the_tab_key(browser):
    view(browser, 1400)
    tab_to(browser, "resources-worker")
    browser.press("Enter")
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "close"
    browser.press("Enter")
    assert opened(browser)["ids"] == []
    assert focused(browser)["box"] == "resources-worker"
    browser.press("Shift+Tab")
    assert focused(browser)["box"] == "resources-watchdog-check"


@pytest.mark.parametrize(
    ("start", "key", "end"),
    [
        ("overview-caller", "ArrowRight", "overview-account"),
        ("overview-account", "ArrowLeft", "overview-caller"),
        ("init-caller", "ArrowRight", "init-api"),
        ("orchestration-s3", "ArrowLeft", "orchestration-s3"),
        ("resources-orchestrator", "ArrowDown", "resources-watchdog"),
        ("resources-watchdog", "ArrowUp", "resources-orchestrator"),
        ("resources-api", "ArrowDown", "resources-init-job"),
        ("resources-worker", "ArrowLeft", "resources-orchestrator"),
        ("pipeline-bootstrap", "ArrowRight", "pipeline-ecr"),
        ("pipeline-bootstrap", "ArrowDown", "pipeline-smoke"),
    ],
)
def test_arrow_keys_go_to_the_neighbour(browser, start, key, end):
    view(browser, 1400)
    browser.run(f"document.querySelector('#{start} > summary').focus()")
    browser.press(key)
    assert focused(browser)["box"] == end


def test_an_address_opens_its_box(browser):
    view(browser, 1400)
    # The page's own listener was added before and is called first.
    browser.run("""new Promise((done) => {
      addEventListener("hashchange", () => done(0), {once: true});
      location.hash = "#resources-kms";
    })""")
    assert opened(browser)["ids"] == ["resources-kms"]


@pytest.mark.parametrize("width", [1400, 400])
def test_without_scripts_the_page_is_read_and_opened_all_the_same(browser, width):
    view(browser, width, scripts=False)
    assert browser.run("[...document.querySelectorAll('button')].filter((one) => one.checkVisibility()).length") == 0
    tab_to(browser, "resources-orchestrator")
    browser.press("Enter")
    now = opened(browser)
    assert now["ids"] == ["resources-orchestrator"]
    assert "600 s (10 min)" in now["text"]
    assert problems(browser) == {}


def test_the_button_changes_the_theme_and_it_is_kept(browser):
    view(browser, 1400, dark=False)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.run("document.querySelector('.theme').getAttribute('aria-label')") == "Use the dark theme"
    browser.run("document.querySelector('.theme').focus()")
    browser.press("Enter")
    assert browser.run(ground) == "rgb(12, 15, 22)"
    assert browser.run("document.querySelector('.theme').getAttribute('aria-label')") == "Use the light theme"
    browser.open(PAGE)
    assert browser.run(ground) == "rgb(12, 15, 22)"
    browser.run("document.querySelector('.theme').focus()")
    browser.press("Space")
    assert browser.run(ground) == "rgb(245, 246, 250)"
    browser.run("localStorage.clear()")


@pytest.mark.parametrize("still", [True, False])
def test_who_asks_for_less_motion_gets_none(browser, still):
    view(browser, 1400, still=still)
    browser.run("document.querySelector('#resources-worker').open = true")
    moving = browser.run(
        "getComputedStyle(document.querySelector('#resources-worker .panel')).animationName !== 'none'"
    )
    assert moving is not still
    assert browser.run("getComputedStyle(document.documentElement).scrollBehavior") == ("auto" if still else "smooth")
    lasting = browser.run(
        "[...document.querySelectorAll('*')].some((one) => parseFloat(getComputedStyle(one).transitionDuration) > 0)"
    )
    assert lasting is not still


def test_lines_of_an_open_box_stand_out(browser):
    view(browser, 1400)
    browser.run("document.querySelector('#resources-api').open = true")
    browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
    shown = "[...document.querySelectorAll('.wires g.shown')].map((one) => one.dataset.ends)"
    assert browser.run(shown) == ["api init-job", "api page"]


def test_a_changed_time_out_shows_in_the_page(browser, tmp_path):
    root = copy(tmp_path)
    name = "terraform/deploy/stack/functions.json"
    replace(root, name, '"timeout_seconds": 300', '"timeout_seconds": 77')
    path = root / "docs" / "architecture-diagram.html"
    path.write_text(drawn(root)["html"], "utf-8")
    view(browser, 400, path=path)
    tab_to(browser, "resources-init-job")
    browser.press("Enter")
    assert "\n77 s\n" in opened(browser)["text"]
