"""The end of a run, in steps that may be repeated."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import AlreadyExists
from iac_ci_common.metrics import ENDED, Metric
from iac_ci_common.models.done import DoneMarker, DoneOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.errors import IacCiError
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_orchestrator.comments import Commenter
    from iac_ci_orchestrator.decide import FinishRun
    from iac_ci_orchestrator.drift import DriftReporter
    from iac_ci_orchestrator.ports import OrchestratorPorts


class Finisher:
    """Takes the steps after a run's row has its end: the done marker, the comment, the sealed packages."""

    def __init__(self, ports: OrchestratorPorts, commenter: Commenter, drift: DriftReporter) -> None:
        """Use these ports."""
        self._ports = ports
        self._commenter = commenter
        self._drift = drift

    def finish(self, finish: FinishRun, orders: Sequence[OrderRow]) -> IacCiError | None:
        """Take these steps for a run whose row has its end, so that readers of the marker also see it in the row.

        Return why the commit's status could not be set, None if it was.

        The marker is built from the rows only, so that a repetition after a crash writes the same bytes.
        """
        ports = self._ports
        run = finish.after
        if finish.before.status is not run.status:
            ports.metrics.record(metrics_of(run, orders), run_id=run.run_id, trace_id=run.trace_id)
        with contextlib.suppress(AlreadyExists):
            ports.done.create(
                keys.done(run.run_id),
                done_marker(run, orders).model_dump_json().encode(),
                content_type="application/json",
            )
        unset = self._commenter.finish(run, orders)
        self._drift.finish(run, orders)
        ports.objects.delete([keys.package(run.run_id, order.order_num) for order in orders])
        return unset


def metrics_of(run: RunRow, orders: Sequence[OrderRow]) -> dict[Metric, float]:
    """Return the metrics of a run that has ended."""
    begun = [order.started_at for order in orders if order.started_at is not None]
    until_first = {Metric.SECONDS_TO_FIRST_COMMAND: (min(begun) - run.accepted_at).total_seconds()} if begun else {}
    return {ENDED[run.status]: 1, **until_first}


def done_marker(run: RunRow, orders: Sequence[OrderRow]) -> DoneMarker:
    """Return the done marker of a run, built from its rows."""
    return DoneMarker(
        run_id=run.run_id,
        trace_id=run.trace_id,
        flow_id=run.flow_id,
        status=run.status,
        reason=run.reason,
        summary=dict(sorted(Counter(order.status for order in orders).items())),
        orders=tuple(
            DoneOrder(
                order_num=order.order_num,
                order_name=order.order_name,
                status=order.status,
                exit_code=order.exit_code,
                changed=order.changed,
                attempts=order.attempt,
                reason=order.reason,
                by=order.approval_answer.by if order.approval_answer is not None else None,
            )
            for order in orders
        ),
        accepted_at=run.accepted_at,
        finished_at=run.finished_at or run.deadline,
    )
