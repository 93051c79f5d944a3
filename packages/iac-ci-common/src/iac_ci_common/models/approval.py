"""Approvals as the engine stores them: what an order waits for, and the answer that ended the wait."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from iac_ci_common.models.base import Moment, OrderNum, StoredShape

THROUGH_COMMENT: Final = "comment"
THROUGH_API: Final = "api"


class StoredApproval(StoredShape):
    """An order's ``approval``, as it was at acceptance; ``overrides`` are numbers of orders."""

    by: tuple[str, ...] = ()
    message: str | None = None
    expires: int | None = None
    api: bool = False
    self_approval: bool = False
    overrides: tuple[OrderNum, ...] = ()


class ApprovalAnswer(StoredShape):
    """An answer to an order that waits for an approval; the first one counts.

    ``by`` and ``account`` are the login and the permanent id of the person, None if no person is known: a signed call
    was made, or nobody answered in time. ``reference`` identifies the request, so that its repetition is recognised.
    """

    approved: bool
    through: str = Field(description="`comment` or `api`.")
    by: str | None = None
    account: str | None = None
    commit: str | None = Field(None, description="Commit of the run, None if its code is from no repository.")
    reference: str | None = None
    at: Moment
