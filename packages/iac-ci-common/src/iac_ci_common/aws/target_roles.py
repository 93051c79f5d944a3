"""Roles of target accounts, assumed through STS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.models.trade import RoleCredentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_common.sessions import Session

_ASSUMED_SECONDS: Final = 3600
"""Longest session, in seconds, of a role that another role assumes (AWS IAM User Guide, "Role chaining")."""


class StsTargetRoles:
    """Assumes roles. No tag is transitive: a role that commands assume from the session does not inherit them."""

    def __init__(self, client: Callable[[], Any]) -> None:
        """Take a function that makes an STS client; it is made at the first use."""
        self._client = client

    def assume(self, role_arn: str, session: Session) -> RoleCredentials:
        """Return the credentials of an assumed role, valid for one hour."""
        request: dict[str, Any] = {
            "RoleArn": role_arn,
            "RoleSessionName": session.name,
            "DurationSeconds": _ASSUMED_SECONDS,
        }
        if session.tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in session.tags.items()]
        if session.source_identity is not None:
            request["SourceIdentity"] = session.source_identity
        with aws_errors(f"assuming {role_arn}"):
            credentials = self._client().assume_role(**request)["Credentials"]
        return RoleCredentials(
            access_key_id=credentials["AccessKeyId"],
            secret_access_key=credentials["SecretAccessKey"],
            session_token=credentials["SessionToken"],
            expires_at=credentials["Expiration"],
        )
