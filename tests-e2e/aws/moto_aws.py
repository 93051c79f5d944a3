"""The second emulator: the local cloud on moto's server in place of MiniStack."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from iac_ci_local.ministack import LocalAws


class MotoAws(LocalAws):
    """An AWS on moto's server; CodeBuild is the local cloud's own, as with MiniStack.

    It enforces no policies. Everything else that the engine asks for is there.
    """

    def _children(self, port: int, builds: int) -> dict[str, Any]:
        children = super()._children(port, builds)
        server = children["children"][0]
        server["command"] = [sys.executable, "-P", str(Path(__file__).with_name("moto_server.py"))]
        server["environment"] |= {"MOTO_ACCOUNT_ID": self.account}
        return children
