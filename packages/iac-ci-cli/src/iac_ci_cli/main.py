"""The application and its process, for programs that call them."""

from __future__ import annotations

from iac_ci_cli.application import app
from iac_ci_cli.process import main

__all__ = ["app", "main"]
