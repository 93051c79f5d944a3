"""The CodeBuild door: ``iac-ci-worker run``."""

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
    """Run the order named by ``--work`` or the environment.

    Exit codes: 0 a result was left (however the order ended) or somebody else has the order, 1 none could be left,
    2 there is no readable work.
    """
    parser = argparse.ArgumentParser(prog="iac-ci-worker", description="Runs one order of iac-ci.")
    parser.add_argument("action", choices=["run"])
    parser.add_argument("--work", default=os.environ.pop(WORK_VARIABLE, ""), help="base64 of the work's JSON")
    options = parser.parse_args(arguments)
    try:
        work = Work.model_validate_json(base64.b64decode(options.work, validate=True))
    except (ValueError, ValidationError):
        # Its text would show the URLs in it.
        sys.stderr.write("iac-ci-worker: there is no readable work\n")
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
    """Turn a request to end into the end of the commands and a result that says so."""
    from iac_ci_worker.runner import Stopped

    del number, frame
    # Only once: what follows is the orderly end, which must not be broken off itself.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
