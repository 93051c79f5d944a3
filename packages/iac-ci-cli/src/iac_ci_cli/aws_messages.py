"""Why AWS could not be asked, in plain words and with the next step, instead of the SDK's own sentences."""

from __future__ import annotations

import os
import re
from traceback import walk_tb
from typing import Final

_ENVIRONMENT: Final = "Check the AWS_… variables of your environment and the files in ~/.aws."
_NOT_VALID: Final = ("the AWS settings of this environment are not valid", _ENVIRONMENT)
_LOGIN: Final = "Log in again (for example `aws login` or `aws sso login`), or set new credentials."

_BY_NAME: Final = {
    "NoCredentialsError": (
        "there are no AWS credentials",
        "Log in (example: `aws sso login`), use --profile or AWS_PROFILE, set AWS_ACCESS_KEY_ID, or use --local.",
    ),
    "CredentialRetrievalError": ("the AWS credentials could not be fetched", _LOGIN),
    "PartialCredentialsError": (
        "the AWS credentials are incomplete",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, both or neither.",
    ),
    "NoRegionError": (
        "no AWS region is set",
        "Set --region or AWS_REGION (example: eu-central-1), or a region in your AWS profile, or use --local.",
    ),
    "InvalidRegionError": (
        "the AWS region is not valid",
        "Set --region or AWS_REGION to a region's name (example: eu-central-1).",
    ),
    # An `aws login` signs with a key of its own, for which botocore needs a library of C (Boto3 documentation,
    # "Credentials").
    "MissingDependencyException": (
        "the AWS login of this profile needs a library that is not installed with iac-ci",
        'Set its credentials in the environment: eval "$(aws configure export-credentials --format env)".',
    ),
    "ProfileNotFound": (
        "the AWS profile {profile} does not exist",
        "Check --profile or AWS_PROFILE; see `aws configure list-profiles`.",
    ),
    "ConfigParseError": ("the AWS configuration file cannot be read", "Check ~/.aws/config, or AWS_CONFIG_FILE."),
    "EndpointConnectionError": ("{endpoint} does not answer", "{reach}"),
    "ConnectTimeoutError": ("{endpoint} does not answer in time", "{reach}"),
    "ReadTimeoutError": ("{endpoint} does not answer in time", "{reach}"),
    "ConnectionClosedError": ("{endpoint} closed the connection", "{reach}"),
    "ProxyConnectionError": ("the proxy does not answer", "Check HTTPS_PROXY and NO_PROXY."),
    "SSLError": ("the TLS connection to {endpoint} failed", "Check the proxy and AWS_CA_BUNDLE."),
    "UnauthorizedSSOTokenError": ("the AWS SSO session has expired", _LOGIN),
    "SSOTokenLoadError": ("there is no AWS SSO session", _LOGIN),
    "TokenRetrievalError": ("the AWS SSO session has expired", _LOGIN),
    "LoginError": ("the AWS login cannot be used any more", _LOGIN),
    "InvalidConfigError": (
        "the settings of the AWS profile are not valid",
        "Run `aws sts get-caller-identity` with the same profile: it names what is wrong in ~/.aws/config.",
    ),
}
_THROTTLED: Final = ("AWS asks for fewer requests", "Run the command again in a moment.")
_NOT_ALLOWED: Final = (
    "the AWS credentials may not do this",
    "Ask for the permission, or check --profile or AWS_PROFILE.",
)
_ACTION: Final = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
"""What AWS says of a missing permission (AWS IAM User Guide, "Troubleshoot access denied error messages")."""

_FAULT: Final = ("AWS has a fault of its own", "Run the command again in a moment.")
# A region that has to be enabled first knows no credentials of an account that has not done so (AWS Account Management
# Reference Guide, "Enable or disable AWS Regions in your account").
_UNKNOWN: Final = (
    "AWS does not know these credentials",
    f"{_LOGIN} If the region is new to the account, enable it there.",
)
_CLOCK: Final = ("this machine's clock differs from that of AWS", "Set the clock, then run the command again.")
_BY_CODE: Final = {
    "ThrottlingException": _THROTTLED,
    "Throttling": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "SlowDown": _THROTTLED,
    "ProvisionedThroughputExceededException": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "ExpiredToken": ("the AWS credentials have expired", _LOGIN),
    "ExpiredTokenException": ("the AWS credentials have expired", _LOGIN),
    "RequestExpired": ("the AWS credentials have expired, or this machine's clock is wrong", _LOGIN),
    "InvalidAccessKeyId": _UNKNOWN,
    "InvalidClientTokenId": _UNKNOWN,
    "InvalidToken": _UNKNOWN,
    "UnrecognizedClientException": _UNKNOWN,
    "RequestTimeTooSkewed": _CLOCK,
    "InvalidSignatureException": (
        "AWS refused the credentials' signature",
        "Check AWS_SECRET_ACCESS_KEY and this machine's clock.",
    ),
    "SignatureDoesNotMatch": (
        "AWS refused the credentials' signature",
        "Check AWS_SECRET_ACCESS_KEY and this machine's clock.",
    ),
    "InternalServerError": _FAULT,
    "InternalServiceError": _FAULT,
    "InternalError": _FAULT,
    "InternalFailure": _FAULT,
    "ServiceUnavailable": _FAULT,
    "500": _FAULT,
    "503": _FAULT,
    "AccessDenied": _NOT_ALLOWED,
    "AccessDeniedException": _NOT_ALLOWED,
    # The answer to a HEAD request has no body.
    "403": _NOT_ALLOWED,
}


def aws_message(error: BaseException) -> tuple[str, str] | None:
    """Return a message and a hint for an error that the AWS SDK raised or caused; None where it had no part in it.

    The error's activity ("reading /iac-ci/iac-ci/outputs") stays in front where the error names one.
    """
    cause: BaseException | None = error
    while cause is not None:
        kinds = {kind.__name__ for kind in type(cause).__mro__}
        if kinds & {"BotoCoreError", "ClientError", "HTTPClientError"}:
            return _explain(cause, error)
        if isinstance(cause, OSError) and _is_of_the_sdk(cause):
            # A token file or a program for credentials that is not there.
            return f"the AWS credentials could not be fetched: {cause.filename}: {cause.strerror}", _ENVIRONMENT
        if isinstance(cause, ValueError) and _is_of_the_sdk(cause):
            # A port that is no number, or a program for credentials that prints no JSON.
            return _NOT_VALID
        cause = cause.__cause__
    return None


def client_failed(error: Exception) -> tuple[str, str]:
    """Return a message and a hint where the SDK could not even be set up, by a wrong setting of the environment."""
    return aws_message(error) or _NOT_VALID


def _is_of_the_sdk(error: BaseException) -> bool:
    modules = (str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__))
    return any(module.startswith("botocore.") for module in modules)


def _explain(cause: BaseException, error: BaseException) -> tuple[str, str]:
    response = getattr(cause, "response", None)
    code = str((response or {}).get("Error", {}).get("Code", ""))
    message, hint = _BY_CODE.get(code) or _by_name(cause) or ("", "")
    activity = "" if cause is error else str(getattr(error, "message", "")).partition(":")[0]
    said_by_aws = str((response or {}).get("Error", {}).get("Message", ""))
    action = _ACTION.search(said_by_aws)
    if message and action is not None:
        message += f" ({action[1]})"
    if not message:
        message = f"AWS refused: {code} {said_by_aws}".strip() if code else "the request to AWS could not be made"
        hint = "" if code else _ENVIRONMENT
    endpoint = str(getattr(cause, "kwargs", {}).get("endpoint_url", "")) or "AWS"
    local = endpoint.startswith(("http://127.", "http://localhost"))
    reach = (
        "The local cloud has ended? Start one with `iac-ci local up`."
        if local
        else "Check the network, --region, AWS_REGION and AWS_ENDPOINT_URL."
    )
    if os.environ.get("AWS_ENDPOINT_URL"):
        reach = "Check the network and AWS_ENDPOINT_URL."
    profile = repr(str(getattr(cause, "kwargs", {}).get("profile", ""))[:60])
    text = message.replace("{endpoint}", endpoint).replace("{profile}", profile)
    return (f"{activity}: {text}" if activity else text), hint.format(reach=reach) if "{reach}" in hint else hint


def _by_name(cause: BaseException) -> tuple[str, str] | None:
    for kind in type(cause).__mro__:
        if kind.__name__ in _BY_NAME:
            return _BY_NAME[kind.__name__]
    return None
