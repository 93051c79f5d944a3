from __future__ import annotations

import pytest

from iac_ci_common.initialisation import build_early


@pytest.mark.parametrize(("variables", "calls"), [({}, 0), ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, 1)])
def test_parts_are_built_early_in_a_function_only(monkeypatch, variables, calls):
    monkeypatch.delenv("AWS_LAMBDA_RUNTIME_API", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    built = []
    build_early(lambda: built.append(1))
    assert len(built) == calls


def test_what_fails_is_left_to_the_handler(monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")

    def fails():
        raise RuntimeError("a setting is missing")

    build_early(fails)
