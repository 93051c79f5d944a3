"""How unkind Lambda is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """Settings of Lambda; the defaults are those of MiniStack, which starts functions as plain processes."""

    sandboxed: tuple[str, ...] = ()
    """Short names of the functions that run in a sandbox as on AWS; the module ``sandbox`` says what that is."""

    concurrency: int | None = None
    """Most executions of all functions at once, 10 in a new account (AWS Lambda Developer Guide, "Lambda quotas"). What
    is over it is refused with 429; asynchronous events are tried again up to their maximum age."""

    inactive: tuple[str, ...] = ()
    """Short names of functions that nobody called for weeks. Their first call fails and wakes them, the second finds
    them pending, the third succeeds."""

    inactive_seconds: float | None = None
    """How long inactive functions refuse calls from their first one on, in place of refusing two: 40 to 106 seconds
    wherever it was observed on AWS."""


__all__ = ["FunctionSettings"]
