"""Runs the engine's functions, one call a line of standard input, in whichever version PYTHONPATH names.

A line is ``{"function", "event", "now"}``; the answer is ``{"answer"}`` or ``{"error"}``. Only the handlers' names and
the environment are taken for granted here: both are the same in every version.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from iac_ci_common.clock import SystemClock

HANDLERS = {
    "init": "iac_ci_init.handler",
    "orchestrator": "iac_ci_orchestrator.handler",
    "watchdog": "iac_ci_watchdog.handler",
    "worker": "iac_ci_worker.handler",
    "broker": "iac_ci_broker.handler",
}


def build(event: dict[str, Any]) -> int:
    """Run the worker as CodeBuild does: the order is in the environment."""
    from iac_ci_worker.codebuild import main

    os.environ.update(event["variables"])
    os.environ["CODEBUILD_BUILD_ID"] = event["build_id"]
    code = main(["run"])
    if code:
        raise RuntimeError(f"the build ended with {code}")
    return code


def main() -> None:
    """Answer calls until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    # What functions log goes to standard output, which holds the answers here.
    os.dup2(2, 1)
    for number, line in enumerate(sys.stdin):
        call = json.loads(line)
        now = datetime.fromisoformat(call["now"]).astimezone(UTC)
        SystemClock.now = lambda _, now=now: now  # type: ignore[method-assign]
        request = f"call-{os.getpid()}-{number}"
        try:
            if call["function"] == "build":
                answer: Any = build(call["event"])
            else:
                handler = import_module(HANDLERS[call["function"]]).handler
                answer = handler(call["event"], SimpleNamespace(aws_request_id=request))
            said = {"answer": answer}
        except Exception as error:  # noqa: BLE001 - Lambda reports whatever leaves a handler
            traceback.print_exc()
            said = {"error": f"{type(error).__name__}: {error}", "request": request}
        answers.write(json.dumps(said) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
