"""Decides what ``/iac-ci unlock`` shows and frees: pure.

An entry that is freed by force may belong to commands that still run. So the engine first asks them to stop, and frees
an entry before their end only for a person whom the operator named, who has written ``force``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.groups import describe, find, holders, holds, waiting
from iac_ci_triggers.commands import FORCE, PREFIX, UNLOCK
from iac_ci_triggers.decisions import Free, Say, Wake
from iac_ci_triggers.notice import Paragraph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.models.group import Entry
    from iac_ci_triggers.commands import Command
    from iac_ci_triggers.decisions import Decision
    from iac_ci_triggers.facts import CommentFacts, Facts
    from iac_ci_triggers.known_groups import KnownGroup

RISK: Final = (
    "its commands may still run, and two applies may change the same infrastructure at once. Only Terraform's own lock"
    " of the state can keep them apart"
)

_MOST_LINES: Final = 30


def unlock(facts: Facts, comment: CommentFacts, command: Command) -> list[Decision]:
    """Return the decisions about the command: without a target it shows groups, with one it frees an entry."""
    if command.target is not None:
        return _free(facts, comment, command.target, is_forced=command.is_forced)
    runs = tuple(run.run_id for run in facts.ledger.runs)
    if not runs:
        return [_say("This pull request has no run.", _STATES)]
    lines = [line for known in facts.groups for line in _lines(known)]
    more = [f"{len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    text = "The engine checks this pull request's runs again and takes over a lock whose owner died."
    shown = " These concurrency groups are in use:" if lines else " They use no concurrency group."
    return [Wake(runs), _say(f"{text}{shown}", *lines[:_MOST_LINES], *more, *_how(facts), _STATES)]


_STATES: Final = "It does not remove locks of a Terraform state: use terraform force-unlock for those."


def _lines(known: KnownGroup) -> Iterator[str]:
    for entry in holders(known.group):
        yield f"{known.name}: {describe(entry)} holds it since {entry.entered_at:%Y-%m-%d %H:%M} UTC: {_target(entry)}"
    for number, entry in enumerate(waiting(known.group), start=1):
        yield f"{known.name}: number {number} in line is {describe(entry)}"


def _how(facts: Facts) -> list[str]:
    connection = facts.source.connection
    if not facts.groups or connection is None or not connection.unlockers:
        return []
    return [
        f"{PREFIX} {UNLOCK} RUN/ORDER asks an order to stop that holds a group, for people whom the operator named."
    ]


def _target(entry: Entry) -> str:
    return f"{entry.run_id}/{entry.order_num}"


def _free(facts: Facts, comment: CommentFacts, target: str, *, is_forced: bool) -> list[Decision]:
    connection, by = facts.source.connection, comment.author
    if connection is None or by.id not in connection.unlockers:
        text = f"{target} was not freed: the operator names the people who may, as unlockers of the connection, and"
        return [_say(f"{text} {by.login} (account {by.id}) is none of them.")]
    run_id, _, order_num = target.partition("/")
    for known in facts.groups:
        entry = find(known.group, run_id, order_num)
        if entry is None:
            continue
        if not holds(known.group, entry):
            return [_say(f"{target} was not freed: it waits. Cancel it with iac-ci cancel {run_id}.")]
        reason = f"{by.login} freed the concurrency group {known.name}"
        if not is_forced:
            text = f"{describe(entry)} is asked to stop. {known.name} is free when it has ended."
            force = f"{PREFIX} {UNLOCK} {target} {FORCE} frees it before: {RISK}."
            return [Free(known.group.key, None, run_id, order_num, reason), _say(text, force)]
        text = f"{known.name} is freed although {describe(entry)} has not ended: {RISK}."
        return [Free(known.group.key, entry.token, run_id, order_num, reason), _say(text)]
    return [_say(f"{target} holds none of the concurrency groups of this pull request's runs.")]


def _say(title: str, *lines: str) -> Say:
    return Say(Paragraph(title, tuple(lines)))
