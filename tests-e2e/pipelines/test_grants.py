"""What pipelines/deploy keeps of the version before, and what it warns about."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
BEFORE: dict[str, Any] = {"stack_level": 2}
"""Outputs of a stack of the version before, which wrote no open_lists."""

KEPT = {"secret_allow_list": {"*": ["*"]}}
ROLE = "arn:aws:iam::222222222222:role/deploy"


@pytest.fixture
def grants(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(PIPELINES))
    monkeypatch.delenv("TF_VAR_secret_allow_list", raising=False)
    monkeypatch.delenv("TF_VAR_role_allow_list", raising=False)
    spec = importlib.util.spec_from_file_location("grants_of_pipelines", PIPELINES / "grants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("outputs", "variables", "expected"),
    [
        (None, {}, {}),
        (BEFORE, {}, KEPT),
        (BEFORE, {"secret_allow_list": {}}, {"secret_allow_list": {}}),
        ({"open_lists": ["secret_allow_list"]}, {}, KEPT),
        ({"open_lists": []}, {}, {}),
        ({"open_lists": ["target_role_arns"]}, {}, {}),
    ],
    ids=["new", "version before", "set", "kept before", "granted", "roles only"],
)
def test_a_stack_keeps_what_it_had_and_a_new_one_grants_nothing(
    grants: Any, outputs: Any, variables: Any, expected: Any
) -> None:
    assert grants.with_kept_default(variables, outputs) == expected


def test_a_list_in_the_environment_is_one_that_is_set(grants: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_VAR_secret_allow_list", "{}")
    assert grants.with_kept_default({}, BEFORE) == {}


@pytest.mark.parametrize(
    ("variables", "warned"),
    [
        ({}, []),
        (KEPT, ["secret_allow_list"]),
        ({"target_role_arns": [ROLE]}, ["role_allow_list"]),
        ({"target_role_arns": [ROLE], "role_allow_list": {}}, []),
        ({"secret_allow_list": {"*": ["shared/*"]}}, []),
    ],
)
def test_lists_without_sources_are_warned_about(grants: Any, variables: Any, warned: list[str]) -> None:
    found = grants.warnings(variables, None)
    assert len(found) == len(warned)
    assert all(name in line for name, line in zip(warned, found, strict=True))


@pytest.mark.parametrize(
    ("outputs", "patterns", "named"),
    [
        (BEFORE, ["network/*", "a*", "network/**", "token", "*"], "a*, network/*"),
        (BEFORE, ["network/**", "token"], None),
        ({"open_lists": []}, ["network/*"], None),
        (None, ["network/*"], None),
    ],
    ids=["version before", "deep", "this version", "new"],
)
def test_patterns_that_matched_slashes_before_are_warned_about(
    grants: Any, outputs: Any, patterns: list[str], named: str | None
) -> None:
    found = grants.warnings({"secret_allow_list": {"api": patterns}}, outputs)
    assert [line.rpartition(": ")[2] for line in found] == ([f"{named}."] if named else [])


@pytest.mark.parametrize("value", [None, ["network/*"], {"api": "network/*"}, {"api": [1, None]}, "text"])
def test_a_list_of_another_type_is_left_to_terraform(grants: Any, value: Any) -> None:
    assert grants.warnings({"secret_allow_list": value}, BEFORE) == []
