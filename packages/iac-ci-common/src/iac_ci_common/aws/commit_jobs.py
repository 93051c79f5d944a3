"""The newest states of jobs on commits, in the DynamoDB table locks: one row each, with conditional writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.aws.rows import expiry_seconds
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.models.commit_job import CommitJob

if TYPE_CHECKING:
    from iac_ci_common.ports import Clock


class DynamoCommitJobs:
    """The rows ``status:…``."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        """Use a DynamoDB client and the table's name; ``clock`` decides which rows have expired."""
        self._client = client
        self._table = table
        self._clock = clock

    def read(self, key: str) -> CommitJob | None:
        """Return a job on a commit by a consistent read, None if there is none or it has expired."""
        with aws_errors("reading the job of a commit"):
            answer = self._client.get_item(TableName=self._table, Key={"lock_key": {"S": key}}, ConsistentRead=True)
        if "Item" not in answer:
            return None
        job = CommitJob.from_stored(answer["Item"]["job"]["S"])
        return job if job.expires_at > self._clock.now() else None

    def write(self, job: CommitJob) -> CommitJob:
        """Write the next version; attributes that a newer version of the engine writes are kept."""
        written = job.model_copy(update={"version": job.version + 1})
        values = {
            ":version": {"N": str(written.version)},
            ":job": {"S": json.dumps(written.model_dump(mode="json"))},
            ":expires_at": {"N": str(expiry_seconds(written.expires_at))},
        }
        if job.version:
            unchanged = "version = :version_read"
            values[":version_read"] = {"N": str(job.version)}
        else:
            unchanged = "attribute_not_exists(lock_key) OR expires_at <= :now"
            values[":now"] = {"N": str(int(self._clock.now().timestamp()))}
        try:
            with aws_errors("writing the job of a commit"):
                self._client.update_item(
                    TableName=self._table,
                    Key={"lock_key": {"S": job.key}},
                    UpdateExpression="SET version = :version, job = :job, expires_at = :expires_at",
                    ConditionExpression=unchanged,
                    ExpressionAttributeValues=values,
                )
        except ConditionFailed:
            # botocore repeats a call whose answer was lost; then the table already has this version.
            if self.read(job.key) == written:
                return written
            raise ConditionFailed("another run changed the job of the commit", retry_is_safe=True) from None
        return written
