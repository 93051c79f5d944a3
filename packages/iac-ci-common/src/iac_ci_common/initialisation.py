"""Builds a function's parts while Lambda initialises it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_RUNTIME_VARIABLE: Final = "AWS_LAMBDA_RUNTIME_API"


def build_early(build: Callable[[], object]) -> None:
    """Call ``build`` in a Lambda function, and nowhere else. Handlers call this where they are imported.

    While a function initialises, it has a whole processor, and afterwards a share by its memory: at 512 MB less than a
    third (AWS Lambda Developer Guide, "Lambda execution environment lifecycle" and "Configure Lambda function memory").
    What fails here fails again in the handler, which answers or raises it.
    """
    if _RUNTIME_VARIABLE in os.environ:
        with contextlib.suppress(Exception):
            build()


__all__ = ["build_early"]
