"""A wrapper that observes every call of a port, before and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Observed:
    """Wraps a port and calls ``before(name)`` and ``after(name)`` around each of its methods.

    Either may raise: then the call did not happen (``before``), or it happened and its answer was lost (``after``).
    With these a simulation can crash a function, delay it, or make a service fail at any call.
    """

    def __init__(
        self,
        port: Any,
        *,
        name: str,
        before: Callable[[str], None] | None = None,
        after: Callable[[str], None] | None = None,
    ) -> None:
        """Wrap ``port``; calls are reported as ``<name>.<method>``."""
        self._port = port
        self._name = name
        self._before = before
        self._after = after

    def __getattr__(self, method: str) -> Any:
        """Return the port's method, or its plain attribute."""
        value = getattr(self._port, method)
        if not callable(value):
            return value
        name = f"{self._name}.{method}"

        def observed(*args: Any, **kwargs: Any) -> Any:
            if self._before is not None:
                self._before(name)
            result = value(*args, **kwargs)
            if self._after is not None:
                self._after(name)
            return result

        return observed
