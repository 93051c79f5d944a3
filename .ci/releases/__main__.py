"""Releases packages: ``.ci/release check|plan|write``."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from releases.check import problems
from releases.history import HistoryUnreadable, last_tag
from releases.package import packages
from releases.plan import plan
from releases.writing import write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from releases.package import Package


def main() -> None:
    """Check, show or write the releases of a checkout; exit with 1 if there is a problem."""
    parser = argparse.ArgumentParser(prog=".ci/release", description="Release the packages that have changed.")
    parser.add_argument(
        "step", choices=("check", "plan", "write"), help="check the checkout, print the releases, write them"
    )
    parser.add_argument(
        "--base", metavar="COMMIT", help="compare with this commit, not with each package's last release"
    )
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout; the working directory by default")
    chosen = parser.parse_args()
    root = chosen.root.resolve()
    found = packages(root)
    if not found:
        parser.error(f"{root} has no packages")
    try:
        _release(root, found, chosen.step, chosen.base)
    except HistoryUnreadable as error:
        hint = "the checkout needs its whole history: git fetch --unshallow --tags"
        parser.error(f"{error}\nIf the commit exists, {hint}")


def _release(root: Path, found: Mapping[str, Package], step: str, base: str | None) -> None:
    faults = list(problems(root, found, base))
    for line in faults:
        print(line, file=sys.stderr)
    if faults:
        sys.exit(1)
    if step == "check":
        print(f"{len(found)} packages: each change has a fragment, and the bounds between siblings hold")
        return
    released = {name for name in found if last_tag(root, name) is not None}
    releases = plan(found, released)
    if not releases:
        print("no package has changes to release")
        return
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    for release in releases:
        if step == "write":
            write(root, release, today)
        print(release.summary)
    print("tags: " + " ".join(release.tag for release in releases))


if __name__ == "__main__":
    main()
