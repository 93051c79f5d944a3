"""Answers orders that wait for an approval, by signed requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from iac_ci_common import signature
from iac_ci_common.approvals import answer_result, not_answerable
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.draft import REMOVE, read_partially
from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.job_validation.json_body import parse_body
from iac_ci_common.job_validation.problem_paths import problem_path
from iac_ci_common.kept_answers import keep_first
from iac_ci_common.models.approval import THROUGH_API, ApprovalAnswer
from iac_ci_common.models.approval_request import Answered, AnsweredOrder, ApprovalRequest
from iac_ci_init.http import NotAnswered

if TYPE_CHECKING:
    from iac_ci_common.draft import Location
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.ports import Clock, Objects, Runs, Secrets
    from iac_ci_common.request import Request

_BEGINS: Final = re.compile(rb'\s*\{\s*"approval"\s*:')


def is_approval(request: Request) -> bool:
    """Return whether a request answers an order: its body begins with the field ``approval``, which no job has."""
    return _BEGINS.match(request.body) is not None


class ApprovalIntake:
    """Answers orders. The first answer counts; the same request again changes nothing."""

    def __init__(
        self, clock: Clock, runs: Runs, objects: Objects, secrets: Secrets, webhook_secrets: list[str]
    ) -> None:
        """Use these ports; ``webhook_secrets`` are the locations of the secrets that may sign."""
        self._clock = clock
        self._runs = runs
        self._objects = objects
        self._secrets = SharedSecrets(secrets)
        self._webhook_secrets = webhook_secrets

    def answer(self, request: Request) -> str:
        """Answer the order and return the JSON of the answer.

        Raises ``SignatureRefused``, ``InputProblems``, or ``NotAnswered`` with the reason; then nothing has changed.
        """
        now = self._clock.now()
        secrets = self._secrets.values(self._webhook_secrets, now)
        digest = signature.verify(request.header(signature.HEADER), request.body, secrets, now)
        wanted = _read(request.body)
        rows = self._runs.read(wanted.run_id)
        if rows.run is None:
            raise NotAnswered(f"there is no run {wanted.run_id}, or it is being prepared; ask again in a moment")
        # An order may have the number of another one as its name.
        named = [row for row in rows.orders if row.order_name == wanted.order]
        order = next(iter(named or [row for row in rows.orders if row.order_num == wanted.order]), None)
        if order is None:
            raise NotAnswered(f"run {wanted.run_id} has no order {wanted.order}")
        if order.approval_answer is None or order.approval_answer.reference != digest:
            by_num = {row.order_num: row for row in rows.orders}
            why = not_answerable(rows.run, order, by_num, now) or _not_by_request(rows.run, order, wanted)
            if why is not None:
                raise NotAnswered(why)
        given = ApprovalAnswer(
            approved=wanted.answer == "approve",
            through=THROUGH_API,
            commit=rows.run.commit_hash,
            reference=digest,
            at=now,
        )
        counts = keep_first(self._objects, answer_result(order, given))
        if counts.answer is None or counts.answer.reference != digest:
            raise NotAnswered(f"{order.order_name} has an answer already: {counts.reason}")
        return Answered(
            run_id=order.run_id,
            order_num=order.order_num,
            order_name=order.order_name,
            status=counts.status.value,
            reason=counts.reason or "",
        ).model_dump_json()


def _not_by_request(run: RunRow, order: OrderRow, wanted: AnsweredOrder) -> str | None:
    if order.approval is not None and not order.approval.api:
        return f"{order.order_name} is answered in a comment on the pull request only; its approval has no api: true"
    if wanted.commit_hash != run.commit_hash:
        has = f"is for commit {run.commit_hash}" if run.commit_hash is not None else "has no commit"
        return f"run {run.run_id} {has}; send that as commit_hash, if it is what was reviewed"
    return None


def _removed(location: Location) -> object:  # noqa: ARG001 - called for each location with a problem
    return REMOVE


def _read(body: bytes) -> AnsweredOrder:
    content, problems = parse_body(body)
    draft = read_partially(ApprovalRequest, content, _removed)
    found = [*problems, *(Problem(problem_path(location), message) for location, message in draft.findings)]
    if found or draft.value is None:
        raise InputProblems(found)
    return draft.value.approval
