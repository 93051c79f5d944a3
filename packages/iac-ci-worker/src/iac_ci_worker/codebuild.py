"""The command ``iac-ci-worker run``, which CodeBuild runs."""

from __future__ import annotations

import argparse
import base64
import os
import signal
import sys
from typing import TYPE_CHECKING

from pydantic import ValidationError

from iac_ci_common.errors import IacCiError
from iac_ci_common.models.work import WORK_VARIABLE, Work

if TYPE_CHECKING:
    from types import FrameType


def main(arguments: list[str] | None = None) -> int:
    """Run the order of ``--work`` or of the environment.

    Exit codes: 0 if a result was written (with any state) or another worker has the order, 1 if no result could be
    written, 2 if the work is missing or not valid.
    """
    parser = argparse.ArgumentParser(prog="iac-ci-worker", description="Runs one order of iac-ci.")
    parser.add_argument("action", choices=["run"])
    parser.add_argument("--work", default=os.environ.pop(WORK_VARIABLE, ""), help="base64 of the work's JSON")
    options = parser.parse_args(arguments)
    try:
        work = Work.model_validate_json(base64.b64decode(options.work, validate=True))
    except (ValueError, ValidationError):
        # The error's text would show the URLs in the work.
        sys.stderr.write("iac-ci-worker: the work is missing or not valid; set --work or IAC_CI_WORK\n")
        return 2
    from iac_ci_worker.wiring import worker

    signal.signal(signal.SIGTERM, _stop)
    try:
        worker().run(work, call=os.environ.get("CODEBUILD_BUILD_ID", ""))
    except IacCiError as error:
        sys.stderr.write(f"iac-ci-worker: {error}\n")
        return 1
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise ``Stopped``, which ends the commands and reports the order as cancelled."""
    from iac_ci_worker.runner import Stopped

    del number, frame
    # Further signals are ignored, so that they do not interrupt the orderly end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
