"""Text of jobs, hosts and users, made safe for a terminal."""

from __future__ import annotations

import re
import sys
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and those that begin a line or reverse the text (Unicode Standard Annex #9)."""

_ESCAPE: Final = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[ -/]{0,4}[0-Z\\^-~])")


def write(text: str) -> None:
    """Print text as it is, with one line break at its end."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def plain(text: str) -> str:
    """Return text without what would command a terminal; line breaks and tabs stay."""
    return _CONTROL.sub("", _ESCAPE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def comment(text: str) -> str:
    """Return text for a comment of one line: characters that cannot be printed are escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def one_line(text: str) -> str:
    """Return text as ``plain`` does, on one line, so that a part of it cannot pass for a line of ours."""
    return " ".join(plain(text).split())
