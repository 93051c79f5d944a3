"""The command ``iac-ci-worker run``, which CodeBuild runs."""

from __future__ import annotations

import argparse
import base64
import os
import signal
import sys
from typing import Final

from iac_ci_common.errors import IacCiError
from iac_ci_common.models.work import BUILD_VARIABLES, WORK_VARIABLE, BuildOrder, Work

_ENDS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that ask a program to end: by a container's end, by Ctrl-C, and by the end of its terminal (signal(7))."""


def main(arguments: list[str] | None = None) -> int:
    """Run the order of the environment: of ``BUILD_VARIABLES``, or of ``IAC_CI_WORK`` from a version before tickets.

    Exit codes: 0 if a result was written (with any state) or the order is not this build's, 1 if no result could be
    written, 2 if the variables are missing or not valid.
    """
    parser = argparse.ArgumentParser(prog="iac-ci-worker", description="Runs one order of iac-ci.")
    parser.add_argument("action", choices=["run"])
    parser.parse_args(arguments)
    try:
        order = _order()
    except (ValueError, IacCiError):
        # The error's text would show the URLs in the work.
        names = ", ".join(BUILD_VARIABLES)
        sys.stderr.write(f"iac-ci-worker: the build's order is missing or not valid; set {names}\n")
        return 2
    from iac_ci_worker.signal_witness import SignalWitness
    from iac_ci_worker.stop_request import StopRequest
    from iac_ci_worker.wiring import worker

    stop = StopRequest(SignalWitness.start().was_signalled)
    # Nothing promises a signal at the end of a build; where one comes, the first begins the stop, another hastens it.
    for number in _ENDS:
        signal.signal(number, lambda *_: stop.signal("the worker was stopped"))
    call = os.environ.get("CODEBUILD_BUILD_ID", "")
    try:
        if isinstance(order, Work):
            worker().run(order, call=call, stop=stop)
        else:
            worker().run_build(order, call=call, stop=stop)
    except IacCiError as error:
        sys.stderr.write(f"iac-ci-worker: {error}\n")
        return 1
    return 0


def _order() -> Work | BuildOrder:
    """Take the order out of the environment; raise ``ValueError`` or ``StoredUnreadable``."""
    work = os.environ.pop(WORK_VARIABLE, "")
    variables = {name: os.environ.pop(name, "") for name in BUILD_VARIABLES}
    if work:
        return Work.from_stored(base64.b64decode(work, validate=True))
    return BuildOrder.from_variables(variables)


if __name__ == "__main__":
    sys.exit(main())
