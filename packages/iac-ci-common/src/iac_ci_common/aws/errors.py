"""Turns boto3's exceptions into the engine's errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from iac_ci_common.aws.new_permissions import may_be_on_the_way
from iac_ci_common.errors import AlreadyExists, AtCapacity, ConditionFailed, NotFound, PortFailed, Throttled

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
        # Those that botocore itself repeats, a few times.
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
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
        "InternalException",
        # S3 was asked for two things that exclude each other, or did not get the whole body (Amazon S3 API Reference,
        # "Error responses").
        "OperationAborted",
        "IncompleteBody",
        "KMSInternalException",
        "ServiceException",
        "LimitExceededException",
        "ExecutionLimitExceeded",
        # The function is being created or updated and accepts calls again in a moment.
        "ResourceConflictException",
        # The function was idle for weeks and becomes active, which took 40 to 106 seconds wherever it was observed (AWS
        # Lambda Developer Guide, "Lambda function states"). CodeArtifactUserFailedException stays until a deployment.
        "CodeArtifactUserPendingException",
        "ResourceNotReadyException",
        "TransactionInProgressException",
        "TransactionConflictException",
    }
)

_AT_CAPACITY: Final = frozenset({"AccountLimitExceededException"})
"""CodeBuild's answer if the account's quota or the project's own limit of builds is reached (AWS CodeBuild API
Reference, "StartBuild")."""

_SESSION_ENDED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "400"})
"""The session of the caller has ended; AWS did nothing. A later invocation of the function has a new session.

S3's answer to HEAD has no body, so its code is the status, 400 for an ended session (Amazon S3 API Reference,
"HeadObject")."""


def retry_is_safe(code: str) -> bool:
    """Return whether a refusal with this code may pass by itself."""
    return code in _THROTTLED or code in _SESSION_ENDED or may_be_on_the_way(code)


@contextmanager
def aws_errors(action: str) -> Iterator[None]:
    """Raise the engine's error for an exception of boto3; its message is ``action`` and AWS's code and message.

    ``retry_is_safe`` is true for failed connections, throttling, faults of the service and ended sessions, false for
    refusals, also botocore's own of a parameter. A missing permission is a refusal, except in the minutes after a
    change (``iac_ci_common.aws.new_permissions``).
    """
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

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
        if code in _AT_CAPACITY:
            raise AtCapacity(message) from error
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _THROTTLED or status >= 500:
            raise Throttled(message) from error
        raise PortFailed(message, retry_is_safe=retry_is_safe(code)) from error
    except BotoCoreError as error:
        raise PortFailed(f"{action}: {error}", retry_is_safe=not isinstance(error, ParamValidationError)) from error
