"""What ``uv.lock`` installs for a package: every distribution that its declared dependencies pull in."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker

ROOT: Final = Path(__file__).resolve().parents[2]
_ENVIRONMENT: Final = {
    "python_version": "3.11",
    "python_full_version": "3.11.14",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
}
"""The image's: what another platform would install is not counted."""


def packages() -> list[str]:
    """Return the names of the workspace's packages, sorted."""
    return sorted(folder.name for folder in (ROOT / "packages").iterdir() if (folder / "pyproject.toml").is_file())


def distributions(package: str, lock: str | None = None) -> list[str]:
    """Return the distributions from outside the workspace that a package installs, sorted.

    ``lock`` is the text of a lock file; by default it is this checkout's.
    """
    document = tomllib.loads(lock if lock is not None else (ROOT / "uv.lock").read_text("utf-8"))
    entries: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in document["package"]}
    found: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str]] = [(package, "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        entry = entries[name]
        needed = entry.get("optional-dependencies", {}).get(extra, []) if extra else entry.get("dependencies", [])
        for need in needed:
            if "marker" in need and not Marker(need["marker"]).evaluate({**_ENVIRONMENT, "extra": extra}):
                continue
            waiting += [(need["name"], each) for each in ("", *need.get("extra", ()))]
    ours = {name for name, entry in entries.items() if "editable" in entry["source"] or "virtual" in entry["source"]}
    return sorted({name for name, _ in found} - ours)
