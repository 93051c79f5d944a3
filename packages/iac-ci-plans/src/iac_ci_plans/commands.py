"""Decides whether a command runs a plan or an apply: pure."""

from __future__ import annotations

import re
from typing import Final

_SPACE: Final = r"(?:[ \t]|\\\r?\n)+"
"""What stands between words; a backslash before the end of a line continues it."""

_OPTION: Final = r"""-(?:[^\s;&|"'\\]|"[^"]*"|'[^']*'|\\[^\r\n])*"""
_RUNS: Final = re.compile(
    r"""(?:^|[\s;&|(/"'`])"""
    rf"(?:(?:terraform|tofu)(?:{_SPACE}{_OPTION}){{0,20}}|terragrunt(?:{_SPACE}(?:{_OPTION}|run|run-all|stack)){{0,20}})"
    rf"""{_SPACE}(?:plan|apply|destroy)(?:$|[\s;&|)<>"'`]|\\\r?\n)"""
)


def runs_a_plan(command: str) -> bool:
    """Return whether a command calls Terraform, OpenTofu or Terragrunt to plan, to apply or to destroy.

    The text of the command alone is read, so a script that calls them is not recognised.
    """
    return _RUNS.search(command) is not None
