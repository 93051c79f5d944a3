"""How a command ends that cannot go on, and its exit codes."""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError, InputProblems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.errors import Problem


class ExitCode(IntEnum):
    """Exit codes of every command."""

    SUCCEEDED = 0
    """Done; where a run was waited for, it succeeded."""
    RUN_FAILED = 1
    """The run that was waited for ended, but did not succeed."""
    BAD_INPUT = 2
    """The job or the arguments are wrong; nothing was started."""
    UNREACHABLE = 3
    """The stack could not be reached or refused."""
    TROUBLE = 4
    """`doctor` found something wrong with the run."""
    OUTPUT_FAILED = 5
    """The command did its work, but its output could not be written."""
    FAULT = 70
    """A fault in iac-ci itself (EX_SOFTWARE of sysexits.h)."""
    INTERRUPTED = 130
    """Ctrl-C, as shells report it (128 + SIGINT)."""
    PIPE_CLOSED = 141
    """The reader of the output ended first, as shells report it (128 + SIGPIPE)."""


class CommandFailed(IacCiError):
    """A command cannot go on. ``exit_code`` is the process's, ``hint`` the next step for the user.

    With ``problems``, the message is what has them: ``the configuration x/.iac-ci.yml``.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_code: ExitCode = ExitCode.UNREACHABLE,
        hint: str = "",
        problems: tuple[Problem, ...] = (),
    ) -> None:
        """Keep the message, the code, the hint and the problems."""
        super().__init__(message)
        self.problems = problems
        self.exit_code = exit_code
        self.hint = hint


@contextmanager
def problems_of(subject: str) -> Iterator[None]:
    """Raise ``CommandFailed`` for the problems of an input that the block finds: ``subject`` is what has them."""
    try:
        yield
    except InputProblems as error:
        raise CommandFailed(subject, exit_code=ExitCode.BAD_INPUT, problems=error.problems) from error


@contextmanager
def interrupted(message: str, *, hint: str = "") -> Iterator[None]:
    """Raise ``CommandFailed`` with this message where Ctrl-C ends the block: what is so now, and the next step."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise CommandFailed(f"interrupted: {message}", exit_code=ExitCode.INTERRUPTED, hint=hint) from error
