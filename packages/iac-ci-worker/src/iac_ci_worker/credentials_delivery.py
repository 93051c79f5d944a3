"""Delivers an order's credentials to its commands: those of its role, in the way that the order chose, and git's."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.job import CredentialsDelivery
from iac_ci_worker.credentials_endpoint import CredentialsServer, new_token
from iac_ci_worker.git_helper import git_configuration, helper_script
from iac_ci_worker.git_tokens import LivingGitTokens
from iac_ci_worker.role_credentials import LivingCredentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iac_ci_common.ports import Clock, Logger
    from iac_ci_common.redaction import Redactor
    from iac_ci_worker.packages import Package
    from iac_ci_worker.rights import Rights
    from iac_ci_worker.workspace import Workspace

_TOKEN_NAME: Final = "token"  # noqa: S105 - a file's name
_HELPER_NAME: Final = "git-helper"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The variables by which commands find credentials, and the role's credentials where they are renewed."""

    variables: dict[str, str] = field(default_factory=dict, repr=False)
    role: LivingCredentials | None = None


@contextlib.contextmanager
def delivered_credentials(
    package: Package, workspace: Workspace, rights: Rights, clock: Clock, logger: Logger, redactor: Redactor
) -> Iterator[Delivered]:
    """Deliver until the context ends. Enter it before the workspace is handed over."""
    manifest, variables, role, git = package.manifest, {}, None, None
    if package.role is not None and manifest.credentials == CredentialsDelivery.ENDPOINT:
        role = LivingCredentials(package.role, rights, clock, logger, mask=redactor.add)
    elif package.role is not None:
        variables = package.role.variables
    if manifest.git_credentials:
        git = LivingGitTokens(manifest.git_credentials, rights, clock, logger, mask=redactor.add)
    if role is None and git is None:
        yield Delivered(variables)
        return
    token = new_token()
    redactor.add([token])
    token_file = workspace.credentials / _TOKEN_NAME
    _write(token_file, token)
    server = CredentialsServer(token, role=role, git=git)
    if role is not None:
        variables = role_variables(server, token_file)
    if manifest.git_credentials:
        helper = workspace.credentials / _HELPER_NAME
        _write(helper, helper_script(server.server_port, token_file))
        _write(workspace.home / ".gitconfig", git_configuration(manifest.git_credentials, helper), stat.S_IWUSR)
    with server.serving():
        yield Delivered(variables, role)


def role_variables(server: CredentialsServer, token_file: Path) -> dict[str, str]:
    """Return the variables by which the SDKs of AWS find a server that serves a role; the file holds its token."""
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": server.role_url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file),
        # For tools of before 2024, among them Terraform up to 1.7, whose backend reads no file
        # (hashicorp/terraform-provider-aws#35857). Where both are set, SDKs prefer the file, which holds the same.
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": server.token,
    }


def _write(path: Path, text: str, more: int = 0) -> None:
    """Write a file that only its owner may read: the commands' user, once the workspace is handed over."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IRUSR | more)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


__all__ = ["Delivered", "delivered_credentials", "role_variables"]
