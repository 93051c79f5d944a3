"""Reads single numbers that only the Terraform files hold: defaults of variables and settings of resources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class NotFoundInTerraformError(ValueError):
    """A block or a setting is not where the diagram looks for it: correct ``boxes.py`` or ``foundation.py``."""


@dataclass(frozen=True, slots=True)
class Terraform:
    """The Terraform files of a checkout. Paths are relative to ``terraform/``."""

    root: Path

    def default(self, stage: str, variable: str) -> int:
        """Return the default of a number variable."""
        return self.number(f"{stage}/variables.tf", f'variable "{variable}"', "default")

    def number(self, path: str, block: str, setting: str) -> int:
        """Return a setting of a block, a number or a product of numbers such as ``14 * 24 * 3600``.

        The setting is the first one of that name within the block, at any depth.
        """
        found = re.search(rf"^\s+{setting}\s*=\s*(\d+(?: \* \d+)*)$", self._block(path, block), re.MULTILINE)
        if found is None:
            raise NotFoundInTerraformError(f"terraform/{path}: {block} has no number {setting}")
        return prod(int(factor) for factor in found[1].split(" * "))

    def alarms(self, functions: int) -> int:
        """Return how many alarms ``deploy/alarms.tf`` makes for so many functions."""
        text = self._text("deploy/alarms.tf")
        kinds = re.findall(
            r"^    \w+ = \{", text.split("alarms_by_function = {", 1)[-1].split("\n  }\n", 1)[0], re.MULTILINE
        )
        others = re.findall(r"^      [a-z-]+ = \{", text.split("  alarms = merge(", 1)[-1], re.MULTILINE)
        if not kinds or not others:
            raise NotFoundInTerraformError("terraform/deploy/alarms.tf: the two lists of alarms are not there")
        return len(kinds) * functions + len(others)

    def _block(self, path: str, block: str) -> str:
        found = re.search(rf"^{re.escape(block)} \{{\n(.*?)^\}}", self._text(path), re.MULTILINE | re.DOTALL)
        if found is None:
            raise NotFoundInTerraformError(f"terraform/{path} has no {block}")
        return found[1]

    def _text(self, path: str) -> str:
        return (self.root / "terraform" / path).read_text("utf-8")
