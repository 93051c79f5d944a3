from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.models.changes import Changes, Operation
from iac_ci_worker.plan_summary import MAX_LINE_BYTES, ChangeCounter

PLANNED, APPLIED = Operation.PLANNED, Operation.APPLIED
DOCUMENT = json.dumps(
    {
        "format_version": "1.2",
        "resource_changes": [
            {"change": {"actions": ["create"]}},
            {"change": {"actions": ["delete", "create"]}},
            {"change": {"actions": ["update"]}},
            {"change": {"actions": ["no-op"], "importing": {"id": "x"}}},
            {"change": {"actions": ["read"]}},
            "nonsense",
        ],
    }
)
SUMMARY = (
    '{"@level":"info","changes":{"add":%d,"change":1,"import":0,"remove":2,"operation":"%s"},"type":"change_summary"}'
)


def count(log: str | bytes, size: int = 1 << 30) -> Changes | None:
    data = log.encode() if isinstance(log, str) else log
    counter = ChangeCounter()
    for start in range(0, len(data), size):
        counter.feed(data[start : start + size])
    return counter.result()


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("nothing of the kind\n", None),
        ("Plan: 1 to add, 2 to change, 3 to destroy.\n", Changes(operation=PLANNED, add=1, change=2, destroy=3)),
        ("Plan: 1 to add, 2 to change, 3 to destroy.", Changes(operation=PLANNED, add=1, change=2, destroy=3)),
        (
            "\x1b[0m\x1b[1mPlan:\x1b[0m 4 to import, 1 to add, 0 to change, 0 to destroy.\x1b[0m\n",
            Changes(operation=PLANNED, add=1, bring_in=4),
        ),
        ("No changes. Your infrastructure matches the configuration.\n", Changes(operation=PLANNED)),
        (
            "Plan: 5 to add, 0 to change, 0 to destroy.\nApply complete! Resources: 4 added, 0 changed, 0 destroyed.\n",
            Changes(operation=APPLIED, add=4),
        ),
        ("Destroy complete! Resources: 7 destroyed.\n", Changes(operation=APPLIED, destroy=7)),
        (
            "Plan: 1 to add, 0 to change, 0 to destroy.\nPlan: 2 to add, 0 to change, 1 to destroy.\n",
            Changes(operation=PLANNED, add=3, destroy=1, plans=2),
        ),
        (SUMMARY % (3, "plan") + "\n", Changes(operation=PLANNED, add=3, change=1, destroy=2)),
        (SUMMARY % (3, "plan") + "\n" + SUMMARY % (2, "apply"), Changes(operation=APPLIED, add=2, change=1, destroy=2)),
        (DOCUMENT, Changes(operation=PLANNED, add=2, change=1, destroy=1, bring_in=1)),
        ("Plan: 9 to add, 0 to change, 0 to destroy.\n" + DOCUMENT, Changes(operation=PLANNED, add=9)),
        ('echo "Plan: 9 to add, 0 to change, 0 to destroy."\n', None),
        ('{"type":"change_summary","changes":{"add":"many"}}\n', None),
        ('{"resource_changes": ' + "[" * 100_000 + "\n", None),
    ],
)
def test_changes_are_read_from_each_form(log, expected):
    assert count(log) == expected


def test_a_line_that_is_no_plan_is_not_kept_however_long():
    counter = ChangeCounter()
    for _ in range(3):
        counter.feed(b"x" * MAX_LINE_BYTES)
    counter.feed(b"\nPlan: 1 to add, 0 to change, 0 to destroy.\n")
    assert counter.result() == Changes(operation=PLANNED, add=1)


@given(st.integers(1, 50))
def test_chunks_do_not_matter(size):
    log = "a\nPlan: 1 to add, 0 to change, 0 to destroy.\nb\n" + SUMMARY % (3, "apply") + "\n"
    assert count(log, size) == count(log)


@given(st.binary(max_size=300))
def test_no_output_makes_the_counter_fail(data):
    count(data)
    count(b'{"type":"change_summary","changes":' + data + b"\n")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (Changes(operation=PLANNED), "no changes"),
        (Changes(operation=PLANNED, add=1, destroy=2), "+1 ~0 -2"),
        (Changes(operation=APPLIED, bring_in=2), "+0 ~0 -0, 2 imported"),
    ],
)
def test_changes_say_themselves_in_words(changes, words):
    assert str(changes) == words
