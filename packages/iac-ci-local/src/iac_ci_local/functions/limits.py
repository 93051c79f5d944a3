"""Refuses calls of functions as AWS does: over the concurrency limit, and of functions that are not active.

Runs inside MiniStack's process, which counts executions itself (``LAMBDA_ACCOUNT_CONCURRENCY``), the webhook's too.
MiniStack gives an asynchronous event up that is refused, where Lambda keeps it for its maximum age and tries again
(AWS Lambda Developer Guide, "Asynchronous invocation").
"""

from __future__ import annotations

import contextvars
import importlib
import json
import os
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.functions import failure_records
from iac_ci_local.functions.settings import FunctionSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

SETTINGS_VARIABLE: Final = "IAC_CI_LOCAL_FUNCTIONS"
"""The environment variable of MiniStack's process with the settings as JSON."""

_RETRY_VARIABLE: Final = "LAMBDA_ASYNC_RETRY_BASE_SECONDS"
_INVOKE: Final = re.compile(r"/2015-03-31/functions/(?:[^/]*:)?([A-Za-z0-9-_]+)/invocations")
_WEBHOOK: Final = re.compile(r"/_aws/execute-api/.*")
_WEBHOOK_FUNCTION: Final = "init-job"
_PENDING: Final = {
    "__type": "ResourceConflictException",
    "message": "The operation cannot be performed at this time. "
    "The function is currently in the following state: Pending",
}
_INACTIVE: Final = {
    "__type": "CodeArtifactUserPendingException",
    "message": "Lambda is initializing your function. It will be ready to invoke shortly.",
}

_asynchronous: contextvars.ContextVar[bool] = contextvars.ContextVar("asynchronous", default=False)


def variables(settings: FunctionSettings) -> dict[str, str]:
    """Return the environment variables of MiniStack's process."""
    chosen = {SETTINGS_VARIABLE: json.dumps(asdict(settings))}
    if settings.concurrency is not None:
        chosen["LAMBDA_ACCOUNT_CONCURRENCY"] = str(settings.concurrency)
    return chosen


def settings_of(environment: Mapping[str, str]) -> FunctionSettings:
    """Return the settings in an environment; the defaults without the variable."""
    stored: dict[str, Any] = json.loads(environment.get(SETTINGS_VARIABLE, "{}"))
    return FunctionSettings(
        sandboxed=tuple(stored.get("sandboxed", ())),
        concurrency=stored.get("concurrency"),
        inactive=tuple(stored.get("inactive", ())),
        inactive_seconds=stored.get("inactive_seconds"),
    )


def keep_refused_events(
    service: Any,
    *,
    retry_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Let asynchronous events that are over the limit be tried again in MiniStack's Lambda, ``service``.

    They do not count as one of the tries after errors. Call it before any other module of MiniStack is imported.
    """
    execute, invoke = service._execute_function, service.invoke_async_with_retry

    def execute_when_allowed(function: dict[str, Any], event: Any) -> dict[str, Any]:
        result: dict[str, Any] = execute(function, event)
        if not _asynchronous.get():
            return result
        until, pause = clock() + maximum_age(function), retry_seconds
        while result.get("throttle") and clock() + pause <= until:
            wait(pause)
            pause = min(2 * pause, 300 * retry_seconds)
            result = execute(function, event)
        return result

    def invoke_asynchronously(function: dict[str, Any], event: Any) -> None:
        token = _asynchronous.set(True)
        try:
            invoke(function, event)
        finally:
            _asynchronous.reset(token)

    service._execute_function = execute_when_allowed
    service.invoke_async_with_retry = invoke_asynchronously


def maximum_age(function: Mapping[str, Any]) -> float:
    """Return how many seconds Lambda keeps an event of a function."""
    config = function.get("event_invoke_config") or (function.get("event_invoke_configs") or {}).get("$LATEST") or {}
    return float(config.get("MaximumEventAgeInSeconds", 21600))


class WakingFunctions:
    """An ASGI application that refuses the first calls of inactive functions, before another application.

    It refuses two calls of each, or with ``seconds`` all within so many seconds from the first one.

    A call through the API gets 500, because API Gateway shows no state of its function. Events of S3 and other services
    are not refused: Lambda keeps them until the function is awake.
    """

    def __init__(
        self,
        served: Callable[..., Awaitable[None]],
        inactive: tuple[str, ...],
        seconds: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with every function in ``inactive`` asleep."""
        self._served = served
        self._seconds, self._clock = seconds, clock
        self._awake_at: dict[str, float] = {}
        self._refusals = {name: [_PENDING, _INACTIVE] for name in inactive}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one connection of the server."""
        refusal = self._refusal(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if refusal is None:
            await self._served(scope, receive, send)
            return
        status, body = refusal
        kind = body.get("__type", "")
        headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", kind.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    def _refusal(self, scope: Any) -> tuple[int, dict[str, str]] | None:
        invoked = _INVOKE.fullmatch(scope["path"])
        if invoked:
            refused = self._of(next((name for name in self._refusals if invoked[1].endswith(f"-{name}")), ""))
            return (409, refused) if refused else None
        refused = self._of(_WEBHOOK_FUNCTION) if _WEBHOOK.fullmatch(scope["path"]) else None
        return (500, {"message": "Internal server error"}) if refused else None

    def _of(self, function: str) -> dict[str, str] | None:
        """Return the refusal of a call of a function; None if it is active."""
        left = self._refusals.get(function, [])
        if self._seconds is None:
            return left.pop() if left else None
        if not left:
            return None
        if function not in self._awake_at:
            self._awake_at[function] = self._clock() + self._seconds
            return _INACTIVE
        return _PENDING if self._clock() < self._awake_at[function] else None


def apply(served: str = "ministack.app") -> Any:
    """Change MiniStack's Lambda as the environment says; return its application."""
    settings = settings_of(os.environ)
    service = importlib.import_module("ministack.services.lambda_svc")
    failure_records.complete(service)
    if settings.concurrency is not None:
        keep_refused_events(service, retry_seconds=float(os.environ.get(_RETRY_VARIABLE, "1")))
    app = importlib.import_module(served).app
    return WakingFunctions(app, settings.inactive, settings.inactive_seconds) if settings.inactive else app


__all__ = [
    "SETTINGS_VARIABLE",
    "WakingFunctions",
    "apply",
    "keep_refused_events",
    "maximum_age",
    "settings_of",
    "variables",
]
