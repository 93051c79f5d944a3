"""Chains of tickets in the DynamoDB table locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_common import keys
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import item, model
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.trade import TicketChain

if TYPE_CHECKING:
    from datetime import datetime


class DynamoTicketChains:
    """The chains of tickets."""

    def __init__(self, client: Any, table: str) -> None:
        """Use a DynamoDB client and the table's name."""
        self._client = client
        self._table = table

    def read(self, run_id: str, order_num: str, dispatch: str) -> TicketChain | None:
        """Return a dispatch's chain by a consistent read."""
        key = keys.ticket_chain(run_id, order_num, dispatch)
        with aws_errors(f"reading {key}"):
            answer = self._client.get_item(TableName=self._table, Key={"lock_key": {"S": key}}, ConsistentRead=True)
        return model(TicketChain, answer["Item"]) if "Item" in answer else None

    def move(self, chain: TicketChain, *, expected: str | None) -> bool:
        """Write the chain if its present ticket is still ``expected``."""
        written = item(chain)
        # The note of misuse has a write of its own.
        written.pop("misused_at", None)
        values = {f":{name}": value for name, value in written.items()}
        is_expected = "attribute_not_exists(lock_key)"
        if expected is not None:
            values[":expected"] = {"S": expected}
            is_expected = "#present = :expected"
        return self._update(chain, sorted(written), is_expected, values)

    def note_misuse(self, chain: TicketChain, *, now: datetime) -> bool:
        """Set the time of the first misuse; attributes that are missing are set too."""
        written = item(chain.model_copy(update={"misused_at": now}))
        not_noted = "attribute_not_exists(misused_at)"
        # The chain may have moved since it was read, so only a chain that is missing is written.
        names = {f"#{name}": name for name in written}
        expression = "SET " + ", ".join(
            f"#{name} = :{name}" if name == "misused_at" else f"#{name} = if_not_exists(#{name}, :{name})"
            for name in sorted(written)
        )
        return self._write(chain, expression, not_noted, names, {f":{name}": value for name, value in written.items()})

    def _update(self, chain: TicketChain, written: list[str], condition: str, values: dict[str, Any]) -> bool:
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in written)
        return self._write(chain, expression, condition, {f"#{name}": name for name in written}, values)

    def _write(
        self, chain: TicketChain, expression: str, condition: str, names: dict[str, str], values: dict[str, Any]
    ) -> bool:
        key = keys.ticket_chain(chain.run_id, chain.order_num, chain.dispatch)
        try:
            with aws_errors(f"writing {key}"):
                self._client.update_item(
                    TableName=self._table,
                    Key={"lock_key": {"S": key}},
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                )
        except ConditionFailed:
            return False
        return True
