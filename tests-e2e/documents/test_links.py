"""What the documents link to, and the files that they name, exist."""

from __future__ import annotations

import re

import pytest

from documents.blocks import DOCUMENTS, ROOT

PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))


def anchors(document):
    """Return the anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = []
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        found.append(kept.replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_documents_link_to_exists(document):
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path) if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}: no such heading"
    for target in re.findall(r"`((?:packages|terraform|examples|docs|tests-e2e|pipelines)/[^`\s<*]+)`", text):
        assert (ROOT / target).exists(), target


def test_the_flow_names_only_files_that_exist():
    text = (ROOT / "docs" / "flow.md").read_text("utf-8")
    section = ""
    for line in text.splitlines():
        heading = re.match(r"## \d\. .*`packages/([a-z-]+)`", line)
        if heading:
            section = heading.group(1)
        for name in re.findall(r"(?<![/\w])`(\w+\.py)`", line):
            folder = ROOT / "packages" / section
            assert list(folder.rglob(name)), f"{section}: {name}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_readme_of_a_package_names_each_of_its_files(package):
    module = package / "src" / package.name.replace("-", "_")
    parts = {path.name + ("/" if path.is_dir() else "") for path in module.iterdir()}
    parts -= {"__init__.py", "__pycache__/", "py.typed"}
    table = re.findall(r"^\| (`[^|]*) \|", (package / "README.md").read_text("utf-8"), re.MULTILINE)
    named = {name for cell in table for name in re.findall(r"`([\w.]+(?:\.py|/))`", cell)}
    assert named == parts
