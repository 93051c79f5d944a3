"""``python -m docs.architecture_diagram [--check] [CHECKOUT]``.

Writes ``docs/architecture-diagram.html`` and ``docs/architecture-diagram.md``. With ``--check`` it writes nothing and
ends with 1 if a file is not what it would write.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from docs.architecture_diagram.diagram import diagram
from docs.architecture_diagram.mermaid import markdown
from docs.architecture_diagram.page import page

ROOT: Final = Path(__file__).resolve().parents[2]


def documents(root: Path) -> dict[str, str]:
    """Return the text of both documents by their path in the checkout."""
    drawn = diagram(root)
    return {"docs/architecture-diagram.html": page(drawn), "docs/architecture-diagram.md": markdown(drawn)}


def main() -> int:
    """Write or check both documents; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.architecture_diagram", description="Draw the architecture.")
    parser.add_argument(
        "checkout", nargs="?", type=Path, default=ROOT, help="folder of the checkout; this one by default"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a document is out of date")
    arguments = parser.parse_args()
    stale = 0
    for name, text in documents(arguments.checkout).items():
        path = arguments.checkout / name
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        if arguments.check:
            sys.stderr.write(f"{name} is out of date: run python -m docs.architecture_diagram\n")
            stale = 1
        else:
            path.write_text(text, "utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
