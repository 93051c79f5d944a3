"""The process ``iac-ci``: runs one command line, reports how it ended and exits.

Nothing heavy is imported before ``main`` can report an interruption.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with one of ``ExitCode``, or 128 and a signal's number.

    No traceback and no library's own message is printed; with ``IAC_CI_DEBUG`` set, a fault of iac-ci's own prints its
    traceback.
    """
    try:
        code = run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        code = _interrupted()
    sys.exit(code)


def run(words: list[str]) -> int:
    """Run one command line and return its exit code."""
    from iac_ci_cli import streams
    from iac_ci_cli.failures import Failure, failure_of, report

    streams.prepare()
    as_json = "--json" in words
    try:
        code = _call(words)
    except BaseException as error:  # noqa: BLE001 - the one place where a command ends
        failure = failure_of(error)
        code = failure if isinstance(failure, int) else int(failure.exit_code)
        if isinstance(failure, Failure):
            _report(failure, as_json=as_json)
    unwritten = streams.flush()
    if unwritten is not None and code == 0:
        failure = failure_of(unwritten)
        if isinstance(failure, int):
            return int(failure)
        report(failure, as_json=False)
        return int(failure.exit_code)
    return int(code)


def _call(words: list[str]) -> int:
    from iac_ci_cli.application import app
    from iac_ci_cli.errors import ExitCode

    # Characters that no text can hold (file names that are not UTF-8) stay: files are opened by them.
    code = int(app(words, prog_name="iac-ci", standalone_mode=False) or 0)
    if code == ExitCode.INTERRUPTED:
        # typer turns Ctrl-C into this code without a word; no command of ours returns it.
        raise KeyboardInterrupt
    return code


def _report(failure: object, *, as_json: bool) -> None:
    from iac_ci_cli import streams
    from iac_ci_cli.failures import Failure, report

    if not isinstance(failure, Failure):
        return
    try:
        report(failure, as_json=as_json)
    except OSError:
        # Standard output is what failed: the text goes to standard error.
        streams.discard(sys.stdout)
        report(failure, as_json=False)


def _interrupted() -> int:
    os.write(2, b"iac-ci: interrupted: nothing was changed\n")
    return 130
