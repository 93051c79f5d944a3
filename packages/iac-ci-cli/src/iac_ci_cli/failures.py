"""Turns whatever ends a command into a message, a next step and an exit code; reports them as text or as JSON."""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_cli import streams
from iac_ci_cli.aws_messages import aws_message
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.text import plain
from iac_ci_common.errors import IacCiError, InputProblems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.errors import Problem

DEBUG: Final = "IAC_CI_DEBUG"
_NOTHING_CHANGED: Final = "interrupted: nothing was changed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command ended: one sentence, the next step, every problem of its input, and the exit code.

    With problems, ``message`` is what has them, in lower case.
    """

    message: str
    exit_code: int
    hint: str = ""
    problems: tuple[Problem, ...] = ()


def failure_of(error: BaseException) -> Failure | int:
    """Return what to report for an error, or the bare exit code where there is nothing to say."""
    if isinstance(error, SystemExit):
        return _ended(error)
    if isinstance(error, KeyboardInterrupt):
        return Failure(_NOTHING_CHANGED, ExitCode.INTERRUPTED)
    if isinstance(error, InputProblems):
        return Failure("the job", ExitCode.BAD_INPUT, problems=error.problems)
    if isinstance(error, CommandFailed):
        return Failure(error.message, error.exit_code, error.hint, error.problems)
    refused = aws_message(error)
    if refused is not None:
        return Failure(refused[0], ExitCode.UNREACHABLE, refused[1])
    if isinstance(error, IacCiError):
        return Failure(str(error), ExitCode.UNREACHABLE)
    if hasattr(error, "format_message"):  # the parser's own errors
        return _usage(error)
    if isinstance(error, OSError):
        return _system(error)
    return _fault(error)


def report(failure: Failure, *, as_json: bool) -> None:
    """Write a failure: one line of JSON on standard output, or text on standard error."""
    if as_json:
        sys.stdout.write(json.dumps(_as_json(failure)) + "\n")
    elif failure.problems:
        write_problems(f"{failure.message[:1].upper()}{failure.message[1:]}", failure.problems)
    else:
        write_failure(failure.message, failure.hint)


def write_failure(message: str, hint: str = "") -> None:
    """Write a message, and a hint below it, to standard error."""
    streams.write_error(f"iac-ci: {plain(message)}\n" + (f"{plain(hint)}\n" if hint else ""))


def write_problems(subject: str, problems: Sequence[Problem]) -> None:
    """Write every problem of an input to standard error, one on a line."""
    number = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
    lines = [f"{subject} has {number}:", *(f"  {problem.where}: {problem.what}" for problem in problems)]
    streams.write_error("".join(f"{plain(line)}\n" for line in lines))


def _as_json(failure: Failure) -> dict[str, object]:
    number = len(failure.problems)
    counted = f" has {number} problem{'s' if number > 1 else ''}" if number else ""
    return {
        "schema_version": 1,
        "error": plain(failure.message) + counted,
        "hint": plain(failure.hint),
        "problems": [{"where": problem.where, "what": problem.what} for problem in failure.problems],
        "exit_code": int(failure.exit_code),
    }


def _ended(error: SystemExit) -> Failure | int:
    if isinstance(error.__context__, BrokenPipeError):
        return ExitCode.PIPE_CLOSED
    if isinstance(error.code, str):
        return Failure(error.code, ExitCode.FAULT)
    return error.code or 0


def _usage(error: BaseException) -> Failure | int:
    from iac_ci_cli.usage_messages import usage_message

    if type(error).__name__ == "NoArgsIsHelpError":
        streams.write_error(f"{getattr(error, 'message', '')}\n".lstrip("\n"))
        return ExitCode.BAD_INPUT
    message, hint = usage_message(error)
    return Failure(message, ExitCode.BAD_INPUT, hint)


def _system(error: OSError) -> Failure | int:
    reason = error.strerror or "the operating system refused it"
    if isinstance(error, BrokenPipeError):
        return ExitCode.PIPE_CLOSED
    if streams.is_output_failure(error):
        return Failure(f"the output could not be written: {reason}", ExitCode.OUTPUT_FAILED)
    name = error.filename if error.filename is not None else "a file or connection"
    return Failure(f"{name} cannot be used: {reason}", ExitCode.BAD_INPUT)


def _fault(error: BaseException) -> Failure:
    if os.environ.get(DEBUG):
        streams.write_error("".join(traceback.format_exception(error)))
    return Failure(
        "this is a fault in iac-ci itself; it may have done part of its work",
        ExitCode.FAULT,
        f"Run the command again with {DEBUG}=1 and report what it prints.",
    )
