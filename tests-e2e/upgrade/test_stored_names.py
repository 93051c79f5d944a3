"""Names that are stored or sent are never changed: another version reads them, before this one and after it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from iac_ci_common.models.event import JOB_KINDS, ORDER_KINDS
from upgrade.shapes import fields
from upgrade.stored_names import flat, recorded_names, stored_names, under_present_names

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORD_NAMES = "uv run --no-sync python tests-e2e/upgrade/stored_names.py"
RECORD_RUNS = "uv run --no-sync python tests-e2e/upgrade/record.py NUMBER-NAME"


def test_no_stored_name_is_renamed_or_removed_and_each_new_one_is_recorded():
    names = stored_names()
    recorded, now = flat(recorded_names(names)), flat(names)
    gone = sorted(recorded - now)
    assert not gone, (
        "Versions before this one have stored these names, or will read them after a rollback. Keep each, and write "
        f"what is new beside it: {gone}"
    )
    new = sorted(now - recorded)
    assert not new, f"Record what is stored from now on, by `{RECORD_NAMES}`: {new}"


def test_a_rename_and_a_removal_are_seen(monkeypatch):
    now = stored_names()
    now["fields of stored shapes"]["RunRow"].remove("deadline")
    now["fields of stored shapes"]["RunRow"].append("ends_at")
    recorded = flat(recorded_names(now))
    assert recorded - flat(now) == {"fields of stored shapes > RunRow > deadline"}
    assert flat(now) - recorded == {"fields of stored shapes > RunRow > ends_at"}


def test_a_class_may_be_renamed_and_its_fields_may_not():
    recorded = {"Task": ["prepare", "schema_version"]}
    renamed = {"PreparationTask": ["prepare", "schema_version", "since"]}
    assert under_present_names(recorded, renamed) == {"PreparationTask": ["prepare", "schema_version"]}
    assert under_present_names(recorded, {"PreparationTask": ["ready", "schema_version"]}) == recorded


def test_the_newest_recorded_runs_hold_what_this_version_stores():
    newest = max((HERE / "recordings").glob("*/version.json"))
    recorded = under_present_names(json.loads(newest.read_text("utf-8"))["fields"], fields())
    new = {
        f"{shape}.{name}"
        for shape, names in fields().items()
        for name in names
        if name not in recorded.get(shape, [])
    }  # fmt: skip
    assert not new, f"No recorded open run holds these fields. Record this version's, by `{RECORD_RUNS}`: {sorted(new)}"


def test_every_kind_of_event_that_is_written_is_recorded():
    written: set[tuple[str, str]] = set()
    for path in ROOT.glob("packages/*/src/**/*.py"):
        if "iac_ci_local" not in path.parts:
            written.update(re.findall(r'\bkind="([a-z_]+)"|\bfailed\["([a-z_]+)"\]', path.read_text("utf-8")))
    kinds = {name for pair in written for name in pair if name}
    assert kinds >= {"accepted", "nudged", "comment_failed"}
    assert kinds <= JOB_KINDS | ORDER_KINDS
