"""Finds in the end of a log why Terraform refused to apply a saved plan: pure."""

from __future__ import annotations

import json
import re
from typing import Final

from iac_ci_common.project_states import plan_again
from iac_ci_plans.lines import parts_of

_ERROR: Final = re.compile(r"(?:[│|]\s*)?Error: (?P<summary>.{1,500})")
_HEREDOC: Final = re.compile(r"[A-Za-z_][\w-]{0,300} = <<(?P<end>EOT_*)")

_REASONS: Final = (
    (r"Saved plan is stale", "the state has changed since it was made"),
    (r"Saved plan does not match the given state", "the state is not the one that it was made for"),
    (r"Failed to read plan from plan file", "this version of the tool cannot read it"),
    (r'Failed to load ".{1,300}" as a plan file', "this version of the tool cannot read it"),
    (r"Inconsistent dependency lock file", "the providers are not those that it was made with"),
    (r"Cannot apply incomplete plan", "it is not complete"),
    (r'The plan file describes changes to the ".{1,300}" workspace', "it was made for another workspace"),
)
_SUMMARIES: Final = tuple((re.compile(pattern), why) for pattern, why in _REASONS)
"""The first lines of the errors (Terraform and OpenTofu, `internal/backend/local` and `internal/command/apply.go`)."""


def stale_reason(log: bytes, planner: str | None) -> str | None:
    """Return why a saved plan is stale, from the errors at the end of a log; None if no error says that.

    ``planner`` is what makes the plan again.

    Only what a tool prints at the beginning of a line counts: neither the values of outputs, which stand there too, nor
    what programs print that it runs, which it prefixes.
    """
    ends: str | None = None
    found: str | None = None
    for line in log.split(b"\n"):
        _, raw = parts_of(line)
        text = raw.decode("utf-8", "replace")
        if ends is not None:
            ends = None if text.strip() == ends else ends
        elif heredoc := _HEREDOC.fullmatch(text.rstrip()):
            ends = heredoc["end"]
        elif (summary := _summary(text)) is not None:
            found = _why(summary) or found
    return f"the plan is stale: {found}; {plan_again(planner)}" if found is not None else None


def _summary(text: str) -> str | None:
    """Return the first line of an error, in the form for people or as a record of ``-json``."""
    if error := _ERROR.match(text):
        return error["summary"]
    if not text.startswith("{") or '"diagnostic"' not in text:
        return None
    try:
        diagnostic = json.loads(text)["diagnostic"]
        return str(diagnostic["summary"]) if diagnostic["severity"] == "error" else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _why(summary: str) -> str | None:
    return next((why for pattern, why in _SUMMARIES if pattern.match(summary)), None)


__all__ = ["stale_reason"]
