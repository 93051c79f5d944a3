"""Compares the lock file of providers that an order used with the one of its code: pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LOCK_NAME: Final = ".terraform.lock.hcl"
"""Terraform and OpenTofu keep versions and hashes of providers in it (Terraform, "Dependency Lock File")."""

MAX_LOCK_BYTES: Final = 4 * 1024 * 1024

_COMMENT: Final = re.compile(r"^\s*(?:#|//).*$", re.MULTILINE)
_BLOCK: Final = re.compile(r'\s*provider\s+"(?P<name>[^"\\\s]{1,500})"\s*\{(?P<body>[^{}]*)\}\s*')
_MEMBER: Final = re.compile(
    r'\s*(?:(?P<name>version|constraints)\s*=\s*"(?P<value>[^"\\\n]*)"|hashes\s*=\s*\[(?P<hashes>[^\[\]\\]*)\])\s*'
)
_HASH: Final = re.compile(r'"([^"\s]+)"')
_HASHES: Final = re.compile(r'\s*(?:"[^"\s]+"\s*(?:,\s*|$))*')


class _Locked(NamedTuple):
    version: str
    hashes: frozenset[str]


def changed_providers(committed: bytes, used: bytes | None) -> str | None:
    """Return what the lock file in use changes of the committed one, in plain words; None if it changes nothing.

    Hashes of the same versions may be added: `init` adds those of the platform on which it runs.
    """
    if used == committed:
        return None
    if used is None:
        return "the commands removed the lock file"
    before, after = _providers(committed), _providers(used)
    if before is None or after is None:
        return "the lock file is not the committed one"
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None:
            return f"{name:.100} is not in the committed lock file"
        if new is None:
            return f"{name:.100} is missing from the lock file that was used"
        if old.version != new.version:
            return f"{name:.100} has the version {new.version:.40}, and {old.version:.40} in the committed lock file"
        if not old.hashes <= new.hashes:
            return f"{name:.100} has other hashes than in the committed lock file"
    return None


def _providers(lock: bytes) -> dict[str, _Locked] | None:
    """Return the providers of a lock file in the form in which the tools write it, None for any other form."""
    found: dict[str, _Locked] = {}
    text = _COMMENT.sub("", lock.decode("utf-8", "replace")).strip()
    position = 0
    while position < len(text):
        block = _BLOCK.match(text, position)
        locked = _locked(block["body"]) if block is not None else None
        if block is None or locked is None or block["name"] in found:
            return None
        found[block["name"]] = locked
        position = block.end()
    return found


def _locked(body: str) -> _Locked | None:
    """Return what a provider's block says; None for a member that is unknown or stands there twice."""
    members: dict[str, str] = {}
    position = 0
    while position < len(body.rstrip()):
        member = _MEMBER.match(body, position)
        name = (member["name"] or "hashes") if member is not None else ""
        if member is None or name in members:
            return None
        members[name] = member["hashes"] if name == "hashes" else member["value"]
        position = member.end()
    hashes = members.get("hashes", "")
    if not members.get("version") or _HASHES.fullmatch(hashes) is None:
        return None
    return _Locked(members["version"], frozenset(_HASH.findall(hashes)))


__all__ = ["LOCK_NAME", "MAX_LOCK_BYTES", "changed_providers"]
