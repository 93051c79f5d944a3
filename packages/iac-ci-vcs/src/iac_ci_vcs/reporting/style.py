"""What a host's comments can hold, and what is written for it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_vcs.reporting.markdown import code, escape, html

if TYPE_CHECKING:
    from iac_ci_vcs.provider import CommentStyle


def marker(run_id: str, *, has_html: bool = True) -> str:
    """Return the hidden text that the run's comment begins with; it identifies the comment later.

    Where HTML is shown as it is written, the marker is the definition of a link that nothing uses.
    """
    return f"<!-- iac-ci:{run_id} -->" if has_html else f"[//]: # (iac-ci:{run_id})"


def is_marked(body: str) -> bool:
    """Return whether a comment begins as the engine's do. Any user can write such a comment."""
    return body.startswith(("<!-- iac-ci:", "[//]: # (iac-ci:"))


def block_start(style: CommentStyle, title: str, summary: str = "") -> str:
    """Return the beginning of a block under a title and what it says in short, collapsed where the host can do that."""
    if style.has_html:
        return f"\n\n<details><summary>{html(f'{title}: {summary}' if summary else title)}</summary>\n\n"
    return f"\n\n{heading(title, summary)}\n\n"


def heading(title: str, summary: str) -> str:
    """Return a title and what is behind it in short, as one line of Markdown."""
    return f"**{escape(title)}** {code(summary)}" if summary else f"**{escape(title)}**"


def block_end(style: CommentStyle) -> str:
    """Return the end of a block."""
    return "\n</details>" if style.has_html else ""
