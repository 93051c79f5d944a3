"""Local clouds of this user that run now, and which one a command works on."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from iac_ci_cli.errors import CommandFailed, ExitCode

_FIELDS: Final = frozenset({"account", "stack", "region", "endpoint", "access_key", "secret_key"})
_START: Final = "Start one with `iac-ci local up` in another terminal."


def choose_local_cloud(stack: str, account: str | None = None) -> dict[str, Any]:
    """Return what the one running local cloud with this stack announces.

    ``account`` chooses among several. Raises ``CommandFailed`` where there is none, and where several fit: a command
    never takes one of them by itself.
    """
    running = _announced()
    found = [state for state in running if state.get("stack") == stack and account in {None, state.get("account")}]
    if not found:
        which = f"the local cloud {account}" if account else "no local cloud"
        verb = "is not running" if account else "is running"
        listed = "".join(f"\n  --cloud {state['account']} --stack {state['stack']}" for state in running)
        raise CommandFailed(
            f"{which} with a stack {stack} {verb}", hint=f"These are running:{listed}" if listed else _START
        )
    if len(found) > 1:
        listed = "\n".join(f"  --cloud {state['account']}   {_describe(state)}" for state in found)
        raise CommandFailed(
            f"{len(found)} local clouds with a stack {stack} are running",
            exit_code=ExitCode.BAD_INPUT,
            hint=f"Name one of them:\n{listed}",
        )
    return found[0]


def _describe(state: dict[str, Any]) -> str:
    return f"started {state['since']:%Y-%m-%d %H:%M:%S} UTC by process {state.get('pid')}"


def _announced() -> list[dict[str, Any]]:
    """Return what each announces, the oldest first, with the time of its start as ``since``."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "iac-ci" if base else Path(tempfile.gettempdir()) / f"iac-ci-{os.getuid()}"
    found: list[dict[str, Any]] = []
    if not folder.is_dir() or folder.stat().st_uid != os.getuid():
        return []
    for link in folder.glob("*.json"):
        try:
            state = json.loads(link.read_text("utf-8"))
            since = datetime.fromtimestamp(link.stat().st_mtime, UTC)
        except (OSError, ValueError):
            continue  # its cloud is gone
        if isinstance(state, dict) and state.keys() >= _FIELDS:
            found.append({**state, "since": since})
    return sorted(found, key=lambda state: (state["since"], str(state.get("account"))))
