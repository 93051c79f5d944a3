"""Parameter Store, Secrets Manager and STS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import PortFailed
from iac_ci_common.locations import Location, SecretStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ASSUMED_SECONDS: Final = 3600
"""Longest session, in seconds, of a role that another role assumes (AWS IAM User Guide, "Role chaining")."""


class AwsSecrets:
    """Reads secrets one at a time, so that IAM authorises each by its own ARN."""

    def __init__(self, parameters: Callable[[], Any], secrets: Callable[[], Any], tokens: Callable[[], Any]) -> None:
        """Take functions that make the SSM, Secrets Manager and STS clients; each client is made at its first use."""
        self._parameters = parameters
        self._secrets = secrets
        self._tokens = tokens

    def read(self, location: Location) -> str:
        """Return one secret, whole."""
        if location.store is SecretStore.SSM:
            with aws_errors(f"reading {location.store}:{location.name}"):
                value: str = self._parameters().get_parameter(Name=location.name, WithDecryption=True)["Parameter"][
                    "Value"
                ]
                return value
        with aws_errors(f"reading {location.store}:{location.name}"):
            answer = self._secrets().get_secret_value(SecretId=location.name)
        if "SecretString" not in answer:
            raise PortFailed(f"{location.store}:{location.name} is a binary secret; store it as text (SecretString)")
        text: str = answer["SecretString"]
        return text

    def assume(self, role_arn: str, *, session_name: str) -> Mapping[str, str]:
        """Return the credentials of an assumed role, valid for one hour."""
        with aws_errors(f"assuming {role_arn}"):
            credentials = self._tokens().assume_role(
                RoleArn=role_arn, RoleSessionName=session_name, DurationSeconds=_ASSUMED_SECONDS
            )["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
        }
