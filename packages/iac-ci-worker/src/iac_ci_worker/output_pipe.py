"""The pipe that the commands print into."""

from __future__ import annotations

import os
import stat
import sys


def output_pipe(user: int | None) -> tuple[int, int]:
    """Return the ends of a new pipe to read and to write.

    The commands' ``user``, where it is another than the worker's, may open the pipe by its name, as ``tee /dev/stderr``
    and ``echo … > /dev/stderr`` do: a pipe belongs to the user who made it. Only the worker may read it.
    """
    reading, writing = os.pipe()
    if user is not None:
        os.fchown(writing, -1, user)
        os.fchmod(writing, stat.S_IRUSR | stat.S_IWUSR | stat.S_IWGRP)
    return reading, writing


def end_for_one_command(writing: int) -> int:
    """Return the end to write for one command, which the caller closes.

    It is opened by itself where the system can do that: what a command sets on it, as Node.js sets ``O_NONBLOCK``,
    stays as long as one process has it, and would make writes of the other commands and of the worker fail.
    """
    return os.open(f"/proc/self/fd/{writing}", os.O_WRONLY) if sys.platform == "linux" else os.dup(writing)
