"""Each case that people ran into has tests, and they exist."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

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


def test_a_thousand_orders_are_shown_on_24_lines() -> None:
    command = [sys.executable, str(Path(__file__).with_name("thousand_orders.py"))]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 23
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["plan-folder-40", "failed"], ["plan-folder-512", "failed"], ["plan-folder-640", "timed"],
    ]  # fmt: skip
    assert lines[-1].startswith("1000 orders · running · 12 min 34 s · 2 failed, 1 timed out, 12 running, 288 queued")
