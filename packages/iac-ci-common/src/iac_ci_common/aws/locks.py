"""Locks of runs in the DynamoDB table locks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common import keys
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import expiry_seconds, model
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime


# These attributes are set only if the lock is new, so that an event never changes the owner.
_NEW_LOCK: Final = (
    "SET run_id = :run, expires_at = if_not_exists(expires_at, :expires), "
    "schema_version = if_not_exists(schema_version, :one)"
)


_STILL_OWNED: Final = "#owner = :owner AND #token = :token"
_OWNER_NAMES: Final = {"#owner": "owner", "#token": "token"}


class DynamoLocks:
    """Locks of runs: ``RunLocks`` and ``LockReader``."""

    def __init__(self, client: Any, table: str) -> None:
        """Use a DynamoDB client and the table's name."""
        self._client = client
        self._table = table

    def ring(
        self,
        run_id: str,
        pending: AbstractSet[str],
        *,
        owner: str,
        now: datetime,
        lease_seconds: int,
        expires_at: datetime,
    ) -> Lock:
        """Add an event to the doorbell and take the lock if it is free. A completed lock stays as it is."""
        not_completed = "attribute_not_exists(completed) OR completed = :false"
        # Owner and lease are always set and removed together, so both are taken or neither is.
        if_free = "#owner = if_not_exists(#owner, :owner), lease_until = if_not_exists(lease_until, :until)"
        values = {
            **_new_lock(run_id, expires_at),
            ":owner": {"S": owner},
            ":until": {"S": _moment(now + timedelta(seconds=lease_seconds))},
            ":zero": {"N": "0"},
            ":pending": {"SS": sorted(pending)},
            ":false": {"BOOL": False},
        }
        try:
            return self._update(
                run_id,
                f"{_NEW_LOCK}, #token = if_not_exists(#token, :zero), {if_free} ADD doorbell :one, rung :pending",
                not_completed,
                values,
                {"#owner": "owner", "#token": "token"},
            )
        except ConditionFailed as error:
            lock = _seen(error) or self.read(run_id)
            if lock is None:
                raise
            return lock

    def take(self, run_id: str, *, owner: str, now: datetime, lease_seconds: int, expires_at: datetime) -> Lock | None:
        """Take a lock that has no valid lease and is not completed; return None if it cannot be taken."""
        not_completed = "(attribute_not_exists(completed) OR completed = :false)"
        not_held = "(attribute_not_exists(#owner) OR lease_until <= :now)"
        # botocore repeats a call whose answer was lost; then the lock may already have this owner.
        already_owned = "(#owner = :owner AND lease_until = :until)"
        try:
            return self._update(
                run_id,
                f"{_NEW_LOCK}, #owner = :owner, lease_until = :until ADD #token :one, doorbell :one",
                f"{not_completed} AND ({not_held} OR {already_owned})",
                {
                    **_new_lock(run_id, expires_at),
                    ":owner": {"S": owner},
                    ":until": {"S": _moment(now + timedelta(seconds=lease_seconds))},
                    ":now": {"S": _moment(now)},
                    ":false": {"BOOL": False},
                },
                {"#owner": "owner", "#token": "token"},
            )
        except ConditionFailed:
            return None

    def renew(self, lock: Lock, *, now: datetime, lease_seconds: int) -> Lock:
        """Extend the owner's lease."""
        until = {":until": {"S": _moment(now + timedelta(seconds=lease_seconds))}}
        renewed = self._update_owned(lock, "SET lease_until = :until", until)
        # The doorbell keeps the value that the owner read last: a renewal must not hide a later event.
        return renewed.model_copy(update={"doorbell": lock.doorbell, "rung": lock.rung})

    def release(self, lock: Lock) -> Lock | None:
        """Release the lock unless an event came after ``lock`` was read."""
        try:
            self._update(lock.run_id, **_release(lock))
        except ConditionFailed as error:
            current = _seen(error) or self.read(lock.run_id)
            if current is None or current.owner != lock.owner or current.token != lock.token:
                raise
            return current
        return None

    def release_write(self, lock: Lock) -> dict[str, Any]:
        """Return the write of ``release``, for a transaction."""
        release = _release(lock)
        return {
            "Update": {
                "TableName": self._table,
                "Key": _key(keys.run_lock(lock.run_id)),
                "UpdateExpression": release["expression"],
                "ConditionExpression": release["condition"],
                "ExpressionAttributeNames": release["names"],
                "ExpressionAttributeValues": release["values"],
            }
        }

    def complete(self, lock: Lock) -> None:
        """Mark the run as completed; it is never taken again."""
        self._update_owned(lock, "SET completed = :true REMOVE #owner, lease_until", {":true": {"BOOL": True}})

    def read(self, run_id: str) -> Lock | None:
        """Return a run's lock by a consistent read."""
        with aws_errors(f"reading the lock of {run_id}"):
            answer = self._client.get_item(TableName=self._table, Key=_key(keys.run_lock(run_id)), ConsistentRead=True)
        return model(Lock, answer["Item"]) if "Item" in answer else None

    def _update_owned(self, lock: Lock, expression: str, values: Mapping[str, Any]) -> Lock:
        return self._update(lock.run_id, expression, _STILL_OWNED, {**_of_owner(lock), **values}, _OWNER_NAMES)

    def _update(
        self,
        run_id: str,
        expression: str,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> Lock:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": _key(keys.run_lock(run_id)),
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": dict(values),
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if names:
            request["ExpressionAttributeNames"] = dict(names)
        with aws_errors(f"updating the lock of {run_id}"):
            return model(Lock, self._client.update_item(**request)["Attributes"])


def _release(lock: Lock) -> dict[str, Any]:
    """Return the parts of the write that releases a lock unless an event came after it was read."""
    expression = "SET answered = :doorbell, comment_behind = :behind, finished = :finished"
    removed = ["#owner", "lease_until", "rung"]
    values: dict[str, Any] = {
        ":doorbell": {"N": str(lock.doorbell)},
        ":behind": {"BOOL": lock.comment_behind},
        ":finished": {"BOOL": lock.finished},
    }
    if lock.reported_at is not None:
        expression += ", reported_at = :reported"
        values[":reported"] = {"S": _moment(lock.reported_at)}
    if lock.changed_rows:
        expression += ", changed_rows = :rows"
        values[":rows"] = {"L": [{"S": release} for release in lock.changed_rows]}
    else:
        removed.append("changed_rows")
    if lock.changed_values:
        expression += ", changed_values = :values"
        values[":values"] = {"S": lock.changed_values}
    else:
        removed.append("changed_values")
    if lock.announced:
        expression += ", announced = :announced"
        values[":announced"] = {"SS": sorted(lock.announced)}
    if lock.announce_at is not None:
        expression += ", announce_at = :announce_at"
        values[":announce_at"] = {"S": _moment(lock.announce_at)}
    else:
        removed.append("announce_at")
    return {
        "expression": f"{expression} REMOVE {', '.join(removed)}",
        "condition": f"{_STILL_OWNED} AND doorbell = :doorbell",
        "values": _of_owner(lock) | values,
        "names": _OWNER_NAMES,
    }


def _of_owner(lock: Lock) -> dict[str, Any]:
    return {":owner": {"S": lock.owner or ""}, ":token": {"N": str(lock.token)}}


def _seen(error: ConditionFailed) -> Lock | None:
    """Return the lock as it was when the condition failed. DynamoDB's refusal contains it, which saves a read."""
    refusal: Any = getattr(error.__cause__, "response", {})
    return model(Lock, refusal["Item"]) if "Item" in refusal else None


def _new_lock(run_id: str, expires_at: datetime) -> dict[str, Any]:
    return {":run": {"S": run_id}, ":expires": {"N": str(expiry_seconds(expires_at))}, ":one": {"N": "1"}}


def _key(lock_key: str) -> dict[str, dict[str, str]]:
    return {"lock_key": {"S": lock_key}}


def _moment(value: datetime) -> str:
    # The width is fixed, so that comparing the texts compares the times.
    return value.isoformat(timespec="microseconds")
