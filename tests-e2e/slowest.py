"""Prints the slowest tests and their time-outs, and warns about each time-out that a slower machine could meet.

A time-out only ends what hangs: it is at least ``MARGIN`` times what the test takes on two idle cores. The warning is
never a failure, because how long a test takes says nothing about the code.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pytest

SHOWN = 10
MARGIN = 10
"""A time-out below so many times the duration is named."""

_PROPERTY = "timeout_seconds"


@dataclass
class Timed:
    """One test's whole duration, with its fixtures, and its time-out (0: none); both in seconds."""

    seconds: float = 0.0
    timeout: float = 0.0

    @property
    def is_tight(self) -> bool:
        """Return whether the time-out is less than ten times the duration."""
        return 0 < self.timeout < MARGIN * self.seconds


class Slowest:
    """Collects what each test took, from every worker of pytest-xdist."""

    def __init__(self) -> None:
        self._tests: defaultdict[str, Timed] = defaultdict(Timed)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> None:
        """Keep the time-out that pytest-timeout starts; it runs in the worker, the report brings it home."""
        item.user_properties.append((_PROPERTY, settings.timeout or 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a phase: set-up, call or tear-down. All three count into one time-out."""
        test = self._tests[report.nodeid]
        test.seconds += report.duration
        test.timeout = dict(report.user_properties).get(_PROPERTY, test.timeout)  # type: ignore[assignment]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the slowest, and name every test whose time-out is too near."""
        if not self._tests:
            return
        slowest = sorted(self._tests.items(), key=lambda entry: entry[1].seconds, reverse=True)
        terminalreporter.section(f"{SHOWN} slowest tests, with their fixtures, and their time-outs", sep="-")
        for name, test in slowest[:SHOWN]:
            terminalreporter.write_line(f"{test.seconds:7.1f} s of {_timeout(test):>6}  {name}")
        for name, test in slowest:
            if test.is_tight:
                terminalreporter.write_line(
                    f"warning: {name} took {test.seconds:.1f} s; its time-out of {_timeout(test)} is less than "
                    f"{MARGIN} times that"
                )


def _timeout(test: Timed) -> str:
    return f"{test.timeout:.0f} s" if test.timeout else "none"
