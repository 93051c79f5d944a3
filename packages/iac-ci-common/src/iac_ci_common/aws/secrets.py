"""Parameter Store and Secrets Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import PortFailed
from iac_ci_common.locations import Location, SecretStore

if TYPE_CHECKING:
    from collections.abc import Callable


class AwsSecrets:
    """Reads secrets one at a time, so that IAM authorises each by its own ARN."""

    def __init__(self, parameters: Callable[[], Any], secrets: Callable[[], Any]) -> None:
        """Take functions that make the SSM and Secrets Manager clients; each client is made at its first use."""
        self._parameters = parameters
        self._secrets = secrets

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
