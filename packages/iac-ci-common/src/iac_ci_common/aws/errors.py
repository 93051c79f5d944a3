"""Turns what boto3 raises into the engine's own errors."""

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
        "ServiceException",
        "LimitExceededException",
        "ExecutionLimitExceeded",
        # A function that is being updated: it takes calls again in a moment.
        "ResourceConflictException",
        "AccountLimitExceededException",
        "TransactionInProgressException",
        "TransactionConflictException",
    }
)


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Raise ``what`` went wrong as one of our errors: AWS's own code is named, its message kept.

    Failures of the connection, throttling and faults of the service may be retried; refusals may not.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "Unknown"))
        message = f"{what}: {code}: {error.response.get('Error', {}).get('Message', '')}"
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
        raise PortFailed(f"{what}: {error}", retry_is_safe=True) from error
