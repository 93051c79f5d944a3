"""What the command line says when it cannot go on, and how it exits."""

from __future__ import annotations

from enum import IntEnum

from iac_ci_common.errors import IacCiError


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


class CommandFailed(IacCiError):
    """A command cannot go on; ``exit_code`` says why and ``hint`` what to do next."""

    def __init__(self, message: str, *, exit_code: ExitCode = ExitCode.UNREACHABLE, hint: str = "") -> None:
        """Keep the message, the code and the hint."""
        super().__init__(message)
        self.exit_code = exit_code
        self.hint = hint
