"""``python -m docs.terraform_tables [--check] [CHECKOUT]``: the tables in the READMEs of the Terraform stages.

Writes what stands behind the mark in ``terraform/<stage>/README.md``: variables, outputs and resources. With
``--check`` it writes nothing and ends with 1 if a table is not what it would write.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_projects.hcl import Block, blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
STAGES: Final = ("bootstrap", "ecr", "deploy")
MARK: Final = "<!-- What follows is generated: python -m docs.terraform_tables -->\n"
_LONGEST: Final = 60
"""Longest type or default that a table shows as it is."""


def tables(stage: Path) -> str:
    """Return the generated part of a stage's README."""
    files = {
        path.name: blocks(path.read_text("utf-8"), ("variable", "output", "resource"))
        for path in sorted(stage.glob("*.tf"))
    }
    found = [(name, block) for name, several in files.items() for block in several]
    return "\n".join(
        (
            MARK,
            "## Variables\n",
            *_table(("variable", "meaning", "type", "default"), _variables(block for _, block in found)),
            "\n## Outputs\n",
            *_table(("output", "value"), _outputs(block for _, block in found)),
            "\n## Resources\n",
            *_table(("file", "resources"), _resources(found)),
            "",
        )
    )


def _variables(found: Iterable[Block]) -> Iterator[tuple[str, ...]]:
    for block in found:
        if block.kind == "variable":
            attributes = block.attributes
            default = _code(attributes["default"]) if "default" in attributes else "**required**"
            yield f"`{block.labels[0]}`", _text(block), _code(attributes["type"]), default


def _outputs(found: Iterable[Block]) -> Iterator[tuple[str, ...]]:
    for block in found:
        if block.kind == "output":
            yield f"`{block.labels[0]}`", _text(block)


def _resources(found: Iterable[tuple[str, Block]]) -> Iterator[tuple[str, ...]]:
    by_file: dict[str, list[str]] = {}
    for name, block in found:
        if block.kind == "resource":
            by_file.setdefault(name, []).append(f"`{'.'.join(block.labels)}`")
    for name, resources in by_file.items():
        yield f"`{name}`", ", ".join(resources)


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heading)} |"
    yield f"|{'---|' * len(heading)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _text(block: Block) -> str:
    text: str = json.loads(block.attributes["description"])
    return text.replace("|", "\\|").replace("<", "&lt;")


def _code(expression: str) -> str:
    """Return an expression on one line; of one that is too long, its beginning."""
    line = " ".join(expression.split())
    shown = line if len(line) <= _LONGEST else line.partition("(")[0] + "(…)"
    return f"`{shown}`"


def document(readme: Path) -> str:
    """Return a README with its present tables; raise ``ValueError`` if the mark before them is missing."""
    written, mark, _ = readme.read_text("utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{readme} lacks the line {MARK.strip()}")
    return written + tables(readme.parent)


def main() -> int:
    """Write or check the tables; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.terraform_tables", description="Tables of the stages.")
    parser.add_argument(
        "checkout", nargs="?", type=Path, default=ROOT, help="folder of the checkout; this one by default"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a table is out of date")
    arguments = parser.parse_args()
    stale = 0
    for stage in STAGES:
        readme = arguments.checkout / "terraform" / stage / "README.md"
        text = document(readme)
        if readme.read_text("utf-8") == text:
            continue
        if arguments.check:
            sys.stderr.write(f"{readme} is out of date: run python -m docs.terraform_tables\n")
            stale = 1
        else:
            readme.write_text(text, "utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
