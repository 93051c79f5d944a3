"""The process's standard streams, whatever they are connected to: closed, full, a pipe, a terminal, ASCII only."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress
from typing import Final

_ASCII: Final = {"…": "...", "→": "->", "✗": "x", "·": "-", "─": "-"}
_ERRORS: Final = "iac-ci-ascii"


def prepare() -> None:
    """Let every stream exist, and no character end the command.

    A closed descriptor is taken by the null device, so that no file or socket of ours gets its number. What is written
    to a closed standard error goes nowhere. A closed standard output cannot be written: a command whose output nobody
    can have does not succeed. A size of 0, which a shell exports whose terminal has none, counts as none: on lines of
    no width nothing would be printed.
    """
    codecs.register_error(_ERRORS, _in_ascii)
    for name in ("COLUMNS", "LINES"):
        if os.environ.get(name, "").strip("0") == "":
            os.environ.pop(name, None)
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def flush() -> OSError | None:
    """Write what is buffered; return the error where that fails. Nothing is written to that stream afterwards."""
    failure = None
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except OSError as error:
            discard(stream)
            failure = error
    return failure


def flush_output() -> None:
    """Write what is buffered for standard output now, so that a reader sees it before a long wait."""
    sys.stdout.flush()


def discard(stream: object) -> None:
    """Connect a stream to the null device, so that the interpreter's own last flush cannot fail."""
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def write_error(text: str) -> None:
    """Write to standard error. If that fails there is no one to report it to, and the exit code still stands."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def is_output_failure(error: OSError) -> bool:
    """Return whether an error comes from writing to a stream, not from a file with a name."""
    return error.filename is None and error.errno in {errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, errno.EDQUOT}


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    replaced = "".join(_ASCII.get(character) or _escape(character) for character in text)
    return replaced, error.end


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")
