"""Writes a release into the files of the checkout: versions, bounds, changelogs, the lock."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

from releases.versions import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from releases.plan import Release

_WIDTH: Final = 130


def write(root: Path, release: Release, date: str) -> None:
    """Write one release, and remove the fragments that it contains."""
    package = release.package
    project = package.folder / "pyproject.toml"
    text = _replaced(
        project.read_text("utf-8"), rf'^version = "{re.escape(package.version)}"$', f'version = "{release.after}"'
    )
    for sibling, bounds in release.siblings.items():
        text = re.sub(rf'("{sibling}(?:\[[\w,-]+\])?)[<>=][^"]*"', rf'\g<1>{bounds}"', text)
    project.write_text(text, "utf-8")
    lock = root / "uv.lock"
    before, after = (
        f'name = "{package.name}"\nversion = "{version}"\n' for version in (package.version, release.after)
    )
    lock.write_text(_replaced(lock.read_text("utf-8"), re.escape(before), after), "utf-8")
    changelog = package.folder / "CHANGELOG.md"
    if release.bumped:
        text = _replaced(
            changelog.read_text("utf-8"), r"^## ", f"## {release.after} ({date})\n\n{_lines(release)}\n## "
        )
    else:
        text = _replaced(
            changelog.read_text("utf-8"), r"^## .*\n\n", f"## {release.after} ({date})\n\n{_lines(release)}"
        )
    changelog.write_text(text, "utf-8")
    for fragment in package.fragments:
        fragment.path.unlink()


def _lines(release: Release) -> str:
    return "".join(
        textwrap.fill(
            ("**Breaking**: " if entry.kind is Kind.BREAKING else "") + " ".join(entry.text.split()),
            _WIDTH,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
        for entry in release.entries
    )


def _replaced(text: str, pattern: str, replacement: str) -> str:
    """Replace the first match, which must exist."""
    found, count = re.subn(pattern, lambda _: replacement, text, count=1, flags=re.MULTILINE)
    if not count:
        raise ValueError(f"nothing matches {pattern}")
    return found
