"""Lists every command of the documents with what the tests do with it: ``python tests-e2e/documents/listing.py``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from documents.blocks import DOCUMENTS, Kind, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

_DONE: Final = {
    Kind.RUN: "run",
    Kind.BACKGROUND: "run",
    Kind.APART: "run",
    Kind.AWS: "looked up",
    Kind.ELSEWHERE: "run by",
}


def listing() -> Iterator[str]:
    """Return a line for each command: where it is, what is done with it, the command."""
    for page in DOCUMENTS:
        for block in blocks(page):
            for command in block.commands:
                yield f"{block.name}: {_DONE[block.kind]} {block.argument}".rstrip() + f": {command}"


if __name__ == "__main__":
    print("\n".join(listing()))
