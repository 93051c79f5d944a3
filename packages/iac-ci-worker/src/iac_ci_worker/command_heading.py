"""Shows a command in the log before its output: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SHOWN_BYTES: Final = 32 * 1024
"""Most bytes of a command that the log shows."""


def command_heading(command: str, mask: Callable[[str], str]) -> bytes:
    """Return a command as a shell shows it: ``$`` before its first line, ``>`` before the others.

    So no line of a command is taken for output, as which a plan in it would be read. ``mask`` gets the whole command: a
    part of a secret at the cut could not be recognised.
    """
    shown = mask(command.replace("\r\n", "\n").rstrip("\n")).encode("utf-8", "surrogateescape")
    cut = len(shown) - MAX_SHOWN_BYTES
    text = shown[:MAX_SHOWN_BYTES].decode("utf-8", "ignore" if cut > 0 else "surrogateescape").replace("\r", "\\r")
    first, *others = text.split("\n")
    lines = [f"$ {first}", *(f"> {line}".rstrip() for line in others)]
    if cut > 0:
        lines.append(f"[iac-ci] the rest of the command is not shown: {cut} bytes")
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
