"""Removes accounts and roles from reasons that AWS wrote, before people who may read a pull request see them. Pure.

Events, rows and logs of the stack keep the whole text. Output of commands is not changed: they decide what they print.
"""

from __future__ import annotations

import re
from typing import Final

_HIDDEN: Final = "…"

_IDENTITY: Final = re.compile(
    r"\barn:aws[a-z0-9-]*:(?:iam|sts):[a-z0-9-]*:[0-9]*:"
    r"(?:[^\s\"'`,;()<>\[\]]|,(?=[\w+=,.@-]))+"
)
"""ARNs of roles, users and sessions (AWS IAM User Guide, "Amazon Resource Names"). A name may contain commas."""

_UNIQUE_ID: Final = re.compile(
    r"\b(?:AROA|AIDA|AGPA|AIPA|ANPA|ASIA|AKIA|ASCA|APKA|ABIA|ACCA)[A-Z0-9]{12,}"
    r"(?::[\w+=,.@-]+)?"
)
"""Ids of roles, users and keys, with the session's name (AWS IAM User Guide, "IAM identifiers")."""

_ACCOUNT: Final = re.compile(r"(?<![0-9A-Za-z])(?<!T[0-9]{6}-)(?<!commit )[0-9]{12}(?![0-9A-Za-z])")
"""An account: twelve digits, which are not the end of a run id or the beginning of a commit."""


def without_identities(text: str) -> str:
    """Return the text with an ellipsis for each account, and for each role, user and session."""
    text = _UNIQUE_ID.sub(_HIDDEN, _IDENTITY.sub(_HIDDEN, text))
    return _ACCOUNT.sub(_HIDDEN, text)
