"""Each case that people ran into has tests, and they exist."""

from __future__ import annotations

import ast

import pytest

from command_line.people import CASES, ROOT


@pytest.mark.parametrize("case", CASES)
def test_each_case_names_tests_that_exist(case: str) -> None:
    assert CASES[case]
    for node in CASES[case]:
        path, _, name = node.partition("[")[0].partition("::")
        functions = {
            found.name
            for found in ast.walk(ast.parse((ROOT / path).read_text("utf-8")))
            if isinstance(found, ast.FunctionDef)
        }
        assert name in functions, node


def test_no_test_stands_for_two_cases() -> None:
    nodes = [node for found in CASES.values() for node in found]
    assert len(nodes) == len(set(nodes))
