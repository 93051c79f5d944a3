"""Builds the announcements of a run from its rows: pure, so that each attempt builds the same."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, overload

from iac_ci_common.approvals import approvers, override_words
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.announcement import (
    MAX_SHORT_CHARS,
    MAX_TEXT_CHARS,
    AnnouncedEnd,
    AnnouncedProject,
    AnnouncedWait,
    Announcement,
    AnnouncementKind,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow, RunRow

_REPLACED: Final = str.maketrans(
    {
        '"': "'",
        "\\": "/",
        "`": "'",
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "&": "+",
        "*": "\N{ASTERISK OPERATOR}",
        "~": "\N{TILDE OPERATOR}",
        "[": "(",
        "]": ")",
        "@": "\N{FULLWIDTH COMMERCIAL AT}",
    }
)
"""What has a meaning in JSON strings, HTML, Slack's and other chats' messages, and what stands for it."""

_VERBS: Final = {"cancelled": "was cancelled"}


def waits_to_announce(orders: Sequence[OrderRow], announced: Collection[str]) -> list[OrderRow]:
    """Return the orders, answered or not, that have begun to wait for an approval and are not announced."""
    return [
        order
        for order in orders
        if order.approval is not None and order.order_deadline is not None and order.order_num not in announced
    ]


def wait_announcement(
    stack: str, run: RunRow, order: OrderRow, now: datetime, failed: Sequence[OrderRow] = ()
) -> Announcement:
    """Return the announcement that a run waits for the approval of an order; no row has the time of its beginning.

    ``failed`` are the orders that it would override.
    """
    who = approvers(order.approval) if order.approval is not None else ""
    until = f" until {order.order_deadline:%Y-%m-%d %H:%M} UTC" if order.order_deadline is not None else ""
    return _announcement(
        stack,
        run,
        AnnouncementKind.RUN_WAITS,
        order.order_num,
        f"{_subject(run)} waits for approval of {order.order_name}{override_words(failed)} by {who}{until}",
        at=now,
        wait=AnnouncedWait(
            order_num=order.order_num,
            order_name=order.order_name,
            approvers=_cut(who, MAX_TEXT_CHARS),
            until=order.order_deadline,
        ),
    )


def end_announcement(stack: str, run: RunRow, orders: Sequence[OrderRow]) -> Announcement:
    """Return the announcement that a run has ended."""
    status = run.status.value.replace("_", " ")
    finished_at = run.finished_at or run.deadline
    return _announcement(
        stack,
        run,
        AnnouncementKind.RUN_ENDED,
        RUN_ORDER_NUM,
        f"{_subject(run)} {_VERBS.get(status, status)}" + (f": {run.reason}" if run.reason else ""),
        at=finished_at,
        end=AnnouncedEnd(
            status=run.status,
            reason=_cut(run.reason, MAX_TEXT_CHARS),
            orders=dict(sorted(Counter(order.status for order in orders).items())),
            accepted_at=run.accepted_at,
            finished_at=finished_at,
        ),
    )


def drift_announcement(stack: str, run: RunRow, order: OrderRow, *, is_found: bool) -> Announcement | None:
    """Return the announcement that the drift of the project that an order planned was found, or is gone."""
    project = order.project
    if project is None:
        return None
    found = f"{project.name} differs from its configuration: {order.changes}"
    gone = f"the drift of {project.name} is gone"
    return _announcement(
        stack,
        run,
        AnnouncementKind.DRIFT_FOUND if is_found else AnnouncementKind.DRIFT_GONE,
        order.order_num,
        f"{_subject(run)}: {found if is_found else gone}",
        at=order.ended_at or run.accepted_at,
        project=AnnouncedProject(
            name=_cut(project.name, MAX_TEXT_CHARS), key=project.key, changes=order.changes if is_found else None
        ),
    )


def safe_line(text: str) -> str:
    """Return a text as one line without what has a meaning in JSON strings, HTML or chat messages."""
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    return " ".join(visible.translate(_REPLACED).replace("://", ":").split())


def _announcement(
    stack: str, run: RunRow, kind: AnnouncementKind, order_num: str, text: str, *, at: datetime, **part: Any
) -> Announcement:
    return Announcement(
        id=f"{run.run_id}:{order_num}:{kind.value}",
        kind=kind,
        text=_cut(safe_line(text), MAX_TEXT_CHARS - len(run.run_id) - 7) + f" (run {run.run_id})",
        stack=stack,
        run_id=run.run_id,
        trace_id=run.trace_id,
        at=at,
        job_name=_cut(run.job_name, MAX_SHORT_CHARS),
        repository=_cut(run.repository, MAX_TEXT_CHARS),
        branch=_cut(run.branch, MAX_SHORT_CHARS),
        pull_request=run.report.pull_request if run.report is not None else None,
        commit=_cut(run.commit_hash, MAX_SHORT_CHARS),
        actor=_cut(run.actor, MAX_SHORT_CHARS),
        **part,
    )


def _subject(run: RunRow) -> str:
    """Return what the run is of, in words: its job, and its pull request or repository."""
    job = f"job {run.job_name}" if run.job_name else f"a job of {run.username}"
    number = run.report.pull_request if run.report is not None else None
    where = f" of {run.repository}" if run.repository else ""
    return f"{job}{where}" + (f" for pull request {number}" if number is not None else "")


@overload
def _cut(text: str, limit: int) -> str: ...


@overload
def _cut(text: str | None, limit: int) -> str | None: ...


def _cut(text: str | None, limit: int) -> str | None:
    return text if text is None or len(text) <= limit else f"{text[: limit - 1]}…"


__all__ = ["drift_announcement", "end_announcement", "safe_line", "wait_announcement", "waits_to_announce"]
