"""Decides whether a command runs a plan or an apply: pure."""

from __future__ import annotations

import re
from typing import Final

_RUNS: Final = re.compile(
    r"(?:^|[\s;&|(/])"
    r"(?:(?:terraform|tofu)(?:[ \t]+-[^\s;&|]+){0,20}|terragrunt(?:[ \t]+(?:-[^\s;&|]*|run|run-all|stack)){0,20})"
    r"[ \t]+(?:plan|apply|destroy)(?:$|[\s;&|)])"
)


def runs_a_plan(command: str) -> bool:
    """Return whether a command calls Terraform, OpenTofu or Terragrunt to plan, to apply or to destroy.

    The text of the command alone is read, so a script that calls them is not recognised.
    """
    return _RUNS.search(command) is not None
