"""Completes the record of a failed asynchronous call, from which MiniStack leaves out the id of the request.

Runs inside MiniStack's process. A record says which request failed (AWS Lambda Developer Guide, "Capturing records of
Lambda asynchronous invocations"); the watchdog holds it against the claim, which has the same id.
"""

from __future__ import annotations

import threading
from typing import Any, Final

_REQUEST: Final = "iac_ci_request_id"


def complete(service: Any) -> None:
    """Let MiniStack's Lambda, ``service``, send whole records to functions; other destinations stay as they are."""
    dispatch, route = service._execute_function_dispatch, service._route_async_failure

    def keep_request(function: Any, config: Any, event: Any, request_id: str, started: float) -> dict[str, Any]:
        result: dict[str, Any] = dispatch(function, config, event, request_id, started)
        return {**result, _REQUEST: request_id}

    def send_record(target: str, name: str, event: Any, result: dict[str, Any]) -> None:
        if ":lambda:" not in target:
            route(target, name, event, result)
            return
        destination, _, _ = service._get_func_record_for_ref(target)
        if destination:
            source = service._functions.get(name, {}).get("config", {}).get("FunctionArn", "")
            record = failure_record(source, event, result)
            run = service._execute_function_with_config_scope
            threading.Thread(target=run, args=(destination, record), daemon=True).start()

    service._execute_function_dispatch = keep_request
    service._route_async_failure = send_record


def failure_record(function_arn: str, event: Any, result: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a call of a function that failed at every attempt."""
    body = result.get("body")
    return {
        "version": "1.0",
        "requestContext": {
            "requestId": result.get(_REQUEST, ""),
            "functionArn": function_arn,
            "condition": "RetriesExhausted",
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "functionError": result.get("function_error") or "Unhandled"},
        "responsePayload": body if isinstance(body, dict) else {},
    }


__all__ = ["complete", "failure_record"]
