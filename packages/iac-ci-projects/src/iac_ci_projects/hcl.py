"""Reads blocks and attributes of HCL in time linear in the text, whatever the text holds.

Anybody who can open a pull request writes these files. A full parser is not used: the grammar of tree-sitter takes more
than a minute for 140 KB of unfinished heredocs and templates, and python-hcl2 several seconds for a large repository.
Only what decides about projects is read: chosen blocks, their labels, and their attributes as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_DEPTH: Final = 200
"""Deepest nesting of brackets, strings and templates."""

_MAX_BLOCKS: Final = 20
"""Deepest nesting of blocks that are read."""


class UnreadableHcl(ValueError):
    """The text is not HCL as far as it is read; the message names the line."""


@dataclass(slots=True)
class Block:
    """A block: its type, its labels, its attributes as the text of their expressions, and the chosen blocks in it."""

    kind: str
    labels: tuple[str, ...]
    attributes: dict[str, str] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)


_SPACE: Final = re.compile(r"(?:[\s\ufeff]+|#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
_SAME_LINE: Final = re.compile(r"(?:[ \t]+|/\*(?:[^*]|\*(?!/))*\*/)*")
_IDENTIFIER: Final = re.compile(r"[^\W\d][\w-]*")
_PLAIN_STRING: Final = re.compile(r'"([^"\\$%\n]*)"')
_TOKEN: Final = re.compile(
    r"""(?P<plain>"[^"\\$%\n]*")"""
    r"""|(?P<quote>")|(?P<open>[\[({])|(?P<close>[\])}])|(?P<line>\n)|(?P<comma>,)"""
    r"""|(?P<comment>\#[^\n]*|//[^\n]*|/\*)|(?P<heredoc><<-?[^\W\d][\w-]*[ \t]*\r?\n)"""
)
_IN_STRING: Final = re.compile(r'\\.|\$\$\{|%%\{|(?P<template>[$%]\{)|(?P<end>")|(?P<line>\n)')
_CLOSE: Final = {"[": "]", "(": ")", "{": "}"}
_QUOTE: Final = '"'


def blocks(text: str, kinds: Collection[str], inner: Collection[str] = ()) -> list[Block]:
    """Return the top-level blocks of these kinds; of the blocks in them, at any depth, those of the kinds ``inner``.

    Raises ``UnreadableHcl`` for text that is not HCL.
    """
    found: list[Block] = []
    end = _body(text, 0, None, found, (kinds, inner))
    if end != len(text):
        raise _error(text, end, "a closing bracket that nothing has opened")
    return found


def call_at(text: str, at: int) -> str | None:
    """Return the text of a call, whose bracket is the first one at or after ``at``; None if nothing closes it."""
    bracket = text.find("(", at)
    try:
        return text[at : _after(text, bracket)] if bracket != -1 else None
    except UnreadableHcl:
        return None


def entries(expression: str) -> dict[str, str] | None:
    """Return the entries of an object ``{ name = value }`` as text, by their literal names; None for anything else."""
    text = expression.strip()
    if not text.startswith("{"):
        return None
    found: dict[str, str] = {}
    at = _skip_space(text, 1)
    while at < len(text) and text[at] not in "])}":
        if text[at] == ",":
            at = _skip_space(text, at + 1)
            continue
        name = _IDENTIFIER.match(text, at) or _PLAIN_STRING.match(text, at)
        if name is None:
            return None
        key = name[1] if name.re is _PLAIN_STRING else name[0]
        at = _skip_space(text, name.end())
        if text[at : at + 1] not in {"=", ":"}:
            return None
        end = _expression_end(text, at + 1, commas=True)
        found[key] = text[at + 1 : end].strip()
        at = _skip_space(text, end)
    return found


def items(expression: str) -> list[str] | None:
    """Return the items of a list ``[one, two]`` as text; None for anything else."""
    text = expression.strip()
    if not text.startswith("["):
        return None
    found: list[str] = []
    at = _skip_space(text, 1)
    while at < len(text) and text[at] not in "])}":
        end = _expression_end(text, at, commas=True, lines=False)
        found.append(text[at:end].strip())
        at = _skip_space(text, end + 1) if text[end : end + 1] == "," else end
    return found


def _body(
    text: str,
    at: int,
    into: Block | None,
    found: list[Block],
    kinds: tuple[Collection[str], Collection[str]],
    depth: int = 0,
) -> int:
    """Read attributes and blocks up to a closing brace or the end; return where it stopped.

    ``kinds`` are those of the blocks to read here, and in these blocks.
    """
    while True:
        at = _skip_space(text, at)
        if at == len(text) or text[at] == "}":
            return at
        name = _IDENTIFIER.match(text, at)
        if name is None:
            raise _error(text, at, "something that is neither an attribute nor a block")
        at = _SAME_LINE.match(text, name.end()).end()  # type: ignore[union-attr]
        if text[at : at + 1] == "=" and text[at : at + 2] != "==":
            end = _expression_end(text, at + 1)
            if into is not None:
                into.attributes[name[0]] = text[at + 1 : end].strip()
            at = end
            continue
        labels, at = _labels(text, at)
        if name[0] not in kinds[0]:
            at = _after(text, at)
            continue
        if depth == _MAX_BLOCKS:
            raise _error(text, at, f"more than {_MAX_BLOCKS} blocks inside each other")
        block = Block(name[0], labels)
        found.append(block)
        at = _body(text, at + 1, block, block.blocks, (kinds[1], kinds[1]), depth + 1)
        if at == len(text):
            raise _error(text, at, "the end inside a block")
        at += 1


def _labels(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """Return the labels of a block and where its brace is."""
    labels: list[str] = []
    while text[at : at + 1] != "{":
        label = _PLAIN_STRING.match(text, at) or _IDENTIFIER.match(text, at)
        if label is None:
            raise _error(text, at, "something that is neither a label nor the brace of a block")
        labels.append(label[1] if label.re is _PLAIN_STRING else label[0])
        at = _SAME_LINE.match(text, label.end()).end()  # type: ignore[union-attr]
    return tuple(labels), at


def _skip_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def _after(text: str, at: int) -> int:
    """Return where the bracket at ``at`` has been closed."""
    for end, depth in _walk(text, at):
        if depth == 0:
            return end
    raise _error(text, at, "a bracket that nothing closes")


def _expression_end(text: str, at: int, *, commas: bool = False, lines: bool = True) -> int:
    """Return where an expression ends: before a closing bracket, a line break or, with ``commas``, a comma."""
    while True:
        token = _TOKEN.search(text, at)
        if token is None:
            return len(text)
        at = token.end()
        kind = token.lastgroup
        if kind == "close" or (kind == "comma" and commas) or (kind == "line" and lines):
            return token.start()
        if kind == "comment":
            if lines and token[0] != "/*":
                return token.start()
            at = _after_comment(text, token)
        elif kind == "heredoc":
            at = _after_heredoc(text, token) - 1
        elif kind in {"open", "quote"}:
            at = _after(text, token.start())


def _walk(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Yield where each bracket, string or template ends that begins at or after ``at``, and how many are still open."""
    open_: list[str] = []
    while True:
        before = len(open_)
        step = _in_string(text, at, open_) if open_ and open_[-1] == _QUOTE else _in_code(text, at, open_)
        if step is None:
            return
        at = step
        if len(open_) < before:
            yield at, len(open_)
        if len(open_) > MAX_DEPTH:
            raise _error(text, at, f"more than {MAX_DEPTH} brackets inside each other")


def _in_string(text: str, at: int, open_: list[str]) -> int:
    """Go to the next end or template of a string; return where it is passed."""
    part = _IN_STRING.search(text, at)
    if part is None or part["line"]:
        raise _error(text, at, "a string that nothing closes")
    if part["end"]:
        open_.pop()
    elif part["template"]:
        open_.append("}")
    return part.end()


def _in_code(text: str, at: int, open_: list[str]) -> int | None:
    """Go to the next token outside of strings; return where it is passed, None at the end."""
    token = _TOKEN.search(text, at)
    if token is None:
        return None
    kind = token.lastgroup
    if kind == "comment":
        return _after_comment(text, token)
    if kind == "heredoc":
        return _after_heredoc(text, token)
    if kind == "quote":
        open_.append(_QUOTE)
    elif kind == "open":
        open_.append(_CLOSE[token[0]])
    elif kind == "close" and (not open_ or open_.pop() != token[0]):
        raise _error(text, token.start(), "a closing bracket that nothing has opened")
    return token.end()


def _after_comment(text: str, token: re.Match[str]) -> int:
    if token[0] != "/*":
        return token.end()
    end = text.find("*/", token.end())
    if end == -1:
        raise _error(text, token.start(), "a comment that nothing closes")
    return end + 2


def _after_heredoc(text: str, token: re.Match[str]) -> int:
    """Return where the line after a heredoc begins."""
    name = token[0].lstrip("<-").strip()
    end = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*\r?(?:\n|\Z)", re.MULTILINE).search(text, token.end())
    if end is None:
        raise _error(text, token.start(), "a heredoc that nothing closes")
    return end.end()


def _error(text: str, at: int, problem: str) -> UnreadableHcl:
    return UnreadableHcl(f"line {text.count(chr(10), 0, at) + 1} has {problem}")
