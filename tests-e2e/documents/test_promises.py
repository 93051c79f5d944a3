"""The table of docs/security.md: each promise has tests, and each named test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from documents.blocks import ROOT

PAGE = ROOT / "docs" / "security.md"
ROW = re.compile(r"^\| (?P<promise>[A-Z][^|]+) \| (?P<tests>\[[^|]+) \|$")
TEST = re.compile(r"\[(?P<label>[\w.]+)\]\(\.\./(?P<path>[\w/.-]+\.py)\) `(?P<name>test_\w+)`")


def table() -> dict[str, list[tuple[str, str, str]]]:
    section = PAGE.read_text("utf-8").split("## Promises and their tests\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    found = {}
    for line in lines:
        row = ROW.match(line)
        assert row is not None, line
        named = row["tests"].split("; ")
        tests = [match for text in named if (match := TEST.fullmatch(text))]
        assert len(tests) == len(named), line
        found[row["promise"]] = [(test["label"], test["path"], test["name"]) for test in tests]
    return found


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_each_promise_names_tests_that_exist():
    promises = table()
    assert len(promises) > 20
    for promise, tests in promises.items():
        assert tests, promise
        for label, path, name in tests:
            assert label == Path(path).name
            assert name in functions(ROOT / path), f"{promise}: {path} has no {name}"


def test_no_test_stands_for_two_promises():
    named = [name for tests in table().values() for _, _, name in tests]
    assert sorted(named) == sorted(set(named))


def test_a_named_test_is_never_skipped_by_a_mark():
    """A promise whose only tests are skipped would not be held."""
    for promise, tests in table().items():
        for _, path, name in tests:
            tree = ast.parse((ROOT / path).read_text("utf-8"))
            (test,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
            marks = " ".join(ast.unparse(mark) for mark in test.decorator_list)
            assert "skip" not in marks, f"{promise}: {name}"
            assert "xfail" not in marks, f"{promise}: {name}"
