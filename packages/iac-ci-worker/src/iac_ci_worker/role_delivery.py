"""Delivers the credentials of an order's role to its commands, in the way that the order chose."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.job import CredentialsDelivery
from iac_ci_worker.credentials_endpoint import new_token, serve_credentials
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


@dataclass(frozen=True, slots=True)
class DeliveredRole:
    """The variables by which commands find the credentials, and the credentials themselves where they are renewed."""

    variables: dict[str, str] = field(default_factory=dict, repr=False)
    living: LivingCredentials | None = None


@contextlib.contextmanager
def delivered_role(
    package: Package, workspace: Workspace, rights: Rights, clock: Clock, logger: Logger, redactor: Redactor
) -> Iterator[DeliveredRole]:
    """Deliver until the context ends. Enter it before the workspace is handed over."""
    if package.role is None:
        yield DeliveredRole()
    elif package.manifest.credentials != CredentialsDelivery.ENDPOINT:
        yield DeliveredRole(package.role.variables)
    else:
        token = new_token()
        redactor.add([token])
        path = workspace.credentials / _TOKEN_NAME
        _write(path, token)
        living = LivingCredentials(package.role, rights, clock, logger, mask=redactor.add)
        with serve_credentials(living, token, path) as variables:
            yield DeliveredRole(variables, living)


def _write(path: Path, token: str) -> None:
    """Write a file that only its owner may read: the commands' user, once the workspace is handed over."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IRUSR)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)


__all__ = ["DeliveredRole", "delivered_role"]
