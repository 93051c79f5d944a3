"""Answers a repeated start of an execution as AWS does. Runs inside MiniStack's process.

MiniStack refuses every second start with the same name. AWS answers it like the first one while the execution runs, if
the input is the same (AWS Step Functions API Reference, "StartExecution").
"""

from __future__ import annotations

import importlib
from typing import Any


def answer_repeated_starts() -> None:
    """Let MiniStack's Step Functions answer a start like the first one of the same name while its execution runs."""
    service: Any = importlib.import_module("ministack.services.stepfunctions")
    start = service._start_execution

    def start_or_answer(request: dict[str, Any]) -> Any:
        answer = start(request)
        execution = service._executions.get(_execution(request))
        if answer[0] < 400 or execution is None or execution["status"] != "RUNNING":
            return answer
        if execution["input"] != request.get("input", "{}"):
            return answer
        return service.json_response({name: execution[name] for name in ("executionArn", "startDate")})

    service._start_execution = start_or_answer


def _execution(request: dict[str, Any]) -> str:
    machine = str(request.get("stateMachineArn", "")).partition("#")[0]
    return f"{machine.replace(':stateMachine:', ':execution:', 1)}:{request.get('name', '')}"
