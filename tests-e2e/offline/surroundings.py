"""Says at the end of a test run what it ran with: the real thing or its stand-in."""

from __future__ import annotations

from typing import Any, Final

import pytest

_NOTES: Final = pytest.StashKey[set[str]]()
_OF_WORKER: Final = "offline-surroundings"


def note(config: pytest.Config, text: str) -> None:
    """Keep a line for the end of the run; the same line is said once."""
    config.stash.setdefault(_NOTES, set()).add(text)


class Plugin:
    """Collects the lines of all processes of a run, and prints them before its last line."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over what this process noted, where it is one of several."""
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_OF_WORKER] = sorted(session.config.stash.get(_NOTES, set()))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what another process noted; one that died noted nothing."""
        for text in getattr(node, "workeroutput", {}).get(_OF_WORKER, ()):
            note(node.config, text)

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Print the lines."""
        lines = sorted(config.stash.get(_NOTES, set()))
        if lines:
            terminalreporter.section("ran with")
            for line in lines:
                terminalreporter.write_line(line)
