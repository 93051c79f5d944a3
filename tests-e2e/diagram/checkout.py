"""A copy of what the diagram is drawn from, to change a number in, and the boxes of a drawn page."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from docs.architecture_diagram.__main__ import documents

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture-diagram.html"
INPUTS = ("terraform", "bench/prices.json", "docs/performance.md")


def copy(folder: Path) -> Path:
    """Copy the inputs of the diagram into a folder and return it."""
    for name in INPUTS:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(".terraform*"))
        else:
            shutil.copy(source, target)
    (folder / "docs").mkdir(exist_ok=True)
    return folder


def replace(root: Path, name: str, before: str, after: str) -> None:
    """Replace the first occurrence of a text in a file; it must be there."""
    path = root / name
    text = path.read_text("utf-8")
    assert before in text, f"{name} does not hold {before!r}"
    path.write_text(text.replace(before, after, 1), "utf-8")


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = field(repr=False)
    children: list[Element | str] = field(default_factory=list, repr=False)

    @property
    def text(self) -> str:
        """Text of the element, with white space folded."""
        return " ".join(self._text().split())

    def _text(self) -> str:
        return "".join(one if isinstance(one, str) else one._text() for one in self.children)

    def all(self, tag: str = "") -> list[Element]:
        """Return the elements below it, of one tag or of all."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] if tag in ("", child.tag) else []
                found += child.all(tag)
        return found

    def classed(self, name: str) -> list[Element]:
        """Return the elements below it that have a class."""
        return [one for one in self.all() if name in one.attributes.get("class", "").split()]


class _Reader(HTMLParser):
    """Builds a tree; raises if a tag is closed that is not open."""

    VOID = frozenset({"meta", "wbr", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {}, None)
        self._current = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self._current)
        self._current.children.append(element)
        if tag not in self.VOID:
            self._current = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._current.children.append(Element(tag, {name: value or "" for name, value in attrs}, self._current))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._current.tag, f"</{tag}> ends <{self._current.tag}>"
        assert self._current.parent is not None
        self._current = self._current.parent

    def handle_data(self, data: str) -> None:
        self._current.children.append(data)

    def finish(self) -> Element:
        """Return the tree."""
        self.close()
        assert self._current is self.root, f"<{self._current.tag}> is not closed"
        return self.root


def parse(html: str) -> Element:
    """Return a page as a tree."""
    reader = _Reader()
    reader.feed(html)
    return reader.finish()


def boxes(page: Element) -> dict[str, Element]:
    """Return the boxes of a page by their id."""
    return {one.attributes["id"]: one for one in page.all("details")}


def rows(box: Element) -> dict[str, str]:
    """Return what an open box lists."""
    names, values = box.all("dt"), box.all("dd")
    return {name.text: value.text for name, value in zip(names, values, strict=True)}


def drawn(root: Path) -> dict[str, Any]:
    """Draw the diagram of a checkout: its page as a tree, and both texts."""
    texts = documents(root)
    html = texts["docs/architecture-diagram.html"]
    return {"page": parse(html), "html": html, "markdown": texts["docs/architecture-diagram.md"]}
