"""Renders the engine's notice on a pull request, which is not about a run: pure. It is one comment, edited in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_vcs.reporting.identities import without_identities
from iac_ci_vcs.reporting.markdown import code, escape

if TYPE_CHECKING:
    from iac_ci_common.errors import Problem

NOTICE_MARKER: Final = "<!-- iac-ci:notice -->"
"""Hidden text at the beginning of the notice, by which the engine finds it again."""

_SHOWN: Final = 50
_TEXT_CHARS: Final = 600


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of the notice: a ``title``, ``lines`` below it, and optionally a ``command`` to copy.

    ``problems`` are listed with their paths. Everything is escaped, because any user may have written parts of it.
    """

    title: str
    lines: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    command: str | None = None


def render_notice(paragraphs: tuple[Paragraph, ...], *, commit: str | None, limit: int) -> str:
    """Return the notice, at most ``limit`` characters; paragraphs that do not fit are counted."""
    head = f"{NOTICE_MARKER}\n**iac-ci**"
    if commit is not None:
        head += f" at {code(commit[:12])}"
    whole = head
    for number, paragraph in enumerate(paragraphs):
        part = "\n\n" + _paragraph(paragraph)
        left = f"\n\n… and {len(paragraphs) - number} more paragraphs that do not fit here."
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
    text = without_identities(text)
    return text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}…"
