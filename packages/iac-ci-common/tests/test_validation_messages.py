from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticKnownError, core_schema

from iac_ci_common.models.job import Job, Order
from iac_ci_common.validation_messages import MAX_MESSAGE_CHARS, cycle, meant, message, unknown_field, unknown_order

TYPES = get_args(core_schema.ErrorType)

CONTEXT = {
    "gt": 1, "ge": 1, "lt": 1, "le": 1, "multiple_of": 2, "min_length": 1, "max_length": 2, "actual_length": 3,
    "field_type": "List", "pattern": "^x$", "expected": "'a' or 'b'", "expected_tags": "a", "tag": "b",
    "discriminator": "c", "error": "ours", "encoding": "utf-8", "encoding_error": "e", "class": "C", "class_name": "C",
    "expected_schemes": "https", "expected_version": 4, "max_digits": 1, "decimal_places": 1, "whole_digits": 1,
    "attribute": "a", "method_name": "m", "tz_expected": 0, "tz_actual": 1, "error_type": "E",
}  # fmt: skip


def known(kind: str) -> PydanticKnownError:
    """Make pydantic's error of a kind; it names what is missing in the context, one after another."""
    context: dict[str, object] = {}
    for _ in range(10):
        try:
            return PydanticKnownError(kind, context or None)
        except TypeError as error:
            name = re.findall(r"'(\w+)'", str(error))[-1]
            context[name] = "x" if name in context else CONTEXT.get(name, "x")
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", TYPES)
def test_no_type_of_error_is_put_in_the_librarys_words(kind):
    error = known(kind)
    context = dict(error.context or {})
    details = {"type": kind, "loc": ("a",), "msg": error.message(), "input": "secret-value", "ctx": context}
    said = message(details)
    assert said
    assert said != error.message()
    for theirs in ("Input should", "should have", "Value error", "Assertion failed", "valid ", "after validation"):
        assert theirs not in said, said
    assert "secret-value" not in said
    assert message({**details, "input": None})


REFUSED = {
    "model_type": 7, "missing": {}, "extra_forbidden": {"x": 1}, "string_type": {"username": 7},
    "int_type": {"job_timeout": "1"}, "bool_type": {"commit_status": 1}, "list_type": {"orders": {}},
    "too_short": {"orders": []}, "too_long": {"orders": [{"cmds": ["x"], "timeout": 1}] * 1001},
    "greater_than": {"job_timeout": 0}, "less_than_equal": {"job_timeout": 10**9},
    "string_too_short": {"git_repo": ""}, "string_too_long": {"git_repo": "x" * 2000},
    "string_pattern_mismatch": {"commit_hash": "x"}, "value_error": {"git_token_location": "x"},
    "enum": {"orders": [{"execution_target": "x"}]}, "dict_type": {"orders": [{"env_vars": 1}]},
    "string_unicode": {"git_repo": "\ud800"},
}  # fmt: skip


@pytest.mark.parametrize(("kind", "content"), REFUSED.items(), ids=REFUSED)
def test_what_jobs_can_get_wrong_has_words_of_its_own(kind, content):
    with pytest.raises(ValidationError) as caught:
        Job.model_validate(content)
    entries = [entry for entry in caught.value.errors() if entry["type"] == kind]
    assert entries
    assert all(message(entry) not in {entry["msg"], "has a value that is not allowed"} for entry in entries)


def patterns(schema) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        return own.union(*(patterns(value) for value in schema.values()))
    return set().union(*(patterns(value) for value in schema)) if isinstance(schema, list) else set()


@pytest.mark.parametrize("pattern", sorted(patterns(Job.model_json_schema())))
def test_every_pattern_of_the_models_is_explained(pattern):
    said = message({"type": "string_pattern_mismatch", "loc": (), "msg": "", "input": "", "ctx": {"pattern": pattern}})
    assert said.startswith("has a form that is not allowed; it must ")
    assert pattern not in said


def test_a_pattern_without_words_is_refused_all_the_same():
    details = {"type": "string_pattern_mismatch", "loc": (), "msg": "", "input": "", "ctx": {"pattern": "^new$"}}
    assert message(details) == "has a form that is not allowed"


@pytest.mark.parametrize(
    ("model", "word", "field"),
    [
        (Order, "depends_on", "dependencies"),
        (Order, "name", "order_name"),
        (Order, "folder", "git_folder"),
        (Order, "timout", "timeout"),
        (Order, "must-succeed", "must_succeed"),
        (Order, "Timeout", "timeout"),
        (Order, "depend_on", "dependencies"),
        (Order, "commands", "cmds"),
        (Order, "needs", "dependencies"),
        (Job, "timeout", "job_timeout"),
        (Order, "comment", None),
        (Order, "colour", None),
        (Order, "paths", None),
    ],
)
def test_what_a_word_stands_for(model, word, field):
    assert meant(word, model.model_fields) == field
    said = unknown_field(word, model.model_fields)
    assert said == f"unknown field {word!r}" + (f"; did you mean {field!r}?" if field else "")


@given(st.text())
def test_a_field_of_any_name_is_shown_harmlessly(name):
    said = unknown_field(name, Order.model_fields)
    assert said.isprintable()
    assert len(said) < MAX_MESSAGE_CHARS


def test_orders_and_cycles():
    assert unknown_order("nope") == "unknown order 'nope'"
    assert cycle(["a", "b", "a"]) == "dependency cycle: a → b → a"
    assert "… 1 more …" in cycle([str(number) for number in range(21)])


def test_a_letter_that_looks_like_another_is_seen():
    assert unknown_field("tim\u0435out", Order.model_fields) == (
        "unknown field 'tim\\u0435out'; did you mean 'timeout'?"
    )


@pytest.mark.parametrize("field", ["username", "flow_label"])
def test_what_stands_in_the_place_of_a_name_is_not_repeated(field):
    with pytest.raises(ValidationError) as caught:
        Job.model_validate({"username": "a", "orders": [{"cmds": ["x"], "timeout": 1}], field: "https://a:hunter2@b"})
    (entry,) = caught.value.errors()
    assert message(entry) == "must be 1 to 128 letters, digits, _ or -, beginning with a letter or digit"
