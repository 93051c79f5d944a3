"""Prints the size of each package, what it installs, and what its imports break.

Run it with ``python tests-e2e/architecture/measure.py``; ``--ref COMMIT`` measures another commit of this repository,
and ``--record`` writes ``distributions.json`` again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from architecture.locked import ROOT, distributions, packages

RECORD = Path(__file__).with_name("distributions.json")


def main() -> int:
    """Print the table; 1 if an import contract is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ref", help="measure this commit instead of the working tree")
    parser.add_argument("--record", action="store_true", help="write distributions.json again")
    arguments = parser.parse_args()
    if arguments.record:
        record = {package: distributions(package) for package in packages()}
        RECORD.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    if arguments.ref:
        _print_commit(arguments.ref)
        return 0
    _print_table({name: _lines(ROOT / "packages" / name / "src") for name in packages()}, None)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(next((line for line in done.stdout.splitlines() if line.startswith("Contracts:")), done.stdout))
    return done.returncode


def _lines(folder: Path) -> int:
    return sum(len(path.read_text("utf-8").splitlines()) for path in folder.rglob("*.py"))


def _print_commit(ref: str) -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout

    lines: dict[str, int] = {}
    for path in git("ls-tree", "-r", "--name-only", ref, "packages").splitlines():
        parts = path.split("/")
        lines.setdefault(parts[1], 0)
        if parts[2] == "src" and path.endswith(".py"):
            lines[parts[1]] += len(git("show", f"{ref}:{path}").splitlines())
    _print_table(lines, git("show", f"{ref}:uv.lock"))


def _print_table(lines: dict[str, int], lock: str | None) -> None:
    total = sum(lines.values())
    print(f"{'package':20} {'lines':>6} {'share':>6} {'installs':>9}")
    for name, count in sorted(lines.items()):
        print(f"{name:20} {count:6} {count / total:6.0%} {len(distributions(name, lock)):9}")
    print(f"{'all':20} {total:6}")


if __name__ == "__main__":
    sys.exit(main())
