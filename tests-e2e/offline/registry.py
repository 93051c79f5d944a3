"""Whether Terraform's registry can be used from here, asked once and within seconds."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Final

REGISTRY: Final = "https://registry.terraform.io"
_SECONDS: Final = 5


def answers(platform: str, version: str, registry: str = REGISTRY, seconds: float = _SECONDS) -> bool:
    """Return whether the registry names a download of hashicorp/aws, and the download's host answers too.

    A process of its own is asked and ended after ``seconds``: a name server that keeps silent cannot be interrupted
    otherwise.
    """
    question = [sys.executable, "-I", __file__, registry, platform, version]
    try:
        done = subprocess.run(question, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def ask(registry: str, platform: str, version: str) -> None:
    """Ask for the download of one version; raise ``OSError`` or ``ValueError`` where there is none."""
    system, _, architecture = platform.partition("_")
    address = f"{registry}/v1/providers/hashicorp/aws/{version}/download/{system}/{architecture}"
    with urllib.request.urlopen(address, timeout=_SECONDS) as answer:
        download = json.load(answer)["download_url"]
    with urllib.request.urlopen(urllib.request.Request(download, method="HEAD"), timeout=_SECONDS):
        pass


if __name__ == "__main__":
    try:
        ask(*sys.argv[1:])
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(str(error))
