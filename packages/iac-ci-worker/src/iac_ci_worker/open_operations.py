"""Finds what Terraform had begun and not ended, in the end of a log: pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS: Final = r"(?<![\w.\]-])((?:[\w.-]++|\[[^\]\n]{0,500}+\])++): "
"""An address at the beginning of a word alone: a long word is not read again from each of its characters."""

_BEGUN: Final = re.compile(
    _ADDRESS + r"(Creating|Modifying|Destroying|Still creating|Still modifying|Still destroying)\.\.\."
)
_ENDED: Final = re.compile(_ADDRESS + r"(?:Creation|Modifications|Destruction) complete after ")
_VERBS: Final = {"create": "creating", "update": "modifying", "delete": "destroying"}
_BEGIN_TYPES: Final = frozenset({"apply_start", "apply_progress"})


def open_operations(log: str) -> list[str]:
    """Return the operations as ``aws_instance.a (creating)``, the newest last.

    ``log`` is the end of an order's log, as people read it or as ``-json`` prints it. An operation that is open prints
    a line every ten seconds, so that the end of a log has it too.
    """
    found: dict[str, str] = {}
    for line in _ESCAPE.sub("", log).splitlines():
        if '"type":"apply_' in line:
            _record(line, found)
        elif begun := _BEGUN.search(line):
            found[begun[1]] = begun[2].removeprefix("Still ").lower()
        elif ended := _ENDED.search(line):
            found.pop(ended[1], None)
    return [f"{address} ({verb})" for address, verb in found.items()]


def _record(line: str, found: dict[str, str]) -> None:
    try:
        record: Any = json.loads(line[line.index("{") :])
        hook = record["hook"]
        address, action = str(hook["resource"]["addr"]), str(hook["action"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if record.get("type") in _BEGIN_TYPES:
        found[address] = _VERBS.get(action, action)
    elif record.get("type") == "apply_complete":
        found.pop(address, None)


__all__ = ["open_operations"]
