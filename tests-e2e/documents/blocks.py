"""Reads the fenced blocks of the documents.

A block of commands (```console) has its commands on the lines that begin with ``$``; other lines are output. A comment
before it, ``<!-- commands: KIND -->``, says that its commands are not simply run:

    aws             they need AWS credentials: the program, its subcommand and its options are checked
    elsewhere PATH  the file PATH runs them: this is checked in the same way
    background      the command runs until the end of the page; RUN in its output stands for the run's id
    apart           another way to the same end: they run in an environment of their own

A block of another language that follows a line with nothing but a name in backquotes and a colon is a file that the
page tells the reader to write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PATTERNS: Final = (
    "*.md",
    ".github/*.md",
    "docs/*.md",
    "docs/decisions/*.md",
    "examples/*/*.md",
    "packages/*/*.md",
    "terraform/*/*.md",
    "terraform/deploy/stack/*.md",
    "tests-e2e/*/*.md",
)
DOCUMENTS: Final = sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)})

_FENCE: Final = re.compile(
    r"(?:^(?P<indent_of_mark> *)<!-- commands: (?P<mark>[^>]*?) -->\n)?"
    r"(?:(?<=\n\n) *`(?P<file>[^`\n]+)`:\n\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Kind(StrEnum):
    """What is done with the commands of a block."""

    RUN = "run"
    AWS = "aws"
    ELSEWHERE = "elsewhere"
    BACKGROUND = "background"
    APART = "apart"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: ``file`` is the file that the reader writes, ``argument`` what follows the kind."""

    document: Path
    line: int
    language: str
    text: str
    kind: Kind = Kind.RUN
    argument: str = ""
    file: str | None = None

    @property
    def name(self) -> str:
        """Return the document and the line, as test ids show them."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Return the commands of the block."""
        if self.language != "console":
            return []
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(document: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    text = document.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        kind, _, argument = (match["mark"] or Kind.RUN.value).partition(" ")
        indent = len(match["indent"])
        body = "".join(line[indent:] if line.strip() else line for line in match["body"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(Block(document, line, match["language"], body, Kind(kind), argument, match["file"]))
    return found


def fences(document: Path) -> int:
    """Count the fences of a document, read in the simplest way: two for each block."""
    return len(re.findall(r"^ *```", document.read_text("utf-8"), re.MULTILINE))
