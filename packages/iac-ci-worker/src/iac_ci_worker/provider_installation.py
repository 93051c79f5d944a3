"""Where Terraform and OpenTofu install providers from: a file in the home folder of each order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = ".terraformrc"
"""OpenTofu reads it too where there is no ``.tofurc`` (OpenTofu, "CLI Configuration")."""


def write_provider_installation(home: Path, mirror: str) -> None:
    """Make the operator's mirror the only place that providers come from; without a mirror nothing is written.

    The file is the order's own: what commands make of it is gone with the order. Terraform compares what it installs
    with the hashes of the lock file.
    """
    if mirror:
        text = f"provider_installation {{\n  network_mirror {{\n    url = {json.dumps(mirror)}\n  }}\n}}\n"
        (home / _NAME).write_text(text, "utf-8")
