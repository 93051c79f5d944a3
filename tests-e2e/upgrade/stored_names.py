"""Writes down every name that is stored or sent: ``uv run --no-sync python tests-e2e/upgrade/stored_names.py``.

A name once written may be read by another version, so ``stored_names.json`` only ever grows.
"""

from __future__ import annotations

import enum
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from iac_ci_common import identity_context, ids, keys  # noqa: E402 - after the path is set
from iac_ci_common.models import event, manifest  # noqa: E402
from iac_ci_common.models.base import StoredShape  # noqa: E402
from iac_ci_common.settings import CommonSettings  # noqa: E402
from upgrade.shapes import fields, modules, stored_shapes  # noqa: E402

RECORDED = HERE / "stored_names.json"
STACK = HERE.parents[1] / "terraform" / "deploy" / "stack"

_RUN, _TRACE, _SHA = "20260101T000000-0123456789ab", "0123456789abcdef", "f" * 64


def stored_names() -> dict[str, Any]:
    """Collect the names of this version: lists only, or maps of lists, so that any change is one of entries."""
    functions = _read("functions.json")["functions"]
    return {
        "fields of stored shapes": fields(),
        "values of stored fields": _values(),
        "kinds of events of a run": sorted(event.JOB_KINDS),
        "kinds of events of an order": sorted(event.ORDER_KINDS),
        "environment variables of functions": {
            name: sorted(function["environment"]) for name, function in functions.items()
        },
        "environment variables that functions read": _settings(),
        "environment variables of builds": _builds(),
        "handlers of functions": sorted(f"{name}: {function['handler']}" for name, function in functions.items()),
        "keys of objects": _object_keys(),
        "keys of rows": _row_keys(),
        "tables": _tables(),
        "notifications": _notifications(),
        "files of a package": sorted(
            [
                manifest.MANIFEST_NAME,
                manifest.SEALED_NAME,
                manifest.SEALED_OF_TAKER_NAME,
                manifest.IDENTITY_NAME,
                manifest.ENCRYPTED_IDENTITY_NAME,
            ]
        ),
        "encryption context": sorted({*identity_context.CONTEXT_KEYS, *identity_context.SCOPE_KEYS}),
        "input of the watchdog's check": sorted(_read("watchdog.asl.json")["States"]["Check"]["Parameters"]),
    }


def _read(name: str) -> Any:
    return json.loads((STACK / name).read_text("utf-8"))


def _values() -> dict[str, list[str]]:
    """The values of each enumeration that a stored shape holds."""
    found: dict[str, list[str]] = {}

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            found[annotation.__name__] = sorted(str(member.value) for member in annotation)
        for argument in getattr(annotation, "__args__", ()):
            visit(argument)

    for kind in stored_shapes():
        for field in kind.model_fields.values():
            visit(field.annotation)
    return found


def _settings() -> list[str]:
    for _ in modules():
        pass
    todo: list[type[Any]] = [CommonSettings]
    names: set[str] = set()
    while todo:
        kind = todo.pop()
        names.update(f"IAC_CI_{name.upper()}" for name in kind.model_fields)
        todo += [below for below in kind.__subclasses__() if below.__module__.startswith("iac_ci")]
    return sorted(names)


def _builds() -> list[str]:
    project = _read("builds.json")["projects"]["worker"]
    return sorted([*project["order_variables"], *project["former_variables"], *project["environment"]])


def _object_keys() -> list[str]:
    made = [
        keys.job(_RUN),
        keys.trigger_event(_RUN),
        keys.tick_position(),
        keys.tick_list("github.com/acme/infra"),
        keys.code(_SHA),
        keys.package(_RUN, "0001"),
        keys.claim(_RUN, "0001"),
        keys.result(_RUN, "0001"),
        keys.trigger(_RUN),
        keys.log(_RUN, "0001"),
        keys.outputs(_RUN, "0001"),
        keys.files(_RUN, "0001"),
        keys.kept(_RUN, "0001"),
        keys.live_part(_RUN, "0001", 0),
        keys.done(_RUN),
    ]
    return sorted(key.replace(_RUN, "RUN").replace(_SHA, "SHA256").replace("0001", "ORDER") for key in made)


def _row_keys() -> list[str]:
    made = [
        keys.run_lock(_RUN),
        keys.delivery("api", "key/ID"),
        keys.ticket_chain(_RUN, "0001", "1767225600000"),
        keys.pull_request_ledger("HOST/PATH", 7),
        keys.branch_ledger("HOST/PATH", "BRANCH"),
        keys.commit_job("HOST/PATH", "COMMIT", "iac-ci/job"),
        keys.event_sort("ORDER", 1, "KIND"),
        keys.event_sort("ORDER", 1, "KIND", 2),
        keys.execution_name(_RUN, "0001"),
        keys.watchdog_name(_RUN, 1),
        keys.watchdog_name(_RUN, 2),
        f"{ids.RUN_ORDER_NUM} is the run",
        f"{ids.JOB_EVENT_NAME} names the run's events",
    ]
    return [key.replace(_RUN, "RUN") for key in made]


def _tables() -> dict[str, list[str]]:
    return {
        name: [
            table["hash_key"]["name"],
            *([table["range_key"]["name"]] if table["range_key"] else []),
            f"ttl: {table['ttl_attribute']}",
            *(f"index: {index['name']}" for index in table["indexes"]),
        ]
        for name, table in _read("tables.json")["tables"].items()
    }


def _notifications() -> list[str]:
    return [
        f"{name}: {told['prefix']}*{told['suffix']}"
        for name, bucket in _read("buckets.json")["buckets"].items()
        if (told := bucket["notification"]) is not None
    ]


def text(names: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps({"schema_version": StoredShape().schema_version, **names}, indent=1, sort_keys=True) + "\n"


def flat(names: Any, place: str = "") -> set[str]:
    """Every name with its place, so that two versions can be compared."""
    if isinstance(names, dict):
        return {entry for key, value in names.items() for entry in flat(value, f"{place} > {key}".removeprefix(" > "))}
    if isinstance(names, list):
        return {f"{place} > {name}" for name in names}
    return set()


def under_present_names(recorded: dict[str, list[str]], now: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return recorded shapes under the present names of their classes: the name of a class is not stored.

    A class that is gone is taken for the new one that has all its fields; where there is none, it stays gone.
    """
    found: dict[str, list[str]] = {}
    for name, names in recorded.items():
        successors = [kind for kind in now if kind not in recorded and set(names) <= set(now[kind])]
        found[name if name in now or not successors else successors[0]] = names
    return found


def recorded_names(now: dict[str, Any]) -> dict[str, Any]:
    """Read what is recorded, under the present names of classes."""
    before: dict[str, Any] = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    for group in ("fields of stored shapes", "values of stored fields"):
        before[group] = under_present_names(before.get(group, {}), now[group])
    return before


def main() -> None:
    """Write the names, and keep every one that was there before."""
    now = stored_names()
    before = recorded_names(now)
    gone = flat(before) - flat(now)
    if gone:
        sys.exit("these names were stored by a version before and may not go:\n  " + "\n  ".join(sorted(gone)))
    RECORDED.write_text(text(now), "utf-8")
    print(RECORDED)


if __name__ == "__main__":
    main()
