"""Counts the words that this project does without: ``python tests-e2e/words/count.py``.

``words.toml`` lists them with what is written instead, ``exceptions.toml`` the places that keep one, each with its
reason. ``--ref COMMIT`` counts in another commit, ``--list`` prints every place.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
SOURCES: Final = re.compile(
    r"packages/[^/]+/(src/.*\.(py|json|css|js|html)|[^/]+\.(md|toml))|docs/.*\.(md|py)|examples/.*\.(md|json|yml)"
    r"|pipelines/[^.]*(\.(py|sh))?|terraform/.*\.(tf|hcl|json|md)|bench/.*\.py|\.ci/.*|\.github/.*|[^/]+\.md|Dockerfile"
)
"""What people who use or change the engine read; tests name their cases as they like."""


@dataclass(frozen=True, slots=True)
class Place:
    """One use of a word: where, which, and the line."""

    path: str
    line: int
    kind: str
    pattern: str
    text: str


def load(name: str) -> list[dict[str, Any]]:
    """Return the entries of one of the lists beside this file."""
    document = tomllib.loads((HERE / name).read_text("utf-8"))
    return list(document.get(name.removesuffix("s.toml"), []))


def places(path: str, text: str, words: list[dict[str, Any]]) -> Iterator[Place]:
    """Find the words in one file."""
    by_kind: dict[str, list[re.Pattern[str]]] = {"file": [], "name": [], "docstring": [], "text": []}
    for word in words:
        by_kind[word["kind"]].append(re.compile(word["pattern"]))
    for pattern in by_kind["file"]:
        for part in Path(path).parts:
            if pattern.fullmatch(part.partition(".")[0]):
                yield Place(path, 0, "file", pattern.pattern, part)
    if path.endswith(".py"):
        tree = ast.parse(text)
        for line, name in _names(tree):
            for pattern in by_kind["name"]:
                if pattern.fullmatch(name.lstrip("_")):
                    yield Place(path, line, "name", pattern.pattern, name)
        for line, docstring in _docstrings(tree):
            first = docstring.strip().partition(" ")[0]
            for pattern in by_kind["docstring"]:
                if pattern.fullmatch(first):
                    yield Place(path, line, "docstring", pattern.pattern, docstring.strip().splitlines()[0])
        lines = dict(_prose(text))
    else:
        lines = dict(enumerate(text.splitlines(), 1))
    for number, line in lines.items():
        for pattern in by_kind["text"]:
            if pattern.search(line):
                yield Place(path, number, "text", pattern.pattern, line.strip())


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Return comments and string literals by line: names in code are counted apart."""
    found: dict[int, str] = {}
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            for offset, line in enumerate(token.string.splitlines()):
                number = token.start[0] + offset
                found[number] = f"{found.get(number, '')} {line}"
    yield from sorted(found.items())


def count(ref: str | None = None) -> tuple[list[Place], list[Place]]:
    """Return the places that break the list, and those that an exception allows."""
    words, exceptions = load("words.toml"), load("exceptions.toml")
    broken: list[Place] = []
    allowed: list[Place] = []
    for path, text in _files(ref):
        for place in places(path, text, words):
            ok = any(
                re.fullmatch(entry["path"], place.path) and re.search(entry["text"], place.text) for entry in exceptions
            )
            (allowed if ok else broken).append(place)
    return broken, allowed


def _files(ref: str | None) -> Iterator[tuple[str, str]]:
    listing = ["ls-tree", "-r", "--name-only", ref] if ref else ["ls-files", "-co", "--exclude-standard"]
    for path in _git(*listing).splitlines():
        if not SOURCES.fullmatch(path):
            continue
        if ref:
            yield path, _git("show", f"{ref}:{path}")
        elif (ROOT / path).is_file():
            yield path, (ROOT / path).read_text("utf-8")


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Print the counts; 1 if a word is left that no exception allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ref", help="count in this commit")
    parser.add_argument("--list", action="store_true", help="print every place")
    parser.add_argument("paths", nargs="*", help="list only places whose path begins with one of these")
    arguments = parser.parse_args()
    broken, allowed = count(arguments.ref)
    if arguments.paths:
        broken = [place for place in broken if place.path.startswith(tuple(arguments.paths))]
    if arguments.list or arguments.paths:
        for place in broken:
            print(f"{place.path}:{place.line}: {place.kind}: {place.text[:150]}")
    for (kind, pattern), number in sorted(Counter((place.kind, place.pattern) for place in broken).items()):
        print(f"{number:5} {kind:9} {pattern[:90]}")
    print(f"{len(broken)} words to replace, {len(allowed)} allowed by exceptions")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
