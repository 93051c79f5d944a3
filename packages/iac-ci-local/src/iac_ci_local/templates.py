"""Reads ``terraform/deploy/stack/``, the files that Terraform and the local cloud share."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import IacCiError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER: Final = re.compile(r"\$\{([a-z_]+)\}")

STACK_FOLDER_VARIABLE: Final = "IAC_CI_STACK_FOLDER"
"""The environment variable with another folder of stack files."""


class StackFilesError(IacCiError):
    """A file of the stack is missing, or has an unknown placeholder."""


def stack_folder() -> Path:
    """Return the folder of the stack's files: the one in ``IAC_CI_STACK_FOLDER``, otherwise the package's own.

    In the source tree each file in ``stack_files`` links to ``terraform/deploy/stack``; a built package contains the
    files themselves.
    """
    named = os.environ.get(STACK_FOLDER_VARIABLE)
    return Path(named) if named else Path(__file__).with_name("stack_files")


def placeholders(text: str) -> frozenset[str]:
    """Return the names of all placeholders in ``text``."""
    return frozenset(_PLACEHOLDER.findall(text))


def render(text: str, values: Mapping[str, str]) -> Any:
    """Replace the placeholders of a template and return the JSON; raise ``StackFilesError`` for an unknown one.

    Each placeholder is inside a JSON string, so values are escaped for it. ``$.name`` of JSONPath stays as it is.
    """
    unknown = placeholders(text) - values.keys()
    if unknown:
        raise StackFilesError(f"unknown placeholders: {', '.join(sorted(unknown))}")
    filled = _PLACEHOLDER.sub(lambda match: json.dumps(values[match[1]])[1:-1], text)
    return json.loads(filled)


@dataclass(frozen=True, slots=True)
class StackFiles:
    """The stack's files; each is rendered when it is read."""

    folder: Path
    values: Mapping[str, str]

    def read(self, name: str) -> Any:
        """Return the rendered JSON of one file; raise ``StackFilesError`` if it is missing."""
        path = self.folder / name
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError as error:
            raise StackFilesError(f"{path} is missing; is {STACK_FOLDER_VARIABLE} correct?") from error
        return render(text, self.values)
