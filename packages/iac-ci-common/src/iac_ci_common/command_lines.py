"""Command lines of ``iac-ci`` in hints: everywhere the same, with the options that reach the stack. Pure."""

from __future__ import annotations

from typing import Final

DEFAULT_STACK: Final = "iac-ci"
"""The stack that commands take if none is named."""


def stack_option(stack: str) -> str:
    """Return the option that names a stack, with a space in front; empty for the default."""
    return "" if stack == DEFAULT_STACK else f" --stack {stack}"


def command_line(name: str, *words: str, options: str = "") -> str:
    """Return a command line of ``iac-ci``; ``options`` name the stack, each with a space in front."""
    return " ".join(["iac-ci", name, *words]) + options


__all__ = ["DEFAULT_STACK", "command_line", "stack_option"]
