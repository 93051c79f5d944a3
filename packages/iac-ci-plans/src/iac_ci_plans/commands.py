"""Decides whether a command runs a plan or an apply: pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_SPACE: Final = r"(?:[ \t]|\\\r?\n)+"
"""What stands between words; a backslash before the end of a line continues it."""

_PART: Final = r"""(?:[^\s;&|"'\\]|"[^"]*"|'[^']*'|\\[^\r\n])"""
_OPTION: Final = rf"-{_PART}*"
_WITH_WORD: Final = (
    r"--?(?:terragrunt-)?(?:working-dir|config|source(?:-map)?|tf-?path|download-dir|parallelism|feature|filters?-file|filter"
    r"|log-(?:level|format|custom-format)|experiment|strict-control|auth-provider-cmd|(?:json-)?out-dir|units-that-include"
    r"|queue-(?:exclude-dir|include-dir|excludes-file)|iam-role|iam-assume-role(?:-[a-z-]+)?)"
)
"""Options of Terragrunt whose value may be the next word."""

_OF_TERRAGRUNT: Final = rf"(?:{_WITH_WORD}{_SPACE}{_PART}+|(?!{_WITH_WORD}{_SPACE}){_OPTION}|run|run-all|stack)"
_BEGIN: Final = r"""(?:^|[\s;&|(/"'`])"""
_TOOL: Final = (
    rf"{_BEGIN}(?:(?:terraform|tofu)(?:{_SPACE}{_OPTION}){{0,20}}"
    rf"|terragrunt(?:{_SPACE}{_OF_TERRAGRUNT}){{0,20}}){_SPACE}"
)
_CDK: Final = rf"{_BEGIN}cdkt[fn](?:{_SPACE}{_OPTION}){{0,20}}{_SPACE}"
"""The commands of CDK for Terraform and of its successor, CDK Terrain."""

_END: Final = r"""(?:$|[\s;&|)<>"'`]|\\\r?\n)"""
_RUNS: Final = re.compile(f"(?:{_TOOL}(?:plan|apply|destroy)|{_CDK}(?:diff|plan|deploy|apply|destroy)){_END}")
_PLANS: Final = re.compile(f"{_TOOL}plan{_END}")
_SHOWS: Final = re.compile(
    r"\b(?:show|apply)\b|(?<![^|]\|)(?<![^|]\| )\b(?:cat|head|tail|less|more|sed|awk|grep)\b|\btee\s[^;&|\n]*/dev/"
)
"""What prints a plan once more: the tool, `tee`, and programs that read a file, as those behind a pipe do not."""


def runs_a_plan(command: str) -> bool:
    """Return whether a command calls Terraform, OpenTofu or Terragrunt to plan, to apply or to destroy.

    The commands of CDK for Terraform and CDK Terrain call them too, and print their text in a column of its own, which
    cannot be read. The text of the command alone is read, so a script that calls them is not recognised.
    """
    return _RUNS.search(command) is not None


@lru_cache(maxsize=8)
def only_plans(command: str) -> bool:
    """Return whether a command makes plans and shows none that was made before, as `show`, `apply` and `cat` do.

    Like ``runs_a_plan`` it reads the text of the command alone.
    """
    return _PLANS.search(command) is not None and _SHOWS.search(command) is None
