"""Readers pass over what a newer version stored, and writers keep it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from iac_ci_common.errors import StoredUnreadable
from iac_ci_common.models.base import StoredShape
from iac_ci_common.models.commands import CheckedCommand, Retry
from iac_ci_common.models.job import Job, Order
from upgrade.shapes import enum_fields, sample, stored_shapes

SHAPES = [kind for kind in stored_shapes() if issubclass(kind, StoredShape)]

FIELDS = frozenset(name for kind in [*SHAPES, Job, Order, CheckedCommand, Retry] for name in kind.model_fields)

WORDS = st.sampled_from(["held", "run", "sort", "epoch_ms", "model_dump", "from_stored", "schema", "lock_key", "x"])
NAMES = (WORDS | st.text(min_size=1, max_size=12)).filter(lambda name: name not in FIELDS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


def objects(content: Any, names: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Every object at any depth that is a shape; maps from names that people chose are not."""
    if isinstance(content, list):
        for value in content:
            yield from objects(value, names)
    elif isinstance(content, dict):
        if set(content) & names:
            yield content
        for value in list(content.values()):
            yield from objects(value, names)


def test_there_are_shapes_and_each_has_a_sample():
    assert len(SHAPES) > 15
    for kind in SHAPES:
        assert kind.from_stored(json.dumps(sample(kind)))


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=15)
@given(unknown=st.dictionaries(NAMES, JSON, min_size=1, max_size=3))
def test_what_is_not_known_is_read_and_written_again_at_every_depth(kind, unknown):
    stored = sample(kind)
    for found in list(objects(stored, FIELDS)):
        found.update(unknown)
    for read in (kind.from_stored(json.dumps(stored)), kind.from_stored(stored)):
        written = [json.loads(read.model_dump_json()), read.model_dump(mode="json")]
        written.append(json.loads(read.model_copy(update={"schema_version": 2}).model_dump_json()))
        for again in written:
            places = [place for place in objects(again, FIELDS) if set(place) & set(unknown)]
            assert len(places) == len(list(objects(stored, FIELDS)))
            assert all({name: place[name] for name in unknown} == unknown for place in places)


def refusal_of(kind: type[StoredShape], stored: dict[str, Any]) -> tuple[StoredUnreadable | None, StoredShape | None]:
    try:
        return None, kind.from_stored(json.dumps(stored))
    except StoredUnreadable as error:
        return error, None


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)
def test_an_unknown_value_is_never_read_as_a_known_one(kind):
    for name, known in enum_fields(kind).items():
        stored = sample(kind)
        value: Any = "a-future-value"
        stored[name] = {value: 1} if isinstance(stored[name], dict) else value
        problem, read = refusal_of(kind, stored)
        if problem is None:
            assert getattr(read, name) == value
            assert value not in known
        else:
            assert problem.retry_is_safe
            assert name in problem.message
            assert value not in problem.message


def test_what_cannot_be_read_repeats_no_capability():
    from iac_ci_common.models.work import Work

    stored = sample(Work) | {"run_id": "https://signed.example/?X-Amz-Signature=abc", "timeout": "soon"}
    with pytest.raises(StoredUnreadable) as refused:
        Work.from_stored(json.dumps(stored))
    assert "Signature" not in str(refused.value)
    assert "timeout" in str(refused.value)


@pytest.mark.parametrize("kind", [Job, Order], ids=lambda kind: kind.__name__)
def test_what_people_send_is_still_refused(kind: type[BaseModel]):
    order = {"cmds": ["true"], "timeout": 1}
    least = order if kind is Order else {"username": "a", "orders": [order]}
    assert kind.model_validate(least)
    with pytest.raises(ValidationError):
        kind.model_validate({**least, "comand": 1})
