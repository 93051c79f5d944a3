"""What a fork takes on to be as a program of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def become(arguments: Sequence[str], *, folder: str, environment: Mapping[str, str], streams: Sequence[int]) -> None:
    """Have these arguments, folder and variables, and copies of the descriptors ``streams`` as standard streams."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = list(arguments)
    tempfile.tempdir = None


def close_all_but(descriptors: Sequence[int]) -> None:
    """Close all descriptors but the standard streams and ``descriptors``, as a program starts; Linux only."""
    kept = {0, 1, 2, *descriptors}
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths
    for number in range(highest + 1):
        if number not in kept:
            os.closerange(number, number + 1)
