"""Finds the commands in a comment on a pull request: pure.

A command is a whole line of plain text: never in a quote, a list, code, HTML or other markup. A line that only looks
like a command, or would be one without its markup, does nothing, and the engine comments why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from iac_ci_common.job_validation.approval_rules import looks_like_commit
from iac_ci_triggers.command_hints import lines_with_markup, looks_like_command, seen
from iac_ci_triggers.markdown_lines import find_plain_lines

PREFIX: Final = "/iac-ci"
MAX_COMMANDS: Final = 10
"""Most commands of one comment that are run, and most problems that are listed."""

HELP, CANCEL, RERUN_FAILED, UNLOCK = "help", "cancel", "rerun-failed", "unlock"
APPROVE, REJECT = "approve", "reject"
BUILT_IN: Final = (HELP, CANCEL, RERUN_FAILED, UNLOCK, APPROVE, REJECT)
"""The engine's commands; a repository's configuration may define others."""

RUNNING: Final = "running"
"""The word after ``cancel`` that stops running orders too."""

FORCE: Final = "force"
"""The word after the target of ``unlock`` that frees a concurrency group before its holder has ended."""

DESTROY: Final = "-destroy"
"""The word after a command and its target that makes a plan to destroy all that the target's project has."""

MAX_TARGET_CHARS: Final = 1024
"""Longest target, in characters: as the longest path of a project's folder."""

_HYPHENS: Final = "-\u2010\u2011\u2012\u2013\u2014\u2212"

OWN_MARKERS: Final = ("<!-- iac-ci:", "[//]: # (iac-ci:")
"""Texts at the beginning of the engine's comments, on hosts with HTML in comments and on others."""

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_AROUND: Final = ".,:;!?\"'()"
"""Characters that people write around a word."""

_MARKUP: Final = re.compile(r"[`*~<>\[\]\\&]|\b__?\B|\B__?\b")
"""Characters within a line that may be markup: an underscore only at the end of a word."""

_TARGET: Final = re.compile(rf"[A-Za-z0-9_.@+][A-Za-z0-9_./@+-]{{0,{MAX_TARGET_CHARS - 1}}}")
_OPTION: Final = re.compile(r"--?(?:d|dir|p|project|w|workspace)(?:=.*)?")
"""Options by which Atlantis' commands name a project."""

_SHA: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ORDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_RUN: Final = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{12}")
_ORDER_OF_RUN: Final = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{12}/[0-9]{4}")
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, and its target, or the full commit and the base branch of a commit's approval.

    The target of ``approve`` and ``reject`` is an order, perhaps of the run ``run_id``. ``is_forced`` says
    that an ``unlock`` frees what may still run, ``destroys`` that a plan is to be one to destroy.
    """

    name: str
    target: str | None = None
    sha: str | None = None
    branch: str | None = None
    run_id: str | None = None
    is_forced: bool = False
    destroys: bool = False

    @property
    def answers_order(self) -> bool:
        """Return whether the command answers an order that waits for an approval."""
        return self.name == REJECT or (self.name == APPROVE and self.target is not None)


@dataclass(frozen=True, slots=True)
class CommandsFound:
    """The commands in their order, and messages about lines that look like commands and are not."""

    commands: tuple[Command, ...] = ()
    problems: tuple[str, ...] = ()


def may_have_commands(text: str) -> bool:
    """Return whether a comment may have commands, or lines that look like some, in little time: it is not parsed.

    One with such a line in code may have none.
    """
    if _begins_as_ours(text) or "iac-ci" not in seen(text):
        return False
    return any(map(looks_like_command, text.splitlines())) or next(lines_with_markup(text), None) is not None


def find_commands(text: str) -> CommandsFound:
    """Return the commands of a comment, at most ``MAX_COMMANDS``; none for the engine's comments. Never raises.

    One that stands there several times counts once. The time is linear in the length of the text.
    """
    if _begins_as_ours(text) or "iac-ci" not in seen(text):
        return CommandsFound()
    commands: dict[Command, None] = {}
    problems: list[str] = []
    handled: set[str] = set()
    for line in find_plain_lines(text):
        words = line.text.split(" ")
        if words[0] == PREFIX or looks_like_command(line.text):
            handled.add(line.text)
        if words[0] != PREFIX:
            if looks_like_command(line.text):
                kind = "capitals" if line.text.isascii() else "look-alike characters"
                problems.append(f"{_shown(line.text)} contains {kind}; type it again")
            continue
        doubt = line.doubt or _odd_space(line.text)
        if doubt is not None:
            problems.append(f"{_shown(line.text)} {doubt}")
            continue
        parsed = _parse([word for word in words[1:] if word])
        if isinstance(parsed, str):
            problems.append(parsed)
        elif len(commands) == MAX_COMMANDS:
            problems.append(f"a comment has at most {MAX_COMMANDS} commands; the others were not run")
        else:
            commands[parsed] = None
    problems += [_hint(line) for line in lines_with_markup(text) if line not in handled]
    distinct = list(dict.fromkeys(problems))
    if len(distinct) > MAX_COMMANDS:
        distinct[MAX_COMMANDS:] = [f"{len(distinct) - MAX_COMMANDS} more lines are not commands or were not run"]
    return CommandsFound(tuple(commands), tuple(distinct))


def _begins_as_ours(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n").startswith(OWN_MARKERS)


def _odd_space(line: str) -> str | None:
    """Return what is wrong with the spaces of a line, as copied text has them; None if nothing is."""
    is_odd = any(letter.isspace() and letter != " " for letter in line)
    return "contains spaces of another kind; type it again" if is_odd else None


def _hint(line: str) -> str:
    if looks_like_command(line) and _MARKUP.search(line) is None:
        return f"{_shown(line)} belongs to the markup around it; leave an empty line before and after it"
    return f"{_shown(line)} has markup or a mention; write the command as plain text on a line of its own"


def _parse(words: list[str]) -> Command | str:
    """Return the command of the words after the prefix, or the message about its problem."""
    name, rest = (words[0], words[1:]) if words else (HELP, [])
    if _WORD.fullmatch(name) is None:
        word = name.lower().strip(_AROUND)
        meant = f"; did you mean {word}?" if _WORD.fullmatch(word) is not None else ";"
        return f"{_shown(name)} is not a command{meant} {PREFIX} help lists the commands"
    if name == APPROVE and len(rest) in {1, 2} and _SHA.fullmatch(rest[0]) is not None:
        return Command(name, sha=rest[0], branch=rest[1] if len(rest) == 2 else None)
    if name in {APPROVE, REJECT}:
        return _answer(name, rest)
    if name == CANCEL and rest == [RUNNING]:
        return Command(name, target=RUNNING)
    if name == UNLOCK and rest:
        return _parse_unlock(rest)
    return _with_target(name, rest)


def _with_target(name: str, words: list[str]) -> Command | str:
    """Return a command with its target, or the message about its problem."""
    destroys, rest = name not in BUILT_IN and DESTROY in words, list(words)
    if destroys:
        rest.remove(DESTROY)
    if len(rest) > (0 if name in BUILT_IN else 1):
        hint = "" if name in BUILT_IN else _meant(name, rest)
        return f"{_shown(' '.join([PREFIX, name, *words]))} has more words than {name} accepts{hint}"
    if not rest and destroys:
        return f"{_shown(f'{PREFIX} {name} {DESTROY}')} names no project; write {PREFIX} {name} PROJECT {DESTROY}"
    if not rest:
        return Command(name)
    # People write folders as their shells complete them.
    target = rest[0].removeprefix("./").rstrip("/") or "."
    if _TARGET.fullmatch(target) is None or ".." in target:
        meant = _meant(name, rest) or "; the name of a project is a target too"
        return f"{_shown(rest[0])} is not a target: use A to Z, a to z, digits and . _ / - @ + only{meant}"
    return Command(name, target=target, destroys=destroys)


def _meant(name: str, words: list[str]) -> str:
    """Return how to write what words after a command mean that it does not accept; empty if nobody knows."""
    if any(word.strip(_HYPHENS).casefold() == "destroy" for word in words):
        return f"; to plan to destroy a project, write {PREFIX} {name} PROJECT {DESTROY}"
    if any(_OPTION.fullmatch(word) is not None for word in words):
        return f"; write a project's folder or name alone: {PREFIX} {name} PROJECT"
    return ""


def _answer(name: str, rest: list[str]) -> Command | str:
    """Return the command that answers an order, or the message about its problem."""
    is_order = bool(rest) and _ORDER.fullmatch(rest[0]) is not None and not looks_like_commit(rest[0])
    if is_order and (len(rest) == 1 or (len(rest) == 2 and _RUN.fullmatch(rest[1]) is not None)):
        return Command(name, target=rest[0], run_id=rest[1] if len(rest) == 2 else None)
    line = _shown(" ".join([PREFIX, name, *rest]))
    if name == REJECT:
        return f"{line}: {name} needs an order that waits for an approval, and at most its run after it"
    return (
        f"{line}: {name} needs an order that waits for it, or a full commit hash in lower case (a shorter one can be"
        " forged), and at most a run or base branch after it"
    )


def _parse_unlock(rest: list[str]) -> Command | str:
    if _ORDER_OF_RUN.fullmatch(rest[0]) is None or rest[1:] not in ([], [FORCE]):
        line = _shown(" ".join([PREFIX, UNLOCK, *rest]))
        return (
            f"{line}: {UNLOCK} alone shows the groups, {UNLOCK} RUN/ORDER frees one, {FORCE} before its end; copy"
            " RUN/ORDER from there: it ends with four digits"
        )
    return Command(UNLOCK, target=rest[0], is_forced=rest[1:] == [FORCE])


def _shown(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return repr(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")
