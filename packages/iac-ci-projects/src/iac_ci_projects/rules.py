"""What finds projects: the rules of a configuration, without anything about what projects do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tool(StrEnum):
    """The program that plans and applies a project."""

    TERRAFORM = "terraform"
    OPENTOFU = "opentofu"
    TERRAGRUNT = "terragrunt"


@dataclass(frozen=True, slots=True)
class Rule:
    """Finds projects: the folders of files that the patterns ``find`` match, or one ``folder`` (``""``: the root)."""

    find: tuple[str, ...] = ()
    folder: str | None = None
    tool: Tool = Tool.TERRAFORM
