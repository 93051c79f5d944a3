"""Runs a command as a user who is not root, in a file system of which this user may read this checkout and its Python.

    .venv/bin/python tests-e2e/standins/as_user.py .venv/bin/python -m pytest -p no:cacheprovider tests-e2e/standins

Needs root on Linux. The user has the id 12345 and owns ``/tmp`` alone; everything else is read-only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
USER = 12345
_INSIDE = "--inside"
_TEMPORARY_MB = 2048


def command(*words: str) -> list[str]:
    """Return the command line that runs ``words`` as another user."""
    return [sys.executable, __file__, *words]


def main() -> int:
    """Enter namespaces of their own, then become the user; return the command's exit code."""
    from iac_ci_local.functions import file_system
    from iac_ci_local.functions.sandbox import NAMESPACES

    if sys.argv[1:2] != [_INSIDE]:
        inside = ["unshare", *NAMESPACES, sys.executable, __file__, _INSIDE, *sys.argv[1:]]
        return subprocess.run(inside, check=False).returncode
    os.chdir("/")
    needed = [str(ROOT), sys.base_prefix, sys.prefix]
    file_system.enter(needed, _TEMPORARY_MB, USER, USER)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = {**kept, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        sys.argv[2:], cwd=ROOT, env=environment, user=USER, group=USER, extra_groups=[], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
