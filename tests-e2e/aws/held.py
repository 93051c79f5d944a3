"""The pytest plugin that holds each AWS request of a run to the service models, and compares it with the policies."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import botocore.client
import pytest

from aws import policies
from aws.hook import held_requests
from iac_ci_local import ministack, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

HOOK: Final = Path(__file__).with_name("hook")

REFUSED_ON_PURPOSE: Final = ("packages/iac-ci-local/tests/test_codebuild.py::test_time_outs_are_within_the_limits",)
"""Tests that send what AWS refuses, to show that a stand-in refuses it too."""


class HeldRequests:
    """Records the requests of this run: of the tests' own process, of functions, and of builds."""

    def __init__(self) -> None:
        self._own = held_requests.FOLDER_VARIABLE not in os.environ
        if self._own:
            os.environ[held_requests.FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="iac-ci-requests-")
            # Builds write as another user than functions.
            Path(os.environ[held_requests.FOLDER_VARIABLE]).chmod(0o1777)
        self.folder = Path(os.environ[held_requests.FOLDER_VARIABLE])
        self.entries: list[dict[str, Any]] = []
        held_requests.install(botocore.client)
        _hold_local_clouds(self.folder)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Read all records in the process that started the run, and fail the run for a violation or a missing right."""
        if not self._own:
            return
        self.entries = list(read(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)
        if (self.violations() or self.comparison().missing) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def violations(self) -> list[str]:
        """Return each violation with the test during which it happened."""
        return sorted(
            {
                f"{entry['request']} {problem} ({entry['caller'] or entry['test']})"
                for entry in self.entries
                if not entry["test"].startswith(REFUSED_ON_PURPOSE)
                for problem in entry["problems"]
            }
        )

    def comparison(self) -> policies.Comparison:
        """Compare the requests with the policies."""
        return policies.compare(self.entries, policies.load())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Print the counts, each violation and each missing action; the unused actions where the whole suite ran."""
        if not self._own or not self.entries:
            return
        found = self.comparison()
        violations = self.violations()
        write = terminalreporter.write_line
        terminalreporter.section("AWS requests", sep="-")
        for line in violations:
            write(f"violation: {line}")
        for line, times in sorted(found.missing.items()):
            write(f"missing action: {line} ({times} times)")
        unused = found.unused(policies.load())
        if config.args == config.getini("testpaths") or "IAC_CI_UNUSED_ACTIONS" in os.environ:
            for line in unused:
                write(f"unused action: {line}")
        functions = sum(entry["kind"] != "test" for entry in self.entries)
        write(
            f"{len(self.entries)} AWS requests held, {functions} of them of functions and builds, "
            f"{len(violations)} violations, {len(found.missing)} missing actions, "
            f"{len(unused)} unused actions without a reason"
        )


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield every record; a process that was killed may have left half a line."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text("utf-8", "replace").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def _hold_local_clouds(folder: Path) -> None:
    """Have the functions and builds of every local cloud of this process record their requests too."""
    variables = {"PYTHONPATH": str(HOOK), held_requests.FOLDER_VARIABLE: str(folder)}
    clean = ministack.LocalAws.clean_environment
    projects = stack.StackBuilder._projects

    def clean_environment(self: Any) -> dict[str, str]:
        return clean(self) | variables

    def with_variables(self: Any, files: Any) -> None:
        before = self._extra
        # Only clouds that run: tests compare what is asked of others with Terraform.
        if isinstance(self._aws, ministack.LocalAws):
            self._extra = {**before, **variables}
        projects(self, files)
        self._extra = before

    ministack.LocalAws.clean_environment = clean_environment  # type: ignore[method-assign]
    stack.StackBuilder._projects = with_variables  # type: ignore[method-assign]
