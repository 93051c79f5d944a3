"""Runs one function of the cloud on moto's server: reads events from standard input, a line each, and answers each.

Its arguments are the folder with ``entry.py`` and the descriptor for the answers, because a function's own output must
not be taken for one. Runs as a script.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from types import SimpleNamespace


def main() -> None:
    """Answer events until the standard input ends."""
    folder, descriptor = sys.argv[1], int(sys.argv[2])
    sys.path.insert(0, folder)
    handler = None
    with os.fdopen(descriptor, "w", buffering=1) as answers:
        for line in sys.stdin:
            request = json.loads(line)
            until = time.monotonic() + request["timeout"]
            context = SimpleNamespace(
                aws_request_id=request["id"],
                function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
                invoked_function_arn=request["arn"],
                memory_limit_in_mb=512,
                get_remaining_time_in_millis=lambda until=until: int(1000 * (until - time.monotonic())),
            )
            try:
                # Importing is a part of the first invocation, as on AWS.
                handler = handler or importlib.import_module("entry").handler
                answer = {"result": handler(request["event"], context)}
            except Exception as error:  # noqa: BLE001 - Lambda reports whatever leaves a function
                traceback.print_exc()
                answer = {"error": {"errorMessage": str(error), "errorType": type(error).__name__}}
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
