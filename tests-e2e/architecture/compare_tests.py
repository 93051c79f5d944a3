"""Prints which test functions a commit had that are gone: ``python tests-e2e/architecture/compare_tests.py COMMIT``.

A test that only moved to another file is not gone. Parametrised cases count once.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(ref: str) -> int:
    """Print the names that are gone and the numbers before and after."""
    before = {name for path in _git("ls-tree", "-r", "--name-only", ref) for name in _names(path, ref)}
    after = {name for path in _git("ls-files", "-co", "--exclude-standard") for name in _names(path, None)}
    for path, name in sorted(before):
        if name not in {other for _, other in after}:
            print(f"gone: {path}::{name}")
    print(f"{len(before)} test functions at {ref}, {len(after)} now")
    return 0


def _names(path: str, ref: str | None) -> set[tuple[str, str]]:
    if not Path(path).name.startswith("test_") or not path.endswith(".py"):
        return set()
    if ref is None and not (ROOT / path).is_file():
        return set()
    text = "\n".join(_git("show", f"{ref}:{path}")) if ref else (ROOT / path).read_text("utf-8")
    return {
        (path, node.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def _git(*words: str) -> list[str]:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
