"""Finds the commands in a comment on a pull request: pure.

A command is a line of its own in plain text, as a reader sees it: never in a quote, a list, code, HTML or any other
markup. What only looks like one is told to who wrote it, and does nothing.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from iac_ci_triggers.markdown_lines import plain_lines

PREFIX: Final = "/iac-ci"
MAX_COMMANDS: Final = 10
"""Most commands of one comment that are taken, and most problems of one that are told singly."""

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
    """Find the commands of a comment, at most ``MAX_COMMANDS``; none in the engine's own. Never raises.

    The time grows as the text's length does, whatever stands in it.
    """
    if text.lstrip("\ufeff \t\r\n").startswith(OWN_MARKER) or "iac-ci" not in _seen(text):
        return CommandsFound()
    commands: list[Command] = []
    problems: list[str] = []
    for line in plain_lines(text):
        words = line.text.split(" ")
        if words[0] != PREFIX:
            if _looks_like_one(line.text):
                problems.append(f"{_shown(line.text)} holds characters that are not what they look like")
            continue
        if line.doubt is not None:
            problems.append(f"{_shown(line.text)} {line.doubt}")
            continue
        given = _read([word for word in words[1:] if word])
        if isinstance(given, str):
            problems.append(given)
        elif len(commands) == MAX_COMMANDS:
            problems.append(f"a comment has at most {MAX_COMMANDS} commands; the others were left out")
        else:
            commands.append(given)
    told = list(dict.fromkeys(problems))
    if len(told) > MAX_COMMANDS:
        told[MAX_COMMANDS:] = [f"{len(told) - MAX_COMMANDS} more lines are no commands, or were left out"]
    return CommandsFound(tuple(commands), tuple(told))


def _read(words: list[str]) -> Command | str:
    """Read what follows the prefix; a text is what is wrong with it."""
    name, rest = (words[0], words[1:]) if words else (HELP, [])
    if _WORD.fullmatch(name) is None:
        return f"{_shown(name)} is no command; {PREFIX} help lists them"
    if name == APPROVE:
        if len(rest) == 1 and _SHA.fullmatch(rest[0]) is not None:
            return Command(name, sha=rest[0])
        given = _shown(" ".join([PREFIX, name, *rest]))
        return f"{given}: {APPROVE} names one commit by its full hash in small letters; a shorter one can be forged"
    if len(rest) > (0 if name in BUILT_IN else 1):
        return f"{_shown(' '.join([PREFIX, name, *rest]))} has more words than {name} takes"
    if not rest:
        return Command(name)
    target = rest[0]
    if _TARGET.fullmatch(target) is None or ".." in target:
        return f"{_shown(target)} is no target: letters, digits and . _ / - name one"
    return Command(name, target=target)


def _looks_like_one(line: str) -> bool:
    return not line.isascii() and re.match(rf"\s*{PREFIX}(\s|$)", _seen(line)) is not None


def _seen(text: str) -> str:
    """Return the text about as a person sees it: look-alikes made plain, and without what shows nothing."""
    if text.isascii():
        return text
    return "".join(letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) != "Cf")


def _shown(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return repr(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")
