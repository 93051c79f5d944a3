"""Reads what may never end, such as a pipe that nobody writes to, and hears Ctrl-C at every moment."""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_at_most(file: BinaryIO, most: int) -> bytes:
    """Return the file's next bytes, ``most`` at most, fewer only where it ends. Nothing of it may have been read yet.

    ``file.read`` does not hear a signal that comes between Python's check for signals and its system call, and then
    blocks until the next byte. Raises ``OSError`` where the file cannot be read.
    """
    try:
        descriptor = file.fileno()
    except OSError:  # bytes in memory: they do not block
        return file.read(most)
    content = bytearray()
    with _signals() as woken:
        while len(content) < most:
            # A signal makes ``woken`` readable, so that this returns and Python raises what the signal stands for.
            ready, _, _ = select.select([descriptor, woken], [], [])
            if descriptor not in ready:
                os.read(woken, 1)
                continue
            read = os.read(descriptor, most - len(content))
            if not read:
                break
            content += read
    return bytes(content)


@contextmanager
def _signals() -> Iterator[int]:
    """Yield a descriptor from which a byte can be read after each signal. Must be called by the main thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
