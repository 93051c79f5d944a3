"""The DynamoDB tables orders and order_events."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from iac_ci_common.aws import pages, transactions
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import item, model
from iac_ci_common.errors import ConditionFailed, NotFound
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.models.event import Event
from iac_ci_common.models.rows import OrderRow, RunRow
from iac_ci_common.ports import RunRows, Transition
from iac_ci_common.states import RUN_TERMINAL, TERMINAL, OrderState
from iac_ci_common.transitions import check_transition

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

_BY_NAME = "order_name-epoch"
_IS_NEW = "attribute_not_exists(run_id)"


class DynamoRuns:
    """Rows and events of runs."""

    def __init__(self, client: Any, orders_table: str, events_table: str) -> None:
        """Use a DynamoDB client and the names of both tables."""
        self._client = client
        self._orders = orders_table
        self._events = events_table

    def read(self, run_id: str) -> RunRows:
        """Return a run's rows, by one strongly consistent query per megabyte."""
        with aws_errors(f"reading run {run_id}"):
            found = pages.query(
                self._client,
                TableName=self._orders,
                KeyConditionExpression="run_id = :run",
                ExpressionAttributeValues={":run": {"S": run_id}},
                ConsistentRead=True,
            )
            return _run_rows(list(found))

    def read_some(self, run_id: str, order_nums: Collection[str]) -> RunRows:
        """Return the rows with these numbers, by one strongly consistent call."""
        asked = {"Keys": [_key(run_id, num) for num in sorted(order_nums)], "ConsistentRead": True}
        with aws_errors(f"reading {len(order_nums)} rows of run {run_id}"):
            answer = self._client.batch_get_item(RequestItems={self._orders: asked})
        # They come in any sequence. What the table had no capacity for is left out.
        rows = answer["Responses"].get(self._orders, [])
        return _run_rows(sorted(rows, key=lambda row: str(row["order_num"]["S"])))

    def find_run(self, run_id: str) -> RunRow | None:
        """Return the run's own row by one consistent read."""
        row = self._get(run_id, RUN_ORDER_NUM)
        return model(RunRow, row) if row is not None else None

    def find_order(self, run_id: str, order_num: str) -> OrderRow | None:
        """Return one order's row by one consistent read."""
        row = self._get(run_id, order_num)
        return model(OrderRow, row) if row is not None else None

    def next_watchdog(self, run_id: str, ended: int) -> int:
        """Write the next number if the row still has ``ended``; return the number that counts."""
        # A row of a version before has no number: its watchdog is the first.
        still_counts = "watchdog = :ended" if ended > 1 else "(watchdog = :ended OR attribute_not_exists(watchdog))"
        try:
            with aws_errors(f"replacing the watchdog of {run_id}"):
                self._client.update_item(
                    TableName=self._orders,
                    Key=_key(run_id, RUN_ORDER_NUM),
                    UpdateExpression="SET watchdog = :next",
                    ConditionExpression=f"attribute_exists(run_id) AND {still_counts}",
                    ExpressionAttributeValues={":ended": {"N": str(ended)}, ":next": {"N": str(ended + 1)}},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ConditionFailed as error:
            refusal: Any = getattr(error.__cause__, "response", {})
            return model(RunRow, refusal["Item"]).watchdog if "Item" in refusal else ended + 1
        return ended + 1

    def insert(self, run: RunRow, orders: Sequence[OrderRow], events: Sequence[Event]) -> bool:
        """Insert the rows that do not exist yet, in one call or a hundred in each, the run's row last."""
        # Each row has a condition: a second preparation that runs late must not reset rows that have changed since.
        rows = [[self._put_new(order)] for order in orders]
        order_events = [[self._put_event(event)] for event in events if event.order_num != RUN_ORDER_NUM]
        commit = [self._put_new(run), *(self._put_event(event) for event in events if event.order_num == RUN_ORDER_NUM)]
        whole = [*chain.from_iterable([*rows, *order_events]), *commit]
        if len(whole) <= transactions.MAX_ITEMS and not transactions.write(self._client, [whole]):
            return True
        # The run has more rows, or another attempt has written some of them.
        refused = transactions.write(self._client, [*rows, *order_events])
        # An attempt that failed the preparation and then died leaves rows without digests, whose commands would run in
        # an empty folder. Digests are only added, so the attempt that commits the run finds its own or another's.
        prepared = [orders[i] for i in refused if i < len(rows) and orders[i].package_sha256 is not None]
        transactions.write(self._client, [[self._add_digests(order)] for order in prepared])
        # The run's row comes after all others, also if they need several calls, so that its presence means that all
        # exist. Its events are written with it, so that only the attempt that commits the run writes them.
        return not transactions.write(self._client, [commit])

    def apply(
        self, transitions: Sequence[Transition], *, whole: bool = False, unless_cancelled: bool = False
    ) -> tuple[Transition, ...]:
        """Apply the transitions whose row is still as planned, with ``whole`` until one is not; return the others."""
        groups = self.writes(transitions)
        condition = self.not_cancelled(transitions[0].before.run_id) if unless_cancelled and transitions else None
        refused = transactions.write(self._client, groups, condition=condition, whole=whole)
        return tuple(transitions[index] for index in refused)

    def writes(self, transitions: Sequence[Transition]) -> list[transactions.Group]:
        """Return the writes of each transition, for a transaction; raise ``IllegalTransition`` as ``apply`` does."""
        for transition in transitions:
            check_transition(transition)
        return [
            [self._update(transition), *([self._put_event(transition.event)] if transition.event is not None else [])]
            for transition in transitions
        ]

    def not_cancelled(self, run_id: str) -> dict[str, Any]:
        """Return the condition that a run has a row and is not cancelled, for a transaction."""
        return {
            "ConditionCheck": {
                "TableName": self._orders,
                "Key": _key(run_id, RUN_ORDER_NUM),
                "ConditionExpression": "attribute_exists(run_id) AND attribute_not_exists(cancel_reason)",
            }
        }

    def record(self, events: Sequence[Event]) -> None:
        """Write events that belong to no transition."""
        transactions.write(self._client, [[self._put_event(event)] for event in events])

    def events(self, trace_id: str) -> list[Event]:
        """Return a run's events in the order of time."""
        rows: list[Event] = []
        with aws_errors(f"reading events of {trace_id}"):
            found = pages.query(
                self._client,
                TableName=self._events,
                KeyConditionExpression="trace_id = :trace",
                ExpressionAttributeValues={":trace": {"S": trace_id}},
                ConsistentRead=True,
            )
            rows += [model(Event, row) for row in found]
        return sorted(rows, key=lambda event: (event.epoch_ms, event.sort))

    def events_named(self, order_name: str, since: datetime) -> list[Event]:
        """Return the events of this name since a moment, by the index, the newest first."""
        rows: list[Event] = []
        with aws_errors(f"reading events {order_name}"):
            found = pages.query(
                self._client,
                TableName=self._events,
                IndexName=_BY_NAME,
                KeyConditionExpression="order_name = :name AND epoch_ms >= :since",
                ExpressionAttributeValues={
                    ":name": {"S": order_name},
                    ":since": {"N": str(int(since.timestamp() * 1000))},
                },
                ScanIndexForward=False,
            )
            rows += [model(Event, row) for row in found]
        return rows

    def request_cancel(self, run_id: str, reason: str) -> None:
        """Set ``cancel_reason`` on a run that has no other and has not ended."""
        # botocore repeats a call whose answer was lost; then the run already has this reason.
        no_other = "(attribute_not_exists(cancel_reason) OR cancel_reason = :reason)"
        self._request(run_id, "SET cancel_reason = :reason", {":reason": {"S": reason}}, f" AND {no_other}")

    def follow(self, run_id: str, until: datetime, *, output: bool = True) -> None:
        """Set ``followed_until``, without ``output`` ``waited_until``, on a run that has not ended."""
        field = "followed_until" if output else "waited_until"
        self._request(run_id, f"SET {field} = :until", {":until": {"S": until.isoformat()}})

    def request_stop(self, run_id: str, reason: str, *, order_num: str | None = None, soon: bool = False) -> None:
        """Set ``stop_reason`` on a run or an order that has not ended; the first reason stays."""
        expression = "SET stop_reason = if_not_exists(stop_reason, :reason)"
        values: dict[str, Any] = {":reason": {"S": reason}}
        if soon:
            expression += ", stop_soon = :soon"
            values[":soon"] = {"BOOL": True}
        self._request(run_id, expression, values, order_num=order_num or RUN_ORDER_NUM)

    def _request(
        self,
        run_id: str,
        expression: str,
        values: dict[str, Any],
        condition: str = "",
        *,
        order_num: str = RUN_ORDER_NUM,
    ) -> None:
        states = sorted({state.value for state in (RUN_TERMINAL if order_num == RUN_ORDER_NUM else TERMINAL)})
        ended = {f":ended{index}": {"S": state} for index, state in enumerate(states)}
        not_ended = f"NOT (#status IN ({', '.join(ended)}))"
        try:
            with aws_errors(f"changing run {run_id}"):
                self._client.update_item(
                    TableName=self._orders,
                    Key=_key(run_id, order_num),
                    UpdateExpression=expression,
                    ConditionExpression=f"attribute_exists(run_id) AND {not_ended}{condition}",
                    ExpressionAttributeNames={"#status": "status"},
                    ExpressionAttributeValues={**values, **ended},
                )
        except ConditionFailed as error:
            if self._get(run_id, order_num) is None:
                raise NotFound(f"run {run_id} or its order does not exist", run_id=run_id) from error
            raise

    def _get(self, run_id: str, order_num: str) -> dict[str, Any] | None:
        with aws_errors(f"reading the row {order_num} of run {run_id}"):
            answer = self._client.get_item(TableName=self._orders, Key=_key(run_id, order_num), ConsistentRead=True)
        row: dict[str, Any] | None = answer.get("Item")
        return row

    def _put_new(self, row: OrderRow | RunRow) -> dict[str, Any]:
        return {"Put": {"TableName": self._orders, "Item": item(row), "ConditionExpression": _IS_NEW}}

    def _add_digests(self, order: OrderRow) -> dict[str, Any]:
        digests = {name: getattr(order, name) for name in ("package_sha256", "code_sha256")}
        known = {name: digest for name, digest in digests.items() if digest is not None}
        has_none = "attribute_not_exists(package_sha256) AND attribute_not_exists(code_sha256)"
        not_begun = "#status = :queued"
        return {
            "Update": {
                "TableName": self._orders,
                "Key": {"run_id": {"S": order.run_id}, "order_num": {"S": order.order_num}},
                "UpdateExpression": "SET " + ", ".join(f"{name} = :{name}" for name in known),
                "ConditionExpression": f"{has_none} AND {not_begun}",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {
                    **{f":{name}": {"S": digest} for name, digest in known.items()},
                    ":queued": {"S": OrderState.QUEUED.value},
                },
            }
        }

    def _put_event(self, event: Event) -> dict[str, Any]:
        listed = {"job_day": event.job_day} if event.job_day is not None else {}
        row = item(event, sort_key=event.sort, epoch_ms=event.epoch_ms, **listed)
        return {"Put": {"TableName": self._events, "Item": row}}

    def _update(self, transition: Transition) -> dict[str, Any]:
        """Write the changed attributes, on condition that the row is as ``holds`` describes it."""
        before, after = item(transition.before), item(transition.after)
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        removed = sorted(set(before) - set(after))
        names = {f"#{name}": name for name in [*changed, *removed, "status"]}
        values = {f":{name}": value for name, value in changed.items()}
        same_status = "#status = :before_status"
        values[":before_status"] = before["status"]
        condition = same_status
        if isinstance(transition.before, OrderRow):
            names["#dispatched_at"] = "dispatched_at"
            if "dispatched_at" in before:
                values[":before_dispatched_at"] = before["dispatched_at"]
                same_dispatch = "#dispatched_at = :before_dispatched_at"
            else:
                same_dispatch = "attribute_not_exists(#dispatched_at)"
            condition = f"{same_status} AND {same_dispatch}"
            if transition.before.status is OrderState.QUEUED:
                names["#waiting_for"] = "waiting_for"
                if "waiting_for" in before:
                    values[":before_waiting_for"] = before["waiting_for"]
                    condition += " AND #waiting_for = :before_waiting_for"
                else:
                    condition += " AND attribute_not_exists(#waiting_for)"
                names["#handed_over"] = "handed_over"
                values[":before_handed_over"] = before["handed_over"]
                # The row of a version before has no such number.
                is_first = "" if transition.before.handed_over else "attribute_not_exists(#handed_over) OR "
                condition += f" AND ({is_first}#handed_over = :before_handed_over)"
            if transition.before.attempts > 1:
                # The queued orders of two attempts differ in nothing else.
                names["#attempt"] = "attempt"
                values[":before_attempt"] = before["attempt"]
                condition += " AND #attempt = :before_attempt"
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in changed) if changed else ""
        if removed:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in removed)
        return {
            "Update": {
                "TableName": self._orders,
                "Key": {"run_id": before["run_id"], "order_num": before["order_num"]},
                "UpdateExpression": expression.strip(),
                "ConditionExpression": condition,
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": values,
            }
        }


def _run_rows(rows: Sequence[dict[str, Any]]) -> RunRows:
    run: RunRow | None = None
    orders: list[OrderRow] = []
    for row in rows:
        if row["order_num"]["S"] == RUN_ORDER_NUM:
            run = model(RunRow, row)
        else:
            orders.append(model(OrderRow, row))
    return RunRows(run, tuple(orders))


def _key(run_id: str, order_num: str) -> dict[str, dict[str, str]]:
    return {"run_id": {"S": run_id}, "order_num": {"S": order_num}}
