"""Reads ``terraform/deploy/stack/``: the files that Terraform and the local cloud share."""

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
"""Names another folder of stack files than the package's own."""


class StackFilesError(IacCiError):
    """The stack's files are not where they are looked for, or are not what they should be."""


def stack_folder() -> Path:
    """Find the stack's files: where the environment says, else those that this package carries.

    In the source tree each file in ``stack_files`` is a link to the one in ``terraform/deploy/stack``; building the
    package puts the files themselves in.
    """
    named = os.environ.get(STACK_FOLDER_VARIABLE)
    return Path(named) if named else Path(__file__).with_name("stack_files")


def placeholders(text: str) -> frozenset[str]:
    """Return the names of all placeholders in ``text``."""
    return frozenset(_PLACEHOLDER.findall(text))


def render(text: str, values: Mapping[str, str]) -> Any:
    """Fill the placeholders of a template and decode the JSON; raise ``StackFilesError`` for an unknown placeholder.

    Values are escaped for the JSON string that each placeholder stands in. ``$.name`` of JSONPath is left alone.
    """
    unknown = placeholders(text) - values.keys()
    if unknown:
        raise StackFilesError(f"no value is known for the placeholders {', '.join(sorted(unknown))}")
    filled = _PLACEHOLDER.sub(lambda match: json.dumps(values[match[1]])[1:-1], text)
    return json.loads(filled)


@dataclass(frozen=True, slots=True)
class StackFiles:
    """The stack's files, each rendered when asked for."""

    folder: Path
    values: Mapping[str, str]

    def read(self, name: str) -> Any:
        """Read and render one file, by its path inside the folder."""
        path = self.folder / name
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError as error:
            raise StackFilesError(f"{path} is missing") from error
        return render(text, self.values)
