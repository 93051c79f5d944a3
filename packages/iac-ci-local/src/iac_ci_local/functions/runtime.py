"""The process of a handler inside a sandbox: takes calls from its keeper and answers them."""

from __future__ import annotations

import importlib
import json
import socket
import sys
import time
import traceback
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler learns about its call, with the names of Lambda's context object."""

    aws_request_id: str
    invoked_function_arn: str
    deadline: float

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the call may still take, in milliseconds."""
        return max(0, int((self.deadline - time.time()) * 1000))


def main() -> None:
    """Answer calls on the descriptor in the first argument with the handler in the second, ``module.name``."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    module, _, name = sys.argv[2].rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    with channel.makefile("rb") as calls:
        for line in calls:
            call = json.loads(line)
            context = Context(call["request_id"], call["arn"], call["deadline"])
            try:
                answer = {"result": handler(call["event"], context)}
            except Exception as error:  # noqa: BLE001 - every error is an answer
                answer = {"error": f"{type(error).__name__}: {error}\n{traceback.format_exc()}"}
            channel.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
