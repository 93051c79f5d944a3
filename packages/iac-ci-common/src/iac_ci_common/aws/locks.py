"""Locks of runs in the table locks of DynamoDB."""

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


# Only where the lock is new, so that ringing never changes who holds it.
_NEW_LOCK: Final = (
    "SET run_id = :run, expires_at = if_not_exists(expires_at, :expires), "
    "schema_version = if_not_exists(schema_version, :one)"
)


class DynamoLocks:
    """Locks of runs: ``RunLocks`` and ``LockReader``."""

    def __init__(self, client: Any, table: str) -> None:
        """Use a DynamoDB client and the table's name."""
        self._client = client
        self._table = table

    def ring(
        self,
        run_id: str,
        news: AbstractSet[str],
        *,
        owner: str,
        now: datetime,
        lease_seconds: int,
        expires_at: datetime,
    ) -> Lock:
        """Count one more event and take the lock if it is free; a completed lock stays as it is."""
        not_completed = "attribute_not_exists(completed) OR completed = :false"
        # Owner and lease come and go together, so that both are taken or neither is.
        if_free = "#owner = if_not_exists(#owner, :owner), lease_until = if_not_exists(lease_until, :until)"
        values = {
            **_new_lock(run_id, expires_at),
            ":owner": {"S": owner},
            ":until": {"S": _moment(now + timedelta(seconds=lease_seconds))},
            ":zero": {"N": "0"},
            ":news": {"SS": sorted(news)},
            ":false": {"BOOL": False},
        }
        try:
            return self._update(
                run_id,
                f"{_NEW_LOCK}, #token = if_not_exists(#token, :zero), {if_free} ADD doorbell :one, rung :news",
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
        """Take a lock that nobody holds alive and that is not completed."""
        not_completed = "(attribute_not_exists(completed) OR completed = :false)"
        not_held = "(attribute_not_exists(#owner) OR lease_until <= :now)"
        # botocore asks again where an answer was lost: then the holder who is in the way may be ourselves.
        ours_already = "(#owner = :owner AND lease_until = :until)"
        try:
            return self._update(
                run_id,
                f"{_NEW_LOCK}, #owner = :owner, lease_until = :until ADD #token :one, doorbell :one",
                f"{not_completed} AND ({not_held} OR {ours_already})",
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
        """Prolong our lease."""
        until = {":until": {"S": _moment(now + timedelta(seconds=lease_seconds))}}
        renewed = self._update_ours(lock, "SET lease_until = :until", until)
        # The doorbell stays the one that the holder last looked at: a renewal must not swallow a ring.
        return renewed.model_copy(update={"doorbell": lock.doorbell, "rung": lock.rung})

    def release(self, lock: Lock) -> Lock | None:
        """Let go unless it rang."""
        nobody_rang = " AND doorbell = :doorbell"
        kept = "SET answered = :doorbell, comment_behind = :behind"
        values: dict[str, Any] = {
            ":doorbell": {"N": str(lock.doorbell)},
            ":behind": {"BOOL": lock.comment_behind},
        }
        if lock.reported_at is not None:
            kept += ", reported_at = :reported"
            values[":reported"] = {"S": _moment(lock.reported_at)}
        try:
            self._update_ours(lock, f"{kept} REMOVE #owner, lease_until, rung", values, extra=nobody_rang)
        except ConditionFailed as error:
            current = _seen(error) or self.read(lock.run_id)
            if current is None or current.owner != lock.owner or current.token != lock.token:
                raise
            return current
        return None

    def complete(self, lock: Lock) -> None:
        """Mark the run as finished for good."""
        self._update_ours(lock, "SET completed = :true REMOVE #owner, lease_until", {":true": {"BOOL": True}})

    def read(self, run_id: str) -> Lock | None:
        """Read a run's lock, consistently."""
        with aws_errors(f"reading the lock of {run_id}"):
            answer = self._client.get_item(TableName=self._table, Key=_key(keys.run_lock(run_id)), ConsistentRead=True)
        return model(Lock, answer["Item"]) if "Item" in answer else None

    def _update_ours(self, lock: Lock, expression: str, values: Mapping[str, Any], *, extra: str = "") -> Lock:
        still_ours = "#owner = :owner AND #token = :token"
        return self._update(
            lock.run_id,
            expression,
            still_ours + extra,
            {":owner": {"S": lock.owner or ""}, ":token": {"N": str(lock.token)}, **values},
            {"#owner": "owner", "#token": "token"},
        )

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
        with aws_errors(f"the lock of {run_id}"):
            return model(Lock, self._client.update_item(**request)["Attributes"])


def _seen(error: ConditionFailed) -> Lock | None:
    """Return the lock as it was when the condition failed: the refusal itself shows it, which saves a read."""
    refusal: Any = getattr(error.__cause__, "response", {})
    return model(Lock, refusal["Item"]) if "Item" in refusal else None


def _new_lock(run_id: str, expires_at: datetime) -> dict[str, Any]:
    return {":run": {"S": run_id}, ":expires": {"N": str(expiry_seconds(expires_at))}, ":one": {"N": "1"}}


def _key(lock_key: str) -> dict[str, dict[str, str]]:
    return {"lock_key": {"S": lock_key}}


def _moment(value: datetime) -> str:
    # Fixed width, so that the table compares moments as it compares text.
    return value.isoformat(timespec="microseconds")
