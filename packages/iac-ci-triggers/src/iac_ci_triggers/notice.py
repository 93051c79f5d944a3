"""What the engine says on a pull request outside of any run: pure Markdown, one notice each, edited in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_vcs.reporting.markdown import code, escape

if TYPE_CHECKING:
    from iac_ci_common.errors import Problem

NOTICE_MARKER: Final = "<!-- iac-ci:notice -->"
"""The hidden text by which the notice is found again; it begins with it."""

_SHOWN: Final = 50
_TEXT_CHARS: Final = 600


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One thing to say: a ``title`` in plain words, ``lines`` below it, and a ``command`` to copy, if there is one.

    ``problems`` are listed with their places. Everything is escaped: it may hold anybody's words.
    """

    title: str
    lines: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    command: str | None = None


def render_notice(paragraphs: tuple[Paragraph, ...], *, commit: str | None, limit: int) -> str:
    """Write the notice, at most ``limit`` characters long; what does not fit is counted."""
    head = f"{NOTICE_MARKER}\n**iac-ci**"
    if commit is not None:
        head += f" at {code(commit[:12])}"
    whole = head
    for number, paragraph in enumerate(paragraphs):
        part = "\n\n" + _paragraph(paragraph)
        left = f"\n\n… and {len(paragraphs) - number} more that did not fit here."
        if len(whole) + len(part) + len(left) > limit:
            return whole + left
        whole += part
    return whole


def _paragraph(paragraph: Paragraph) -> str:
    items = [_short(line) for line in paragraph.lines]
    items += [f"{code(_cut(problem.where))}: {_short(problem.what)}" for problem in paragraph.problems]
    text = _short(paragraph.title)
    for item in items[:_SHOWN]:
        text += f"\n- {item}"
    if len(items) > _SHOWN:
        text += f"\n- … and {len(items) - _SHOWN} more"
    if paragraph.command is not None:
        text += f"\n\n```\n{paragraph.command}\n```"
    return text


def _short(text: str) -> str:
    return escape(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}…"
