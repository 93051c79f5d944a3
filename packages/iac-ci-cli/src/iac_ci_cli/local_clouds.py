"""Local clouds of this user that run now, and which one a command works on."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iac_ci_cli import streams
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.times import shown_time
from iac_ci_common.command_lines import command_line, stack_option

if TYPE_CHECKING:
    from collections.abc import Callable

_FIELDS: Final = frozenset({"account", "stack", "region", "endpoint", "access_key", "secret_key"})
_NOT_READ: Final = (None, None, None, None)
_NO_FILE: Final = (None, None, os.devnull, None)
_SETTINGS: Final = {
    "profile": _NOT_READ,
    "max_attempts": _NOT_READ,
    "retry_mode": _NOT_READ,
    "config_file": _NO_FILE,
    "credentials_file": _NO_FILE,
}
"""botocore's settings that it would read from the environment and from ~/.aws, without these sources."""


@dataclass(frozen=True, slots=True)
class ChosenCloud:
    """What a local cloud announces, whether it is the only one that could be meant, and when it was started."""

    state: dict[str, Any]
    is_only: bool
    description: str


def choose_local_cloud(
    stack: str, account: str | None = None, *, ask: Callable[[list[str]], int | None] | None = None
) -> ChosenCloud:
    """Return the one running local cloud with this stack.

    ``account`` chooses among several; without it ``ask``, which gets their descriptions and returns the index of one
    or None. Raises ``CommandFailed`` where there is none, and where several fit and none was chosen: a command never
    takes one of them by itself.
    """
    running = _announced()
    found = [state for state in running if state.get("stack") == stack and account in {None, state.get("account")}]
    if not found:
        which = f"the local cloud {account}" if account else "no local cloud"
        verb = "is not running" if account else "is running"
        listed = "".join(f"\n  --cloud {state['account']} --stack {state['stack']}" for state in running)
        start = f"Start one with `{command_line('local up', options=stack_option(stack))}` in another terminal."
        raise CommandFailed(
            f"{which} with a stack {stack} {verb}", hint=f"These are running:{listed}" if listed else start
        )
    if len(found) == 1:
        return ChosenCloud(found[0], is_only=account is None, description=_describe(found[0]))
    chosen = None if ask is None else ask([f"{state['account']}   {_describe(state)}" for state in found])
    if chosen is None:
        listed = "\n".join(f"  --cloud {state['account']}   {_describe(state)}" for state in found)
        raise CommandFailed(
            f"{len(found)} local clouds with a stack {stack} are running",
            exit_code=ExitCode.BAD_INPUT,
            hint=f"Name one of them:\n{listed}",
        )
    return ChosenCloud(found[chosen], is_only=False, description=_describe(found[chosen]))


@cache
def local_session() -> Any:
    """Return a boto3 session for local clouds: profiles, AWS files and proxies of this machine have no part in it."""
    import boto3
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session(dict(_SETTINGS))
    session.set_default_client_config(Config(proxies={}))
    return boto3.Session(botocore_session=session)


def has_rival(state: dict[str, Any]) -> bool:
    """Return whether another running local cloud has the same stack, so that ``--local`` alone names neither."""
    return any(
        other.get("stack") == state["stack"] and other.get("account") != state["account"] for other in _announced()
    )


def ask_for_one(descriptions: list[str]) -> int | None:
    """Ask on the terminal which of several to take; return its index, None if the answer is none of them."""
    lines = [f"  {number}  {description}\n" for number, description in enumerate(descriptions, 1)]
    streams.write_error(f"{len(descriptions)} local clouds are running:\n{''.join(lines)}Which one? ")
    answer = sys.stdin.readline().strip()
    return int(answer) - 1 if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(descriptions) else None


def can_ask() -> bool:
    """Return whether a person is there to answer: standard input and standard error are a terminal, outside CI.

    Python has no standard input where the process was started with a closed one, as some schedulers do.
    """
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")


def announcement_folder() -> Path:
    """Return the folder in which the local clouds of this user announce themselves; it may be missing.

    A variable that names no folder of this user counts as none: it stays where a session has ended, or where another
    user began it (XDG Base Directory Specification, "Environment variables").
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base) and os.access(base, os.W_OK | os.X_OK):  # noqa: PTH117
        return Path(base) / "iac-ci"
    return Path(tempfile.gettempdir()) / f"iac-ci-{os.getuid()}"


def _describe(state: dict[str, Any]) -> str:
    return f"started {shown_time(state['since'])} by process {state.get('pid')}"


def _announced() -> list[dict[str, Any]]:
    """Return what each announces, the oldest first, with the time of its start as ``since``."""
    folder = announcement_folder()
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
