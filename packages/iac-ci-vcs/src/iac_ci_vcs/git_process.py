"""Runs one git command, with a limit of time, and ends all its processes beyond it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from iac_ci_common.errors import PreparationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TooSlow(Exception):
    """A command was ended at its limit."""


def run(
    arguments: Sequence[str], environment: Mapping[str, str], *, given: bytes | None, seconds: float
) -> tuple[int, bytes, bytes]:
    """Run git with ``given`` as its input; return its exit code, output and error output.

    Raises ``TooSlow`` after ``seconds``, and ``PreparationFailed`` if git cannot be started.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - a list, of our own making
            ["git", *arguments],  # noqa: S607 - found on the function's own PATH
            env=dict(environment),
            stdin=subprocess.PIPE if given is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise PreparationFailed(f"git did not start ({error.strerror}): is it installed?") from error
    with process:
        try:
            output, errors = process.communicate(given, timeout=max(0.0, seconds))
        except BaseException as error:
            # Children of git (ssh, git-remote-https) hold the pipe too: end the whole group, or the read blocks.
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TooSlow from None
            raise
    return process.returncode, output, errors
