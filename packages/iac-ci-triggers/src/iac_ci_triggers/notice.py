"""Renders the engine's comments on a pull request that are not about a run: pure.

A standing notice is one comment per subject, edited in place. An answer is a new comment, because hosts notify nobody
of an edit; answers never replace a standing notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_vcs.reporting.identities import without_identities
from iac_ci_vcs.reporting.markdown import code, escape
from iac_ci_vcs.reporting.style import marker

if TYPE_CHECKING:
    from iac_ci_common.errors import Problem
    from iac_ci_vcs.provider import CommentStyle


class Subject(StrEnum):
    """What a standing notice is about."""

    APPROVAL = "approval"
    """A commit waits for an approval."""

    CONFIGURATION = "configuration"
    """The configuration has problems or is changed."""

    JOBS = "jobs"
    """A job could not start, or starts without some of its orders."""

    AFTER_MERGE = "after-merge"
    """What was not applied after the merge."""


ARRIVED: Final = "arrived"
"""Name of the note that a pull request's event has arrived, on hosts without reactions."""


def notice_name(subject: Subject) -> str:
    """Return the name of a standing notice, which its hidden marker contains."""
    return f"notice:{subject.value}"


def answer_name(comment_id: str) -> str:
    """Return the name of the answer to a comment; a repeated event finds its own answer by it."""
    return f"answer:{comment_id}"


_SHOWN: Final = 50
_TEXT_CHARS: Final = 600
_MORE_CHARS: Final = 40
"""Characters that are kept for the count of what does not fit."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of a comment: a ``title``, ``lines`` below it, and optionally a ``command`` to copy.

    ``problems`` are listed with their paths. Everything is escaped, because any user may have written parts of it.
    """

    title: str
    lines: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    command: str | None = None


def render_paragraphs(name: str, paragraphs: tuple[Paragraph, ...], *, commit: str | None, style: CommentStyle) -> str:
    """Return the comment with this name, in the host's style; paragraphs that do not fit are counted."""
    head = f"{marker(name, has_html=style.has_html)}\n\n**iac-ci**"
    if commit is not None:
        head += f" at {code(commit[:12])}"
    whole = head
    for number, paragraph in enumerate(paragraphs):
        left = f"\n\n… and {len(paragraphs) - number} more paragraphs that do not fit here."
        room = style.max_chars - len(whole) - len(left)
        part = "\n\n" + _paragraph(paragraph, room)
        if len(part) > room:
            return whole + left
        whole += part
    return whole


def _paragraph(paragraph: Paragraph, room: int) -> str:
    """Return a paragraph with as many of its items as fit into ``room`` characters; the others are counted."""
    items = [_short(line) for line in paragraph.lines]
    items += [f"{code(_cut(problem.where))}: {_short(problem.what)}" for problem in paragraph.problems]
    text = _short(paragraph.title)
    command = f"\n\n```\n{paragraph.command}\n```" if paragraph.command is not None else ""
    room -= len(command) + _MORE_CHARS
    for number, item in enumerate(items):
        if number == _SHOWN or len(text) + len(item) > room:
            text += f"\n- … and {len(items) - number} more"
            break
        text += f"\n- {item}"
    return text + command


def _short(text: str) -> str:
    return escape(_cut(text))


def _cut(text: str) -> str:
    text = without_identities(text)
    return text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}…"
