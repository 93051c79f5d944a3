"""The tools in this function's image, which is also that of the workers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Final

from iac_ci_common.models.tools import Tool
from iac_ci_common.tool_versions import Version

_SECONDS: Final = 30
_PRINTED: Final = re.compile(r"(?:Terraform|OpenTofu|terragrunt(?: version)?)\s+v?([0-9][0-9A-Za-z.+-]*)")


class OwnTools:
    """Finds the versions of tools on the commands' PATH, each once."""

    def __init__(self, path: str) -> None:
        """Look in the folders of ``path``."""
        self._path = path
        self._found: dict[Tool, Version | None] = {}

    def usual(self) -> Tool | None:
        """Return the tool that ``required_version`` is about: Terraform where the image has it, else OpenTofu."""
        return next((tool for tool in (Tool.TERRAFORM, Tool.OPENTOFU) if self._program(tool)), None)

    def version(self, tool: Tool) -> Version | None:
        """Return the version of a tool; None if there is none, or one that does not say its version."""
        if tool not in self._found:
            self._found[tool] = self._ask(tool)
        return self._found[tool]

    def _program(self, tool: Tool) -> str | None:
        return shutil.which(tool.program, path=self._path)

    def _ask(self, tool: Tool) -> Version | None:
        program = self._program(tool)
        if program is None:
            return None
        environment = {"PATH": self._path, "CHECKPOINT_DISABLE": "1", "HOME": os.environ.get("TMPDIR", "/tmp")}  # noqa: S108
        try:
            done = subprocess.run(  # noqa: S603 - a list, of our own making
                [program, "--version"],
                check=False,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                env=environment,
                stdin=subprocess.DEVNULL,
            )
            match = _PRINTED.search(done.stdout)
            return Version.parse(match[1]) if match is not None else None
        except (OSError, subprocess.TimeoutExpired, ValueError):
            return None
