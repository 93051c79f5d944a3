"""Finds the few lines of the output that say something about a plan, at the speed of a pipe."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

HEADINGS: Final = {b" will be created": "create", b" will be updated in-place": "update"}
DONE: Final = {
    b": Creation complete after ": "add",
    b": Modifications complete after ": "change",
    b": Destruction complete after ": "destroy",
}
"""What is said of most resources, and what is counted then."""

FREQUENT: Final = (*HEADINGS.items(), *DONE.items())

WORDS: Final = (
    *(word for word, _ in FREQUENT),
    b"$ ",
    b"Plan:",
    b"omplete!",
    b"No changes",
    b"No current changes",
    b"nfrastructure matches",
    b"Outputs:",
    b"these new output values",
    b"Import complete",
    b" will be read",
    b" will be replaced",
    b" will be destroyed",
    b" will be imported",
    b" will be invoked",
    b" will be removed from",
    b" will be \x1b",
    b"will be \\u001b",
    b"must be ",
    b"will no longer be ",
    b" has moved to ",
    b" has changed",
    b" has been deleted",
    b" was deferred",
    b"(moved from ",
    b"the following actions",
    b"Planning failed.",
    b"refresh-only plan",
    b"This is a partial plan",
    b"aved the plan to:",
    b"plan was saved to:",
    b"the -out option",
    b'"-out" parameter',
    b"Warning:",
    b" = <<EOT",
    b"change_summary",
    b"planned_change",
    b"planned_values",
    b"resource_changes",
    b"apply_complete",
    b"resource_drift",
    b"planned_action_invocation",
    b'"format_version"',
    b'"applyable"',
    b'"action_invocations"',
)
"""One of these stands in each line that is read."""


@cache
def _database() -> Any:
    import hyperscan

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    count = len(WORDS)
    database.compile(expressions=list(WORDS), ids=list(range(count)), elements=count, flags=[0] * count, literal=True)
    return database


def find_words(data: bytes) -> list[tuple[int, int]]:
    """Return where words end in ``data``, ascending, and their index. `re` would take longer than all the masking."""
    found: list[tuple[int, int]] = []
    _database().scan(data, match_event_handler=lambda number, _start, end, *_: found.append((end, number)))
    return found
