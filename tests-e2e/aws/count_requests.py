"""Runs tests and prints how many AWS requests they made, each violation, and each missing or unused action.

``python tests-e2e/aws/count_requests.py [PYTEST ARGUMENT …]``; without arguments the tests that run whole runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
WHOLE_RUNS: Final = (
    "packages/iac-ci-local/tests/test_runs.py",
    "packages/iac-ci-cli/tests/test_run_commands_locally.py",
    "tests-e2e/faults/test_local_cloud.py",
    "tests-e2e/faults/test_sessions_of_orders.py",
    "tests-e2e/smoke",
    "tests-e2e/test_pull_request.py",
)


def main() -> int:
    """Run pytest; its exit code is 1 for a violation or a missing action too."""
    arguments = sys.argv[1:] or ["-n", "2", "--dist", "loadfile", *WHOLE_RUNS]
    # The folder of tests-e2e has the plugin.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", str(ROOT), *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "IAC_CI_UNUSED_ACTIONS": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
