"""The document of a saved plan is counted as the reader of logs counts it, whatever its length, and nothing else is."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from iac_ci_common.models.changes import Changes
from iac_ci_plans import PlanReader, ShownPlanReader

HERE = Path(__file__).parent
SAMPLES = json.loads((HERE / "corpus.json").read_text("utf-8"))
DOCUMENTS = [name for name in SAMPLES if name.endswith(".json") and name != "recorded-show-state.json"]

PLAN = {"format_version": "1.2", "terraform_version": "1.11.4", "planned_values": {"root_module": {}}}


def shown(data, size=1 << 20):
    reader = ShownPlanReader()
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    return reader.result()


def written(**members):
    return json.dumps(PLAN | members).encode()


def change(*actions, **members):
    entry = {"address": "a.b", "mode": "managed"} | members
    return entry | {"change": {"actions": list(actions)} | members.get("change", {})}


@pytest.mark.parametrize("size", [1, 4096, 1 << 20])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_of_the_corpus_has_the_right_counts(name, size):
    data = (HERE / "corpus" / name).read_bytes()
    assert shown(data, size).changes == Changes.model_validate(SAMPLES[name]["changes"])


CASES = [
    ({"resource_changes": [change("create")]}, {"add": 1}),
    ({"resource_changes": [change("update"), change("no-op")]}, {"change": 1}),
    ({"resource_changes": [change("delete")]}, {"destroy": 1}),
    ({"resource_changes": [change("delete", mode="data")]}, {}),
    ({"resource_changes": [change("read", mode="data")]}, {"read": 1}),
    ({"resource_changes": [change("delete", "create")]}, {"add": 1, "destroy": 1, "replace": 1}),
    ({"resource_changes": [change("create", "delete")]}, {"add": 1, "destroy": 1, "replace": 1}),
    ({"resource_changes": [change("forget", "create")]}, {"add": 1, "forget": 1, "replace": 1}),
    ({"resource_changes": [change("forget")]}, {"forget": 1}),
    ({"resource_changes": [change("no-op", previous_address="a.c")]}, {"moved": 1}),
    ({"resource_changes": [change("no-op", change={"importing": {"id": "1"}})]}, {"bring_in": 1}),
    ({"output_changes": {"a": {"actions": ["create"]}, "b": {"actions": ["no-op"]}}}, {"outputs": 1}),
    ({"action_invocations": [{"address": "action.a"}]}, {"actions": 1}),
    ({"deferred_changes": [{"reason": "x"}]}, {"deferred": 1}),
    ({"resource_drift": [change("update")], "applyable": True}, {"drift": 1}),
    ({"resource_drift": [change("update")], "applyable": False}, {}),
    (
        {"resource_drift": [change("update")], "resource_changes": [change("create")], "applyable": True},
        {"add": 1, "outside": 1},
    ),
    # What only looks like an entry: values of a resource, names of outputs, entries of another kind.
    ({"prior_state": {"resource_changes": [change("create")]}}, {}),
    ({"variables": {"resource_changes": {"value": [change("create")]}}}, {}),
    ({"resource_changes": [change("create", change={"after": {"resource_changes": [change("delete")]}})]}, {"add": 1}),
    ({"output_changes": {"resource_changes": {"actions": ["create"]}}}, {"outputs": 1}),
    ({"resource_changes": [1, None, [change("create")], {"change": 1}, {"change": {"actions": "create"}}]}, {}),
    ({"resource_changes": None, "output_changes": []}, {}),
]


@pytest.mark.parametrize(("members", "counts"), CASES)
def test_entries_are_counted_as_the_reader_of_logs_counts_them(members, counts):
    data = written(**members)
    found = shown(data).changes
    assert found == Changes(operation="planned", **counts)
    reader = PlanReader()
    reader.feed(data)
    assert reader.result().changes == found


@pytest.mark.parametrize(
    ("members", "version", "failed"),
    [
        ({}, "1.11.4", False),
        ({"errored": True}, "1.11.4", True),
        ({"errored": False, "terraform_version": 1}, None, False),
        ({"errored": "true"}, "1.11.4", False),
        ({"prior_state": {"errored": True, "terraform_version": "9"}}, "1.11.4", False),
    ],
)
def test_version_and_failure_are_the_documents_own(members, version, failed):
    found = shown(written(**members))
    assert (found.tool_version, found.has_failed) == (version, failed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"planned_values"',
        b"Error: no plan",
        b"{}",
        written()[:-1],
        written() + b"}",
        written() + written(),
        json.dumps({"format_version": "1.0", "values": {"planned_values": {}}}).encode(),
        json.dumps({"format_version": "1.2", "planned_values": True}).encode(),
        b"\xff\xfe",
    ],
)
def test_what_is_no_document_of_a_plan_is_refused(data):
    with pytest.raises(ValueError, match="the document is not"):
        shown(data)


def test_memory_does_not_grow_with_the_document():
    def pieces():
        yield json.dumps(PLAN).encode()[:-1] + b',"resource_changes":['
        entry = json.dumps(change("create", change={"after": {"text": "x" * 10_000}})).encode()
        yield entry
        for _ in range(3_000):
            yield b"," + entry
        yield b"]}"

    reader = ShownPlanReader()
    tracemalloc.start()
    size = 0
    for piece in pieces():
        size += len(piece)
        reader.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reader.result().changes.add == 3_001
    assert size > 30_000_000
    assert peak < 2_000_000
