"""Finds the commands in a comment on a pull request: pure.

A command is a line of its own in plain text, as a reader sees it: never in a quote, a list, code, HTML or any other
markup. What only looks like one is told to who wrote it, and does nothing.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

PREFIX: Final = "/iac-ci"
MAX_COMMANDS: Final = 10
"""Most commands of one comment that are taken."""

HELP, CANCEL, RERUN_FAILED, UNLOCK, APPROVE = "help", "cancel", "rerun-failed", "unlock", "approve"
BUILT_IN: Final = (HELP, CANCEL, RERUN_FAILED, UNLOCK, APPROVE)
"""The engine's own; every other word is one that a repository's configuration may give a meaning."""

OWN_MARKER: Final = "<!-- iac-ci:"
"""What the engine's own comments begin with."""

_WORD: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TARGET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,127}")
_SHA: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its word, and the target or the full commit that it names."""

    name: str
    target: str | None = None
    sha: str | None = None


@dataclass(frozen=True, slots=True)
class CommandsFound:
    """The commands in their order, and what looked like one and is none, in plain words for who wrote it."""

    commands: tuple[Command, ...] = ()
    problems: tuple[str, ...] = ()


def find_commands(text: str) -> CommandsFound:
    """Find the commands of a comment; none in the engine's own."""
    if text.lstrip("\ufeff \t\r\n").startswith(OWN_MARKER) or "iac-ci" not in unicodedata.normalize("NFKC", text):
        return CommandsFound()
    commands: list[Command] = []
    problems: list[str] = []
    for line in _plain_lines(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")):
        words = line.split(" ")
        if words[0] != PREFIX:
            if _looks_like_one(line):
                problems.append(f"{_shown(line)} holds characters that are not what they look like")
            continue
        given = _read([word for word in words[1:] if word])
        if isinstance(given, str):
            problems.append(given)
        elif len(commands) == MAX_COMMANDS:
            problems.append(f"a comment has at most {MAX_COMMANDS} commands; the others were left out")
        else:
            commands.append(given)
    return CommandsFound(tuple(commands), tuple(dict.fromkeys(problems))[:MAX_COMMANDS])


def _read(words: list[str]) -> Command | str:
    """Read what follows the prefix; a text is what is wrong with it."""
    name, rest = (words[0], words[1:]) if words else (HELP, [])
    if _WORD.fullmatch(name) is None:
        return f"{_shown(name)} is no command; {PREFIX} help lists them"
    if name == APPROVE:
        if len(rest) == 1 and _SHA.fullmatch(rest[0]) is not None:
            return Command(name, sha=rest[0])
        return f"{PREFIX} {APPROVE} names one commit by its full hash; a shorter one can be forged"
    if len(rest) > (0 if name in BUILT_IN else 1):
        return f"{_shown(' '.join([PREFIX, name, *rest]))} has more words than {name} takes"
    if not rest:
        return Command(name)
    target = rest[0]
    if _TARGET.fullmatch(target) is None or ".." in target:
        return f"{_shown(target)} is no target: letters, digits and . _ / - name one"
    return Command(name, target=target)


def _plain_lines(text: str) -> Iterator[str]:
    """Give the lines of top-level paragraphs that are nothing but text, exactly as they were typed."""
    # Not before a comment holds the prefix: most hold none, and the parser takes longer to load than to run.
    from markdown_it import MarkdownIt

    typed = {line.replace("\t", " ").strip(" ") for line in text.split("\n")}
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for before, token in pairwise(tokens):
        if before.type != "paragraph_open" or before.level != 0 or not token.children:
            continue
        # What an escape or a character reference shows was not typed, and may be meant to show, not to do.
        yield from (line for line in _lines(token.children) if line in typed)


def _lines(children: list[Token]) -> Iterator[str]:
    line: list[str] | None = []
    for child in children:
        if child.type in {"softbreak", "hardbreak"} and child.level == 0:
            if line is not None:
                yield "".join(line).strip(" ")
            line = []
        elif child.type != "text" or child.level != 0:
            line = None
        elif line is not None:
            line.append(child.content.replace("\t", " "))
    if line is not None:
        yield "".join(line).strip(" ")


def _looks_like_one(line: str) -> bool:
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", line) if unicodedata.category(letter) != "Cf")
    return not line.isascii() and re.match(rf"\s*{PREFIX}(\s|$)", seen) is not None


def _shown(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return repr(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")
