"""Finds what Terraform had begun and not ended, in the end of a log: pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeAlias

from iac_ci_plans.sentences import ADDRESS

_Open: TypeAlias = dict[str, dict[str, str]]
"""Verbs of the objects that are open, by their addresses and, for deposed ones, what stands after these."""

_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")
_OF: Final = rf"(?<!\S){ADDRESS.decode()}: "
"""An address at the beginning of a word alone: a long word is not read again from each of its characters."""

_BEGUN: Final = re.compile(_OF + r"(?P<still>Still )?(?P<verb>(?i:creating|modifying|destroying))\.\.\.", re.ASCII)
_ENDED: Final = re.compile(_OF + r"(?:Creation|Modifications|Destruction) complete after ", re.ASCII)
_DESTROYING: Final = "destroying"
_VERBS: Final = {"create": "creating", "update": "modifying", "delete": _DESTROYING}
_BEGIN_TYPES: Final = frozenset({"apply_start", "apply_progress"})


def open_operations(log: str) -> list[str]:
    """Return the operations as ``aws_instance.a (creating)``, the newest last.

    ``log`` is the end of an order's log, as people read it or as ``-json`` prints it. An operation that is open prints
    a line every ten seconds, so that the end of a log has it too.
    """
    found: _Open = {}
    for line in _ESCAPE.sub("", log).splitlines():
        if '"type":"apply_' in line:
            _record(line, found)
        elif begun := _BEGUN.search(line):
            verb = begun["verb"].lower()
            # The lines in between do not name the deposed object that is destroyed, only its address.
            is_of_deposed = begun["still"] and verb == _DESTROYING and any(found.get(begun["address"], ()))
            if not is_of_deposed:
                _begin(found, begun["address"], verb, begun["deposed"] or "")
        elif ended := _ENDED.search(line):
            _end(found, ended["address"], ended["deposed"] or "")
    return [f"{address}{deposed} ({verb})" for address, open_ in found.items() for deposed, verb in open_.items()]


def _begin(found: _Open, address: str, verb: str, deposed: str = "") -> None:
    found.setdefault(address, {})[deposed] = verb


def _end(found: _Open, address: str, deposed: str = "") -> None:
    open_ = found.get(address, {})
    open_.pop(deposed, None)
    if deposed and open_.get("") == _DESTROYING:
        # A line in between of this deposed object, whose beginning the log's end does not have.
        del open_[""]
    if not open_:
        found.pop(address, None)


def _record(line: str, found: _Open) -> None:
    try:
        record: Any = json.loads(line[line.index("{") :])
        hook = record["hook"]
        kind, address, action = str(record["type"]), str(hook["resource"]["addr"]), str(hook["action"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if kind in _BEGIN_TYPES:
        _begin(found, address, _VERBS.get(action, action))
    elif kind == "apply_complete":
        _end(found, address)


__all__ = ["open_operations"]
