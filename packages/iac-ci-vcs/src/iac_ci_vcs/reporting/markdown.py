"""Makes any text harmless in Markdown. Names and output come from jobs and are not trusted."""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#+.!|~@&$-])")
_INVISIBLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Control characters, and those that begin a line, reverse the text or have no width (Unicode Standard Annex #9)."""

_ESCAPE_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]{0,4}[0-Z\\^-~])")
"""Colours, cursor movements and titles (ECMA-48), and sets of characters, as ``tput sgr0`` has one (ECMA-35)."""

_LINE_OF_ACTION: Final = re.compile(r"^/", re.MULTILINE)
"""A slash that begins a line. Hosts and bots read such a line as an action, ``/close`` or ``/merge``, also from our
account and in a code block (GitLab Docs, "Quick actions")."""

_ADDRESS: Final = re.compile(r"([A-Za-z0-9+.-])(://)|(www)(\.)", re.IGNORECASE)
"""What hosts make a link of: any scheme on GitLab, ``ftp`` too on GitHub (GitHub Flavored Markdown Spec)."""

_BACKTICKS: Final = re.compile(r"`+")


def escape(text: str) -> str:
    """Return the text as one line without markup, mentions, links or reversed direction; it begins with no slash."""
    flat = _INVISIBLE.sub(" ", _ESCAPE_SEQUENCE.sub("", text)).replace("\n", " ").replace("\t", " ")
    # A character without width keeps hosts from turning escaped text into a mention or a link.
    quiet = _ADDRESS.sub(lambda match: "\u200b".join(part for part in match.groups() if part), flat)
    marked = _SPECIAL.sub(r"\\\1", quiet).replace("\\@", "\\@\u200b").replace("\\#", "\\#\u200b")
    begin = len(marked) - len(marked.lstrip())
    return f"{marked[:begin]}\\{marked[begin:]}" if marked.startswith("/", begin) else marked


def plain(text: str) -> str:
    """Return the text without colours, carriage returns and invisible characters."""
    without = _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _INVISIBLE.sub("\ufffd", without)


def fence(text: str, language: str = "text") -> str:
    """Return the text as a code block that nothing inside it can close (CommonMark, "Fenced code blocks").

    A line that begins with a slash gets a space before it, so that no host takes it for an action.
    """
    text = _LINE_OF_ACTION.sub(" /", text)
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{ticks}"


def html(text: str) -> str:
    """Return the text as one line inside HTML of our own, without markup and mentions."""
    flat = plain(text).replace("\n", " ")
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b")


def code(text: str) -> str:
    """Return a short text as an inline code span that nothing inside it can close."""
    flat = plain(text).replace("\n", " ")
    longest = max((len(run) for run in _BACKTICKS.findall(flat)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {flat} {ticks}" if longest or not flat.strip() else f"`{flat}`"
