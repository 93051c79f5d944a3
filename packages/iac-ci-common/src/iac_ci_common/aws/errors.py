"""Turns boto3's exceptions into the engine's errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import AlreadyExists, ConditionFailed, NotFound, PortFailed, Throttled

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_FOUND: Final = frozenset(
    {
        "NoSuchKey",
        "NoSuchBucket",
        "404",
        "NotFound",
        "ParameterNotFound",
        "ResourceNotFoundException",
        "StateMachineDoesNotExist",
    }
)
_THROTTLED: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "SlowDown",
        "503",
        "ServiceUnavailable",
        "InternalServerError",
        "InternalError",
        "InternalFailure",
        "KMSInternalException",
        "ServiceException",
        "LimitExceededException",
        "ExecutionLimitExceeded",
        # The function is being updated and accepts calls again in a moment.
        "ResourceConflictException",
        "AccountLimitExceededException",
        "TransactionInProgressException",
        "TransactionConflictException",
    }
)


@contextmanager
def aws_errors(action: str) -> Iterator[None]:
    """Raise the engine's error for an exception of boto3; its message is ``action`` and AWS's code and message.

    ``retry_is_safe`` is true for failed connections, throttling and faults of the service, false for refusals.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "Unknown"))
        message = f"{action}: {code}: {error.response.get('Error', {}).get('Message', '')}"
        if code == "PreconditionFailed":
            raise AlreadyExists(message) from error
        if code in {"ConditionalCheckFailedException", "ConditionalRequestConflict"}:
            raise ConditionFailed(message, retry_is_safe=code == "ConditionalRequestConflict") from error
        if code in _NOT_FOUND:
            raise NotFound(message) from error
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _THROTTLED or status >= 500:
            raise Throttled(message) from error
        raise PortFailed(message) from error
    except BotoCoreError as error:
        raise PortFailed(f"{action}: {error}", retry_is_safe=True) from error
